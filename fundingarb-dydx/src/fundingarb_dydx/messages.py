"""What dYdX's indexer says, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal

import msgspec

from fundingarb.domain.funding import HOUR, FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.market import OrderBook
from fundingarb.domain.order import (
    ZERO,
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
from fundingarb.exchanges.parse import decode, each, fraction, number, one_of, positive, to_ms
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_dydx import schema
from fundingarb_dydx.ids import OrderNames
from fundingarb_dydx.transactions import Scale

EXCHANGE = "dydx"
SETTLE = "USDC"
QUOTE = "USDT"
"""Symbols are the same on every exchange, so that BTC-USD, which settles in USDC, is BTC-USDT here. The settle currency
is in ``Instrument.settle``, and the depeg rule watches what the two dollars are worth to each other."""
MILLION = 1_000_000

_SIDES = {"BUY": OrderSide.BUY, "SELL": OrderSide.SELL}
FILL_KINDS = {
    "LIMIT": FillKind.TRADE,
    "MARKET": FillKind.TRADE,
    "TWAP_SUBORDER": FillKind.TRADE,
    "LIQUIDATION": FillKind.TRADE,  # the maker's side of somebody else's liquidation
    "LIQUIDATED": FillKind.LIQUIDATION,
    "DELEVERAGED": FillKind.LIQUIDATION,  # bankrupt before it could be liquidated
    "OFFSETTING": FillKind.ADL,  # closed to offset a bankrupt position
}
_OVER = {"FILLED": OrderState.FILLED, "CANCELED": OrderState.CANCELLED, "ERROR": OrderState.REFUSED}
_LIVE = ("OPEN", "BEST_EFFORT_OPENED", "BEST_EFFORT_CANCELED", "UNTRIGGERED")


def time_of(text: str, what: str) -> datetime:
    """An ISO time as aware UTC."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise BadMessage(f"{what}: {text[:40]!r} is not a time") from error
    if found.tzinfo is None or not 2000 < found.year < 2100:
        raise BadMessage(f"{what}: {text!r} is not a time")
    return found.astimezone(timezone.utc)


def block(text: str, what: str) -> int:
    """A block height."""
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise BadMessage(f"{what}: {text[:40]!r} is not a height")
    return int(text)


