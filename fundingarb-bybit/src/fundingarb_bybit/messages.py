"""What Bybit v5 answers over REST, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    FillKind,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
)
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import (
    decode,
    each,
    fraction,
    moment,
    number,
    one_of,
    optional,
    optional_positive,
    positive,
)
from fundingarb.exchanges.symbols import InstrumentMap, in_base_units
from fundingarb.ports import KeyPermissions
from fundingarb_bybit.schema import (
    ApiKey,
    Contract,
    Created,
    FeeRate,
    LedgerRow,
    Order,
    Position,
    SettledFunding,
    Ticker,
    Wallet,
)

T = TypeVar("T")

EXCHANGE = "bybit"
SETTLE = "USDT"


_STATES = {
    "Created": OrderState.OPEN,
    "New": OrderState.OPEN,
    "Active": OrderState.OPEN,
    "PartiallyFilled": OrderState.OPEN,
    "Untriggered": OrderState.OPEN,
    "Triggered": OrderState.OPEN,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELLED,
    "PartiallyFilledCanceled": OrderState.CANCELLED,
    "Deactivated": OrderState.CANCELLED,
    "Rejected": OrderState.REFUSED,
}
_SIDES = {"Buy": OrderSide.BUY, "Sell": OrderSide.SELL}
_NO_REASON = ("", "EC_NoError", "UNKNOWN")
_KINDS = {
    "TRADE": FillKind.TRADE,
    "LIQUIDATION": FillKind.LIQUIDATION,
    "DELIVERY": FillKind.LIQUIDATION,  # a delisted contract is closed by the exchange
    "ADL": FillKind.ADL,
}


def order_state(status: str) -> OrderState:
    return one_of(_STATES, status, "bybit: order status")


def side_of(text: str) -> OrderSide:
    return one_of(_SIDES, text, "bybit: order side")


def hours(text: str, what: str) -> timedelta:
    """A funding interval given in hours."""
    value = number(text, what)
    if not 0 < value <= 24:
        raise BadMessage(f"{what}: a funding interval of {value} hours")
    return timedelta(seconds=int(value * 3600))


def instruments(
    rows: Iterable[msgspec.Raw], rejected: Callable[[str, bytes], None] | None = None
) -> list[Instrument]:
    """The USDT perpetuals that can be traded. ``rejected`` hears of entries that cannot be understood."""
    return each(rows, _instrument, rejected)


def _instrument(body: bytes) -> Instrument | None:
    contract = decode(Contract, body, "bybit instruments-info entry")
    if (contract.contractType, contract.status) != ("LinearPerpetual", "Trading") or contract.isPreListing:
        return None
    if contract.settleCoin != SETTLE or contract.quoteCoin != SETTLE:
        return None
    lot, name = contract.lotSizeFilter, contract.symbol
    if not 0 < contract.fundingInterval <= 24 * 60:
        raise BadMessage(f"bybit {name}: a funding interval of {contract.fundingInterval} minutes")
    minimum, upper, lower = lot.minNotionalValue, contract.upperFundingRate, contract.lowerFundingRate
    return in_base_units(
        Instrument(
            exchange=EXCHANGE,
            symbol=f"{contract.baseCoin}-{SETTLE}",
            exchange_id=name,
            base=contract.baseCoin,
            settle=SETTLE,
            tick=positive(contract.priceFilter.tickSize, f"{name} tickSize"),
            lot=positive(lot.qtyStep, f"{name} qtyStep"),
            min_quantity=positive(lot.minOrderQty, f"{name} minOrderQty"),
            min_notional=number(minimum, f"{name} minNotionalValue") if minimum else Decimal(0),
            funding_interval=timedelta(minutes=contract.fundingInterval),
            max_quantity=optional_positive(lot.maxOrderQty, f"{name} maxOrderQty"),
            max_market_quantity=optional_positive(lot.maxMktOrderQty, f"{name} maxMktOrderQty"),
            delists_at=moment(contract.deliveryTime, "deliveryTime")
            if contract.deliveryTime not in ("", "0")
            else None,
            funding_cap=number(upper, f"{name} upperFundingRate") if upper else None,
            funding_floor=number(lower, f"{name} lowerFundingRate") if lower else None,
        )
    )


def funding_rates(
    rows: Iterable[msgspec.Raw], known: InstrumentMap, wanted: Collection[str], at: datetime
) -> list[FundingRate]:
    """The rates of the ``wanted`` exchange ids; one that cannot be used is left out."""
    return values.funding_rates(rows, Ticker, lambda row: row.symbol, funding_rate, known, wanted, at)


def funding_rate(row: Ticker, instrument: Instrument, at: datetime) -> FundingRate:
    """The rate for ``nextFundingTime``. The ticker's own interval counts: the instrument list lags behind changes."""
    interval = row.fundingIntervalHour
    return values.funding_rate(
        instrument,
        rate=row.fundingRate,
        interval=hours(interval, f"{row.symbol} fundingIntervalHour") if interval else None,
        next_settlement=row.nextFundingTime,
        at=at,
        mark=row.markPrice,
        index=row.indexPrice,
    )


def settled(rows: Iterable[SettledFunding], symbol: str) -> list[SettledRate]:
    return values.settled_rates(
        EXCHANGE, symbol, ((row.fundingRateTimestamp, row.fundingRate) for row in rows)
    )


