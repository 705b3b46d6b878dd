"""What Bybit v5 answers over REST, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate, snap
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
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
from fundingarb.exchanges.parse import decode, each, moment, number, optional, optional_positive, positive
from fundingarb.exchanges.symbols import InstrumentMap, in_base_units
from fundingarb.ports import KeyPermissions
from fundingarb_bybit.schema import (
    ApiKey,
    Contract,
    Created,
    Depth,
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
    try:
        return _STATES[status]
    except KeyError:
        raise BadMessage(f"bybit: order status {status!r} is not a documented one") from None


def side_of(text: str) -> OrderSide:
    try:
        return _SIDES[text]
    except KeyError:
        raise BadMessage(f"bybit: order side {text!r} is not Buy or Sell") from None


def hours(text: str, what: str) -> timedelta:
    """A funding interval given in hours."""
    value = number(text, what)
    if not 0 < value <= 24:
        raise BadMessage(f"{what}: a funding interval of {value} hours")
    return timedelta(seconds=int(value * 3600))


def fraction(text: str, what: str) -> Decimal:
    """A funding rate or fee: a number between -1 and 1."""
    value = number(text, what)
    if abs(value) >= 1:
        raise BadMessage(f"{what}: {value} is not a plausible rate")
    return value


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
    minimum = lot.minNotionalValue
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
            delists_at=moment(contract.deliveryTime, "deliveryTime")
            if contract.deliveryTime not in ("", "0")
            else None,
        )
    )


def funding_rates(
    rows: Iterable[msgspec.Raw], known: InstrumentMap, wanted: Collection[str], at: datetime
) -> list[FundingRate]:
    """The rates of the ``wanted`` exchange ids; one that cannot be used is left out."""

    def take(body: bytes) -> FundingRate | None:
        row = decode(Ticker, body, "bybit rate")
        instrument = known.by_id(row.symbol) if row.symbol in wanted else None
        return None if instrument is None else funding_rate(row, instrument, at)

    return each(rows, take)


def funding_rate(row: Ticker, instrument: Instrument, at: datetime) -> FundingRate:
    """The rate for ``nextFundingTime``. The ticker's own interval counts: the instrument list lags behind changes."""
    mark = optional_positive(row.markPrice, f"{row.symbol} markPrice")
    index = optional_positive(row.indexPrice, f"{row.symbol} indexPrice")
    interval = row.fundingIntervalHour
    return FundingRate(
        instrument=instrument,
        rate=fraction(row.fundingRate, f"{row.symbol} fundingRate"),
        interval=hours(interval, f"{row.symbol} fundingIntervalHour")
        if interval
        else instrument.funding_interval,
        next_settlement=moment(row.nextFundingTime, f"{row.symbol} nextFundingTime"),
        at=at,
        mark=None if mark is None else mark / instrument.multiplier,
        index=None if index is None else index / instrument.multiplier,
    )


