"""What Binance USD-M answers over REST, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    FillKind,
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
    optional_positive,
    positive,
)
from fundingarb.exchanges.symbols import InstrumentMap, in_base_units
from fundingarb.ports import KeyPermissions
from fundingarb_binance.schema import (
    Account,
    ApiRestrictions,
    CommissionRate,
    ExchangeInfo,
    FundingInfo,
    Income,
    Order,
    Position,
    PremiumIndex,
    SettledFunding,
    Symbol,
    UserTrade,
)

EXCHANGE = "binance"
DEFAULT_INTERVAL = timedelta(hours=8)
SETTLE = "USDT"
_PERPETUAL_DELIVERY = (
    4_000_000_000_000  # deliveryDate of a contract that is not going to be delivered lies beyond this
)


_STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.OPEN,
    "PENDING_CANCEL": OrderState.OPEN,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "EXPIRED": OrderState.CANCELLED,
    "EXPIRED_IN_MATCH": OrderState.CANCELLED,
    "REJECTED": OrderState.REFUSED,
    "NEW_INSURANCE": OrderState.OPEN,
    "NEW_ADL": OrderState.OPEN,
}
_SIDES = {side.value: side for side in OrderSide}


def order_state(status: str) -> OrderState:
    return one_of(_STATES, status, "binance: order status")


def side_of(text: str) -> OrderSide:
    return one_of(_SIDES, text, "binance: order side")


def kind_of(client_id: str) -> FillKind:
    """Whose order a fill belongs to. Binance names its own: ``autoclose-...`` liquidates, ``adl_autoclose`` is ADL,
    ``settlement_autoclose-...`` closes a contract that is delisted (the position is gone as after a liquidation)."""
    if client_id.startswith("adl_autoclose"):
        return FillKind.ADL
    closed = client_id.startswith(("autoclose-", "settlement_autoclose-"))
    return FillKind.LIQUIDATION if closed else FillKind.TRADE


class FundingTerms(NamedTuple):
    """Time between settlements, and the bounds of a rate (fraction per interval) where Binance gives them."""

    interval: timedelta = DEFAULT_INTERVAL
    cap: Decimal | None = None
    floor: Decimal | None = None


def instruments(
    info: ExchangeInfo,
    terms: Mapping[str, FundingTerms],
    rejected: Callable[[str, bytes], None] | None = None,
) -> list[Instrument]:
    """The USDT perpetuals that can be traded. ``rejected`` hears of entries that cannot be understood."""
    return each(info.symbols, lambda body: _instrument(body, terms), rejected)


def _instrument(body: bytes, terms: Mapping[str, FundingTerms]) -> Instrument | None:
    symbol = decode(Symbol, body, "binance exchangeInfo symbol")
    if (symbol.contractType, symbol.status) != ("PERPETUAL", "TRADING"):
        return None
    if symbol.quoteAsset != SETTLE or symbol.marginAsset != SETTLE:
        return None
    filters = {each.filterType: each for each in symbol.filters}
    try:
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    except KeyError as error:
        raise BadMessage(f"binance {symbol.symbol}: no filter {error}") from error
    notional, market = filters.get("MIN_NOTIONAL"), filters.get("MARKET_LOT_SIZE")
    delivery, funding = symbol.deliveryDate, terms.get(symbol.symbol, FundingTerms())
    return in_base_units(
        Instrument(
            exchange=EXCHANGE,
            symbol=f"{symbol.baseAsset}-{SETTLE}",
            exchange_id=symbol.symbol,
            base=symbol.baseAsset,
            settle=SETTLE,
            tick=positive(price.tickSize, f"{symbol.symbol} tickSize"),
            lot=positive(lot.stepSize, f"{symbol.symbol} stepSize"),
            min_quantity=positive(lot.minQty, f"{symbol.symbol} minQty"),
            min_notional=number(notional.notional, f"{symbol.symbol} notional") if notional else Decimal(0),
            funding_interval=funding.interval,
            funding_cap=funding.cap,
            funding_floor=funding.floor,
            max_quantity=optional_positive(lot.maxQty, f"{symbol.symbol} maxQty"),
            max_market_quantity=optional_positive(market.maxQty, f"{symbol.symbol} maxQty")
            if market
            else None,
            delists_at=moment(delivery, "deliveryDate") if 0 < delivery < _PERPETUAL_DELIVERY else None,
        )
    )


def funding_terms(rows: Iterable[FundingInfo]) -> dict[str, FundingTerms]:
    """Exchange id -> terms, for the adjusted symbols (the only ones Binance lists)."""
    found: dict[str, FundingTerms] = {}
    for row in rows:
        if not 0 < row.fundingIntervalHours <= 24:
            raise BadMessage(f"binance {row.symbol}: funding interval of {row.fundingIntervalHours} hours")
        cap, floor = row.adjustedFundingRateCap, row.adjustedFundingRateFloor
        found[row.symbol] = FundingTerms(
            timedelta(hours=row.fundingIntervalHours),
            number(cap, f"{row.symbol} adjustedFundingRateCap") if cap else None,
            number(floor, f"{row.symbol} adjustedFundingRateFloor") if floor else None,
        )
    return found


def funding_rates(
    rows: Iterable[msgspec.Raw], known: InstrumentMap, wanted: Collection[str], at: datetime
) -> list[FundingRate]:
    """The rates of the ``wanted`` exchange ids; one that cannot be used is left out."""
    return values.funding_rates(rows, PremiumIndex, lambda row: row.symbol, funding_rate, known, wanted, at)


def funding_rate(row: PremiumIndex, instrument: Instrument, at: datetime) -> FundingRate:
    """``lastFundingRate`` is, despite its name, the running estimate for the coming settlement."""
    return values.funding_rate(
        instrument,
        rate=row.lastFundingRate,
        next_settlement=row.nextFundingTime,
        at=at,
        mark=row.markPrice,
        index=row.indexPrice,
    )


def settled(rows: Iterable[SettledFunding], symbol: str) -> list[SettledRate]:
    return values.settled_rates(EXCHANGE, symbol, ((row.fundingTime, row.fundingRate) for row in rows))


def order_report(order: Order, account: str, instrument: Instrument | None) -> OrderReport:
    state = order_state(order.status)
    return values.order_report(
        account,
        order.symbol,
        instrument,
        client_id=order.clientOrderId,
        exchange_order_id=str(order.orderId),
        state=state,
        side=side_of(order.side),
        quantity=order.origQty,
        filled=order.executedQty,
        price=order.price,
        average=order.avgPrice,
        reduce_only=order.reduceOnly,
        at=order.updateTime,
        reason=order.status if state is OrderState.CANCELLED else "",
    )


def position(row: Position, account: str, known: InstrumentMap) -> ExchangePosition:
    """``adl`` is 0 to 4."""
    return values.position(
        EXCHANGE,
        account,
        row.symbol,
        known.by_id(row.symbol),
        quantity=row.positionAmt,
        entry_price=row.entryPrice,
        mark=row.markPrice,
        liquidation_price=row.liquidationPrice,
        unrealized_pnl=row.unRealizedProfit,
        leverage=row.leverage,
        maintenance_margin=row.maintMargin,
        adl_rank=None if row.adl is None else row.adl + 1,
    )


def balance(answer: Account, account: str) -> Balance:
    """The USDT part of the account; an account that never held any has none."""
    for asset in answer.assets:
        if asset.asset == SETTLE:
            return Balance(
                account=account,
                currency=SETTLE,
                wallet=number(asset.walletBalance, "walletBalance"),
                equity=number(asset.marginBalance, "marginBalance"),
                available=number(asset.availableBalance, "availableBalance"),
                maintenance_margin=number(asset.maintMargin, "maintMargin"),
            )
    return values.no_balance(account, SETTLE)


def fill(
    trade: UserTrade, account: str, instrument: Instrument, client_id: str | None, fee: Decimal | None = None
) -> Fill:
    """One row of the trade ledger. ``fee`` is given where the commission was charged in another asset than USDT."""
    return values.fill(
        account,
        instrument,
        trade_id=str(trade.id),
        exchange_order_id=str(trade.orderId),
        client_id=client_id,
        side=side_of(trade.side),
        quantity=trade.qty,
        price=trade.price,
        fee=trade.commission if fee is None else fee,
        realized_pnl=trade.realizedPnl,
        at=trade.time,
        maker=trade.maker,
        kind=kind_of(client_id or ""),
    )


def charge(row: Income, account: str, instrument: Instrument) -> Fill:
    """An INSURANCE_CLEAR row: what a liquidation costs beyond its trades."""
    return values.charge(
        account,
        instrument,
        ledger_id=f"income{row.tranId}",
        order_id="",
        amount=row.income,
        at=row.time,
        kind=FillKind.LIQUIDATION,
    )


def payment(row: Income, account: str, symbol: str) -> FundingPayment:
    """One FUNDING_FEE row."""
    return values.payment(
        EXCHANGE,
        account,
        symbol,
        amount=row.income,
        currency=row.asset,
        at=row.time,
        ledger_id=str(row.tranId),
    )


def fee_tier(row: CommissionRate) -> FeeTier:
    return FeeTier(
        maker=fraction(row.makerCommissionRate, "makerCommissionRate"),
        taker=fraction(row.takerCommissionRate, "takerCommissionRate"),
    )


def permissions(row: ApiRestrictions) -> KeyPermissions:
    transfers = (row.enableInternalTransfer, row.permitsUniversalTransfer)
    return KeyPermissions(
        trade=row.enableFutures,
        withdraw=row.enableWithdrawals,
        ip_restricted=row.ipRestrict,
        transfer=True if any(transfers) else None if None in transfers else False,
    )