def created(answer: Created, order: NewOrder, account: str, at: datetime) -> OrderReport:
    """An order that was taken in. Bybit matches it afterwards, so even an immediate-or-cancel order is still open."""
    if not answer.orderId:
        raise BadMessage("bybit: order/create answered without an order id")
    return OrderReport(
        account=account,
        symbol=order.symbol,
        client_id=order.client_id,
        exchange_order_id=answer.orderId,
        state=OrderState.OPEN,
        side=order.side,
        quantity=order.quantity,
        filled=Decimal(0),
        price=order.price,
        reduce_only=order.reduce_only,
        at=at,
    )


def order_report(order: Order, account: str, known: InstrumentMap) -> OrderReport:
    reasons = [text for text in (order.rejectReason, order.cancelType) if text not in _NO_REASON]
    return values.order_report(
        account,
        order.symbol,
        known.by_id(order.symbol),
        client_id=order.orderLinkId,
        exchange_order_id=order.orderId,
        state=order_state(order.orderStatus),
        side=side_of(order.side),
        quantity=order.qty,
        filled=order.cumExecQty,
        price=order.price,
        average=order.avgPrice,
        reduce_only=order.reduceOnly,
        at=order.updatedTime,
        reason=" ".join(reasons),
    )


def position(row: Position, account: str, known: InstrumentMap) -> ExchangePosition:
    """``size`` has no sign; ``adlRankIndicator`` is 1 to 5, 0 for an empty position."""
    size = optional(row.size, "size") or Decimal(0)
    return values.position(
        EXCHANGE,
        account,
        row.symbol,
        known.by_id(row.symbol),
        quantity=side_of(row.side).sign * size if size else size,
        entry_price=row.avgPrice,
        mark=row.markPrice,
        liquidation_price=row.liqPrice,
        unrealized_pnl=row.unrealisedPnl,
        leverage=row.leverage,
        maintenance_margin=row.positionMM,
        adl_rank=row.adlRankIndicator or None,
    )


def balance(wallets: Iterable[Wallet], account: str) -> Balance:
    """The USDT of a unified account; an account that never held any has none.

    ``available`` is the account-wide figure (in USD), which counts margin in use; isolated-margin accounts leave it
    empty, there it is the wallet less what positions and orders hold.
    """
    for wallet in wallets:
        for coin in wallet.coin:
            if coin.coin != SETTLE:
                continue
            held = number(coin.walletBalance, "walletBalance")
            used = sum(
                (optional(text, "IM") or Decimal(0) for text in (coin.totalPositionIM, coin.totalOrderIM)),
                Decimal(0),
            )
            available = optional(wallet.totalAvailableBalance, "totalAvailableBalance")
            return Balance(
                account=account,
                currency=SETTLE,
                wallet=held,
                equity=number(coin.equity, "equity"),
                available=held - used if available is None else available,
                maintenance_margin=optional(coin.totalPositionMM, "totalPositionMM"),
            )
    return values.no_balance(account, SETTLE)


def is_fill(row: LedgerRow) -> bool:
    """Whether a ledger row is an execution, or a charge that belongs to one (the fee of a liquidation)."""
    return row.type in _KINDS and (
        (bool(row.qty) and bool(row.tradePrice)) or _KINDS[row.type] is not FillKind.TRADE
    )


def fill(row: LedgerRow, account: str, instrument: Instrument) -> Fill:
    """One execution as the transaction log has it.

    ``cashFlow`` is the price result of the closed part, and ``change`` what the wallet changed by; the fee is what
    lies between them, so that price result less fee is the change to the last digit. A charge without a trade (the
    fee of a liquidation) is a fill of nothing whose fee is the charge.
    """
    change = number(row.change, "change")
    if not row.qty:
        return values.charge(
            account,
            instrument,
            ledger_id=row.tradeId or row.id,
            order_id=row.orderId,
            amount=change,
            at=row.transactionTime,
            kind=_KINDS[row.type],
        )
    cash, funding = number(row.cashFlow, "cashFlow"), optional(row.funding, "funding") or Decimal(0)
    return values.fill(
        account,
        instrument,
        trade_id=row.tradeId or row.id,
        exchange_order_id=row.orderId,
        client_id=row.orderLinkId,
        side=side_of(row.side),
        quantity=row.qty,
        price=row.tradePrice,
        fee=cash + funding - change,
        realized_pnl=cash,
        at=row.transactionTime,
        kind=_KINDS[row.type],
    )


def payment(row: LedgerRow, account: str, symbol: str) -> FundingPayment:
    """One SETTLEMENT row."""
    return values.payment(
        EXCHANGE,
        account,
        symbol,
        amount=row.change,
        currency=row.currency,
        at=row.transactionTime,
        ledger_id=row.tradeId or row.id,
    )


def fee_tier(row: FeeRate) -> FeeTier:
    return FeeTier(
        maker=fraction(row.makerFeeRate, "makerFeeRate"), taker=fraction(row.takerFeeRate, "takerFeeRate")
    )


def permissions(key: ApiKey) -> KeyPermissions:
    """Trading needs order and position rights on contracts and a key that is not read-only."""
    granted = {name: rights or [] for name, rights in key.permissions.items()}
    contracts = granted.get("ContractTrade", []) + granted.get("Derivatives", [])
    return KeyPermissions(
        trade=key.readOnly == 0 and bool(contracts),
        withdraw=any("withdraw" in right.lower() for right in granted.get("Wallet", [])),
        ip_restricted=bool(key.ips) and key.ips != ["*"],
        transfer=any("transfer" in right.lower() for right in granted.get("Wallet", [])),
    )