def settled(rows: Iterable[SettledFunding], symbol: str) -> list[SettledRate]:
    """Settled rates, oldest first (Bybit sends the newest first)."""
    found = [
        SettledRate(
            exchange=EXCHANGE,
            symbol=symbol,
            rate=fraction(row.fundingRate, "fundingRate"),
            settled_at=snap(moment(row.fundingRateTimestamp, "fundingRateTimestamp")),
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: row.settled_at)


def levels(
    rows: Iterable[tuple[str, str]], multiplier: Decimal, depth: int | None = None
) -> tuple[tuple[Decimal, Decimal], ...]:
    """(price, quantity) pairs per base unit; empty levels are left out."""
    found: list[tuple[Decimal, Decimal]] = []
    for price, quantity in rows:
        size = number(quantity, "book quantity")
        if size > 0:
            found.append((positive(price, "book price") / multiplier, size * multiplier))
            if depth is not None and len(found) == depth:
                break
    return tuple(found)


def order_book(book: Depth, instrument: Instrument, depth: int, at: datetime) -> OrderBook:
    """Bybit sends both sides best first; sorted all the same, because a book out of order would misprice."""
    bids = levels(book.b, instrument.multiplier)
    asks = levels(book.a, instrument.multiplier)
    return OrderBook(
        exchange=EXCHANGE,
        symbol=instrument.symbol,
        bids=tuple(sorted(bids, reverse=True)[:depth]),
        asks=tuple(sorted(asks)[:depth]),
        at=at,
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
    instrument = known.by_id(order.symbol)
    multiplier = Decimal(1) if instrument is None else instrument.multiplier
    average = optional_positive(order.avgPrice, "avgPrice")
    price = optional_positive(order.price, "price")
    reasons = [text for text in (order.rejectReason, order.cancelType) if text not in _NO_REASON]
    return OrderReport(
        account=account,
        symbol=order.symbol if instrument is None else instrument.symbol,
        client_id=order.orderLinkId or None,
        exchange_order_id=order.orderId,
        state=order_state(order.orderStatus),
        side=side_of(order.side),
        quantity=number(order.qty, "qty") * multiplier,
        filled=(optional(order.cumExecQty, "cumExecQty") or Decimal(0)) * multiplier,
        price=None if price is None else price / multiplier,
        average_price=None if average is None else average / multiplier,
        reduce_only=order.reduceOnly,
        at=moment(order.updatedTime, "updatedTime") if order.updatedTime else None,
        reason=" ".join(reasons),
    )


def position(row: Position, account: str, known: InstrumentMap) -> ExchangePosition:
    """One position; of a contract we do not trade it carries Bybit's own id as its symbol."""
    instrument = known.by_id(row.symbol)
    multiplier = Decimal(1) if instrument is None else instrument.multiplier
    size = optional(row.size, "size") or Decimal(0)
    mark = optional_positive(row.markPrice, "markPrice")
    liquidation = optional_positive(row.liqPrice, "liqPrice")
    entry = optional(row.avgPrice, "avgPrice") or Decimal(0)
    sign = side_of(row.side).sign if size else 1
    return ExchangePosition(
        exchange=EXCHANGE,
        account=account,
        symbol=row.symbol if instrument is None else instrument.symbol,
        quantity=sign * size * multiplier,
        entry_price=entry / multiplier,
        mark=None if mark is None else mark / multiplier,
        liquidation_price=None if liquidation is None else liquidation / multiplier,
        unrealized_pnl=optional(row.unrealisedPnl, "unrealisedPnl") or Decimal(0),
        leverage=optional_positive(row.leverage, "leverage"),
        maintenance_margin=optional(row.positionMM, "positionMM"),
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
    return Balance(account, SETTLE, Decimal(0), Decimal(0), Decimal(0), Decimal(0))


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
    cash, change = number(row.cashFlow, "cashFlow"), number(row.change, "change")
    funding = optional(row.funding, "funding") or Decimal(0)
    return Fill(
        exchange=EXCHANGE,
        account=account,
        symbol=instrument.symbol,
        trade_id=row.tradeId or row.id,
        exchange_order_id=row.orderId,
        client_id=row.orderLinkId or None,
        side=side_of(row.side) if row.qty else OrderSide.SELL,
        quantity=positive(row.qty, "qty") * instrument.multiplier if row.qty else Decimal(0),
        price=positive(row.tradePrice, "tradePrice") / instrument.multiplier if row.qty else Decimal(0),
        fee=cash + funding - change if row.qty else -change,
        realized_pnl=cash if row.qty else Decimal(0),
        at=moment(row.transactionTime, "transactionTime"),
        kind=_KINDS[row.type],
    )


def payment(row: LedgerRow, account: str, symbol: str) -> FundingPayment:
    """One SETTLEMENT row: ``change`` is what the balance changed by, so negative means paid."""
    at = moment(row.transactionTime, "transactionTime")
    return FundingPayment(
        exchange=EXCHANGE,
        account=account,
        symbol=symbol,
        settlement=snap(at),
        amount=number(row.change, "change"),
        currency=row.currency,
        at=at,
        ledger_id=row.tradeId or row.id,
    )


def fee_tier(row: FeeRate) -> FeeTier:
    return FeeTier(
        maker=fraction(row.makerFeeRate, "makerFeeRate"), taker=fraction(row.takerFeeRate, "takerFeeRate")
    )


def permissions(key: ApiKey) -> KeyPermissions:
    """Trading needs order and position rights on contracts and a key that is not read-only."""
    granted = {name: values or [] for name, values in key.permissions.items()}
    contracts = granted.get("ContractTrade", []) + granted.get("Derivatives", [])
    return KeyPermissions(
        trade=key.readOnly == 0 and bool(contracts),
        withdraw=any("withdraw" in right.lower() for right in granted.get("Wallet", [])),
        ip_restricted=bool(key.ips) and key.ips != ["*"],
    )
