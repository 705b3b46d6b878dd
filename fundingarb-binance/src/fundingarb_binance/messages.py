"""What Binance USD-M answers over REST, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

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
    OrderReport,
    OrderSide,
    OrderState,
)
from fundingarb.errors import BadMessage
from fundingarb.exchanges.parse import decode, each, moment, number, optional, optional_positive, positive
from fundingarb.exchanges.symbols import InstrumentMap, in_base_units
from fundingarb.ports import KeyPermissions
from fundingarb_binance.schema import (
    Account,
    ApiRestrictions,
    CommissionRate,
    Depth,
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


def order_state(status: str) -> OrderState:
    try:
        return _STATES[status]
    except KeyError:
        raise BadMessage(f"binance: order status {status!r} is not a documented one") from None


def side_of(text: str) -> OrderSide:
    try:
        return OrderSide(text)
    except ValueError:
        raise BadMessage(f"binance: order side {text!r} is not BUY or SELL") from None


def kind_of(client_id: str) -> FillKind:
    """Whose order a fill belongs to. Binance names its own: ``autoclose-...`` liquidates, ``adl_autoclose`` is ADL,
    ``settlement_autoclose-...`` closes a contract that is delisted (the position is gone as after a liquidation)."""
    if client_id.startswith("adl_autoclose"):
        return FillKind.ADL
    closed = client_id.startswith(("autoclose-", "settlement_autoclose-"))
    return FillKind.LIQUIDATION if closed else FillKind.TRADE


def instruments(
    info: ExchangeInfo,
    intervals: Mapping[str, timedelta],
    rejected: Callable[[str, bytes], None] | None = None,
) -> list[Instrument]:
    """The USDT perpetuals that can be traded. ``rejected`` hears of entries that cannot be understood."""
    return each(info.symbols, lambda body: _instrument(body, intervals), rejected)


def _instrument(body: bytes, intervals: Mapping[str, timedelta]) -> Instrument | None:
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
    notional = filters.get("MIN_NOTIONAL")
    delivery = symbol.deliveryDate
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
            funding_interval=intervals.get(symbol.symbol, DEFAULT_INTERVAL),
            max_quantity=optional_positive(lot.maxQty, f"{symbol.symbol} maxQty"),
            delists_at=moment(delivery, "deliveryDate") if 0 < delivery < _PERPETUAL_DELIVERY else None,
        )
    )


def intervals(rows: Iterable[FundingInfo]) -> dict[str, timedelta]:
    """Exchange id -> funding interval, for the adjusted symbols (the only ones Binance lists)."""
    found: dict[str, timedelta] = {}
    for row in rows:
        if not 0 < row.fundingIntervalHours <= 24:
            raise BadMessage(f"binance {row.symbol}: funding interval of {row.fundingIntervalHours} hours")
        found[row.symbol] = timedelta(hours=row.fundingIntervalHours)
    return found


def funding_rates(
    rows: Iterable[msgspec.Raw], known: InstrumentMap, wanted: Collection[str], at: datetime
) -> list[FundingRate]:
    """The rates of the ``wanted`` exchange ids; one that cannot be used is left out."""

    def take(body: bytes) -> FundingRate | None:
        row = decode(PremiumIndex, body, "binance rate")
        instrument = known.by_id(row.symbol) if row.symbol in wanted else None
        return None if instrument is None else funding_rate(row, instrument, at)

    return each(rows, take)


def funding_rate(row: PremiumIndex, instrument: Instrument, at: datetime) -> FundingRate:
    """``lastFundingRate`` is, despite its name, the running estimate for the coming settlement."""
    mark = optional_positive(row.markPrice, f"{row.symbol} markPrice")
    index = optional_positive(row.indexPrice, f"{row.symbol} indexPrice")
    return FundingRate(
        instrument=instrument,
        rate=fraction(row.lastFundingRate, f"{row.symbol} lastFundingRate"),
        interval=instrument.funding_interval,
        next_settlement=moment(row.nextFundingTime, f"{row.symbol} nextFundingTime"),
        at=at,
        mark=None if mark is None else mark / instrument.multiplier,
        index=None if index is None else index / instrument.multiplier,
    )


def fraction(text: str, what: str) -> Decimal:
    """A funding rate or fee: a number between -1 and 1."""
    value = number(text, what)
    if abs(value) >= 1:
        raise BadMessage(f"{what}: {value} is not a plausible rate")
    return value


def settled(rows: Iterable[SettledFunding], symbol: str) -> list[SettledRate]:
    found = [
        SettledRate(
            exchange=EXCHANGE,
            symbol=symbol,
            rate=fraction(row.fundingRate, "fundingRate"),
            settled_at=snap(moment(row.fundingTime, "fundingTime")),
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
    return OrderBook(
        exchange=EXCHANGE,
        symbol=instrument.symbol,
        bids=levels(book.bids, instrument.multiplier, depth),
        asks=levels(book.asks, instrument.multiplier, depth),
        at=at,
    )


def order_report(order: Order, account: str, instrument: Instrument | None) -> OrderReport:
    multiplier = Decimal(1) if instrument is None else instrument.multiplier
    average = optional_positive(order.avgPrice, "avgPrice")
    price = number(order.price, "price")
    state = order_state(order.status)
    return OrderReport(
        account=account,
        symbol=order.symbol if instrument is None else instrument.symbol,
        client_id=order.clientOrderId or None,
        exchange_order_id=str(order.orderId),
        state=state,
        side=side_of(order.side),
        quantity=number(order.origQty, "origQty") * multiplier,
        filled=number(order.executedQty, "executedQty") * multiplier,
        price=price / multiplier if price else None,
        average_price=None if average is None else average / multiplier,
        reduce_only=order.reduceOnly,
        at=moment(order.updateTime, "updateTime") if order.updateTime else None,
        reason=order.status if state is OrderState.CANCELLED else "",
    )


def position(row: Position, account: str, known: InstrumentMap) -> ExchangePosition:
    """One position; of a contract we do not trade it carries Binance's own id as its symbol."""
    instrument = known.by_id(row.symbol)
    multiplier = Decimal(1) if instrument is None else instrument.multiplier
    mark = optional_positive(row.markPrice, "markPrice")
    liquidation = optional_positive(row.liquidationPrice, "liquidationPrice")
    return ExchangePosition(
        exchange=EXCHANGE,
        account=account,
        symbol=row.symbol if instrument is None else instrument.symbol,
        quantity=number(row.positionAmt, "positionAmt") * multiplier,
        entry_price=number(row.entryPrice, "entryPrice") / multiplier,
        mark=None if mark is None else mark / multiplier,
        liquidation_price=None if liquidation is None else liquidation / multiplier,
        unrealized_pnl=number(row.unRealizedProfit, "unRealizedProfit"),
        leverage=optional_positive(row.leverage, "leverage"),
        maintenance_margin=optional(row.maintMargin, "maintMargin"),
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
    return Balance(account, SETTLE, Decimal(0), Decimal(0), Decimal(0), Decimal(0))


def fill(
    trade: UserTrade, account: str, instrument: Instrument, client_id: str | None, fee: Decimal | None = None
) -> Fill:
    """One row of the trade ledger. ``fee`` is given where the commission was charged in another asset than USDT."""
    multiplier = instrument.multiplier
    return Fill(
        exchange=EXCHANGE,
        account=account,
        symbol=instrument.symbol,
        trade_id=str(trade.id),
        exchange_order_id=str(trade.orderId),
        client_id=client_id,
        side=side_of(trade.side),
        quantity=positive(trade.qty, "qty") * multiplier,
        price=positive(trade.price, "price") / multiplier,
        fee=number(trade.commission, "commission") if fee is None else fee,
        realized_pnl=number(trade.realizedPnl, "realizedPnl"),
        at=moment(trade.time, "time"),
        maker=trade.maker,
        kind=kind_of(client_id or ""),
    )


def charge(row: Income, account: str, instrument: Instrument) -> Fill:
    """An INSURANCE_CLEAR row (what a liquidation costs beyond its trades): a fill of nothing whose fee it is."""
    return Fill(
        exchange=EXCHANGE,
        account=account,
        symbol=instrument.symbol,
        trade_id=f"income{row.tranId}",
        exchange_order_id="",
        client_id=None,
        side=OrderSide.SELL,
        quantity=Decimal(0),
        price=Decimal(0),
        fee=-row.income,
        realized_pnl=Decimal(0),
        at=moment(row.time, "time"),
        kind=FillKind.LIQUIDATION,
    )


def payment(row: Income, account: str, symbol: str) -> FundingPayment:
    """One FUNDING_FEE row: ``income`` is what the balance changed by, so negative means paid."""
    at = moment(row.time, "time")
    return FundingPayment(
        exchange=EXCHANGE,
        account=account,
        symbol=symbol,
        settlement=snap(at),
        amount=number(row.income, "income"),
        currency=row.asset,
        at=at,
        ledger_id=str(row.tranId),
    )


def fee_tier(row: CommissionRate) -> FeeTier:
    return FeeTier(
        maker=fraction(str(row.makerCommissionRate), "makerCommissionRate"),
        taker=fraction(str(row.takerCommissionRate), "takerCommissionRate"),
    )


def permissions(row: ApiRestrictions) -> KeyPermissions:
    return KeyPermissions(
        trade=row.enableFutures, withdraw=row.enableWithdrawals, ip_restricted=row.ipRestrict
    )