def index(text: str, what: str) -> int:
    """A number of 32 bits, as the indexer writes it: client ids, metadata, flags, numbers of order books."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) >= 2**32:
        raise BadMessage(f"{what}: {text[:40]!r} is not a number of 32 bits")
    return int(text)


def next_hour(now: datetime) -> datetime:
    """When the next funding is settled: every full hour."""
    return now.replace(minute=0, second=0, microsecond=0) + HOUR


def markets(
    rows: Mapping[str, msgspec.Raw], rejected: Callable[[str, bytes], None] | None = None
) -> list[schema.Market]:
    """Every market that can be understood."""
    return each(rows.values(), lambda body: decode(schema.Market, body, "dydx market"), rejected)


def instruments(
    listed: Iterable[schema.Market], rejected: Callable[[str, bytes], None] | None = None
) -> list[Instrument]:
    """The perpetuals that can be traded here; ``rejected`` hears of entries that cannot be used.

    Isolated markets need a subaccount each and are left out, as are those of tokens named by an address
    (``NAME,POOL,ADDRESS-USD``), whose names say little about what they are.
    """
    found = []
    for market in listed:
        try:
            instrument = _instrument(market)
        except (BadMessage, ValueError) as error:
            if rejected is not None:
                rejected(str(error), market.ticker.encode())
            continue
        if instrument is not None:
            found.append(instrument)
    return found


def _instrument(market: schema.Market) -> Instrument | None:
    base, _, quote = market.ticker.rpartition("-")
    if market.status != "ACTIVE" or market.marketType != "CROSS" or quote != "USD" or not base.isalnum():
        return None
    scale(market), margin_fractions(market)
    step = positive(market.stepSize, f"{market.ticker} stepSize")
    return Instrument(
        exchange=EXCHANGE,
        symbol=f"{base}-{QUOTE}",
        exchange_id=market.ticker,
        base=base,
        settle=SETTLE,
        tick=positive(market.tickSize, f"{market.ticker} tickSize"),
        lot=step,
        min_quantity=step,
        min_notional=ZERO,
        funding_interval=HOUR,
    )


def scale(market: schema.Market) -> Scale:
    """How ``market`` counts; ``BadMessage`` when its steps and its resolutions do not agree."""
    name = market.ticker
    found = Scale(
        clob_pair_id=index(market.clobPairId, f"{name} clobPairId"),
        step_size=positive(market.stepSize, f"{name} stepSize"),
        step_quantums=market.stepBaseQuantums,
        tick_size=positive(market.tickSize, f"{name} tickSize"),
        tick_subticks=market.subticksPerTick,
    )
    resolutions = (market.atomicResolution, market.quantumConversionExponent)
    if (
        not all(-30 <= exponent <= 30 for exponent in resolutions)
        or min(found.step_quantums, found.tick_subticks) <= 0
    ):
        raise BadMessage(
            f"{name}: resolutions {resolutions}, steps {found.step_quantums}, {found.tick_subticks}"
        )
    quantum = Decimal(1).scaleb(market.atomicResolution)
    subtick = Decimal(1).scaleb(market.quantumConversionExponent - market.atomicResolution - 6)
    if found.step_quantums * quantum != found.step_size or found.tick_subticks * subtick != found.tick_size:
        raise BadMessage(
            f"{name}: step {market.stepSize} or tick {market.tickSize} is not what the chain counts in"
        )
    return found


def margin_fractions(market: schema.Market) -> tuple[Decimal, Decimal]:
    """Initial and maintenance margin per notional."""
    initial = positive(market.initialMarginFraction, f"{market.ticker} initialMarginFraction")
    maintenance = positive(market.maintenanceMarginFraction, f"{market.ticker} maintenanceMarginFraction")
    if not maintenance <= initial <= 1:
        raise BadMessage(f"{market.ticker}: margin fractions {initial} and {maintenance}")
    return initial, maintenance


def oracle_price(market: schema.Market) -> Decimal:
    """The price that margin, funding and liquidation go by."""
    return positive(market.oraclePrice or "", f"{market.ticker} oraclePrice")


def funding_rate(market: schema.Market, instrument: Instrument, at: datetime) -> FundingRate:
    """What the coming full hour is expected to settle. The oracle price is what payments are reckoned with."""
    return values.funding_rate(
        instrument,
        rate=market.nextFundingRate or "",
        next_settlement=to_ms(next_hour(at)),
        at=at,
        mark=market.oraclePrice or "",
        index=market.oraclePrice or "",
    )


def funding_rates(
    listed: Iterable[schema.Market], known: InstrumentMap, wanted: Collection[str], at: datetime
) -> list[FundingRate]:
    """The rates of the ``wanted`` tickers; one that cannot be used is left out."""
    found = []
    for market in listed:
        instrument = known.by_id(market.ticker) if market.ticker in wanted else None
        if instrument is not None:
            try:
                found.append(funding_rate(market, instrument, at))
            except BadMessage:
                continue
    return found


def settled(rows: Iterable[schema.SettledFunding], symbol: str) -> list[SettledRate]:
    return values.settled_rates(
        EXCHANGE, symbol, ((to_ms(time_of(row.effectiveAt, "effectiveAt")), row.rate) for row in rows)
    )


def order_book(answer: schema.Depth, instrument: Instrument, at: datetime, depth: int) -> OrderBook:
    """The indexer's book may be crossed for a moment: what is crossed is taken away on both sides."""
    book = values.order_book(
        instrument,
        [(level.price, level.size) for level in answer.bids],
        [(level.price, level.size) for level in answer.asks],
        at,
    )
    bids, asks = uncrossed(book.bids, book.asks)
    return OrderBook(EXCHANGE, instrument.symbol, bids[:depth], asks[:depth], at)


Levels = tuple[tuple[Decimal, Decimal], ...]


def uncrossed(bids: Levels, asks: Levels) -> tuple[Levels, Levels]:
    """Both sides (best first) without what is crossed: the smaller of two crossing levels goes, off the larger too."""
    left, right = list(bids), list(asks)
    while left and right and left[0][0] >= right[0][0]:
        (bid, bought), (ask, sold) = left[0], right[0]
        left[:1] = [(bid, bought - sold)] if bought > sold else []
        right[:1] = [(ask, sold - bought)] if sold > bought else []
    return tuple(left), tuple(right)


def side_of(text: str) -> OrderSide:
    return one_of(_SIDES, text, "dydx: order side")


def is_over(order: schema.Order) -> bool:
    """Whether the indexer itself says that nothing more becomes of an order."""
    return order.status in _OVER


def order_state(order: schema.Order, height: int | None) -> OrderState:
    """Where an order is. "Best effort" is what one validator thinks: such an order may still be filled, or be there,
    until the chain (at ``height``) is past its last block."""
    over = _OVER.get(order.status)
    if over is not None:
        return over
    if order.status not in _LIVE:
        raise BadMessage(f"dydx: order status {order.status!r} is not a documented one")
    if order.goodTilBlock and height is not None and height > block(order.goodTilBlock, "goodTilBlock"):
        return OrderState.CANCELLED
    return OrderState.OPEN


def name_of(order: schema.Order, names: OrderNames) -> str | None:
    """Our name of an order; by its UUID where the stream leaves its number out. None for somebody else's."""
    if not order.clientId:
        return names.name_of_id(order.id)
    return names.name_of(
        index(order.clientId, "clientId"), index(order.clientMetadata or "0", "clientMetadata")
    )


def order_report(
    order: schema.Order, account: str, name: str | None, known: InstrumentMap, height: int | None
) -> OrderReport:
    return values.order_report(
        account,
        order.ticker,
        known.by_id(order.ticker),
        client_id=name or "",
        exchange_order_id=order.id,
        state=order_state(order, height),
        side=side_of(order.side),
        quantity=positive(order.size, "order size"),
        filled=order.totalFilled or "",
        price=order.price,
        average="",
        reduce_only=order.reduceOnly,
        at=to_ms(time_of(order.updatedAt, "updatedAt")) if order.updatedAt else "",
        reason=order.removalReason.removeprefix("ORDER_REMOVAL_REASON_"),
    )


def taken_up(
    order: NewOrder, exchange_order_id: str, account: str, price: Decimal, at: datetime
) -> OrderReport:
    """A transaction that a node took up. Nothing is known of the order but that it is on its way."""
    return OrderReport(
        account=account,
        symbol=order.symbol,
        client_id=order.client_id,
        exchange_order_id=exchange_order_id,
        state=OrderState.OPEN,
        side=order.side,
        quantity=order.quantity,
        filled=ZERO,
        price=price,
        reduce_only=order.reduce_only,
        at=at,
    )


def fill(row: schema.Fill, account: str, instrument: Instrument, name: str | None, realized: Decimal) -> Fill:
    """One execution. ``realized`` comes from the ledger's own reckoning: dYdX books cash, not price results."""
    return values.fill(
        account,
        instrument,
        trade_id=row.id,
        exchange_order_id=row.orderId or "",
        client_id=name,
        side=side_of(row.side),
        quantity=row.size,
        price=row.price,
        fee=row.fee,
        realized_pnl=realized,
        at=to_ms(time_of(row.createdAt, "fill createdAt")),
        maker=row.liquidity == "MAKER",
        kind=one_of(FILL_KINDS, row.type, "dydx: fill type"),
    )


def payment(row: schema.Payment, account: str, symbol: str) -> FundingPayment:
    """One row of the funding payments: positive is received (``- size * oracle price * rate``).

    It is written after the hour it belongs to, sometimes minutes later.
    """
    posted = time_of(row.createdAt, "payment createdAt")
    found = values.payment(
        EXCHANGE,
        account,
        symbol,
        amount=row.payment,
        currency=SETTLE,
        at=to_ms(posted),
        ledger_id=f"{row.ticker}:{block(row.createdAtHeight, 'createdAtHeight')}",
    )
    return replace(found, settlement=found.at.replace(minute=0, second=0, microsecond=0))


def transfer(row: schema.Transfer, address: str, subaccount: int) -> Decimal:
    """What a transfer changed the subaccount by, in USDC: positive came in."""
    amount = positive(row.size, "transfer size")
    return (
        amount
        if (row.recipient.address, row.recipient.subaccountNumber) == (address, subaccount)
        else -amount
    )


def fee_tier(answer: schema.FeeTierAnswer) -> FeeTier:
    """Parts per million of notional; a negative maker fee is a rebate."""
    return FeeTier(
        maker=fraction(number(str(answer.tier.maker_fee_ppm), "maker_fee_ppm") / MILLION, "maker_fee_ppm"),
        taker=fraction(number(str(answer.tier.taker_fee_ppm), "taker_fee_ppm") / MILLION, "taker_fee_ppm"),
    )
