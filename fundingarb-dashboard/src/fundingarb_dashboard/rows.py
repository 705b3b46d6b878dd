"""The bot's values as the API shows them. Decimals stay decimals (strings in JSON); None is what is not known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fundingarb.domain.events import Alert
from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.opportunity import Payment
from fundingarb.domain.order import Fill
from fundingarb.ports import HedgeView, LegView, MarketRow

__all__ = [
    "AlertRow",
    "Leg",
    "NextPayment",
    "Order",
    "Position",
    "Rate",
    "Spread",
    "Trade",
    "alert_row",
    "order_row",
    "position_row",
    "rate_row",
    "trade_row",
]


@dataclass(frozen=True, slots=True)
class Rate:
    """One instrument's funding rate: fraction of notional that longs pay shorts at ``next_funding_time``.

    ``rate_8h`` and ``apr`` are its equivalents for 8 hours and for a year, ``predicted`` the rate expected after that,
    ``age_s`` real seconds since the exchange was heard. Rates are JSON numbers, there are thousands a second.
    """

    exchange: str
    pair: str
    rate: float | None
    rate_8h: float | None
    apr: float | None
    interval_h: float
    next_funding_time: datetime | None
    predicted: float | None
    mark: float | None
    age_s: float | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """The best two exchanges that are heard of a pair: short rate minus long rate, for 8 hours and for a year."""

    pair: str
    long: str
    short: str
    spread_8h: float
    apr: float


@dataclass(frozen=True, slots=True)
class NextPayment:
    """An expected funding payment in USD, positive received."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of a position. ``quantity`` is what is held, in base units; ``liquidation_distance`` a fraction of mark;
    ``margin_ratio`` 1 is liquidation; ``adl_rank`` 5 is first in the queue."""

    side: str
    account: str
    exchange: str
    quantity: Decimal
    entry: Decimal | None
    mark: Decimal | None
    unrealized: Decimal | None
    funding: Decimal
    fees: Decimal
    leverage: int
    next_payments: tuple[NextPayment, ...]
    liquidation_price: Decimal | None
    liquidation_distance: Decimal | None
    margin_ratio: Decimal | None
    adl_rank: int | None


@dataclass(frozen=True, slots=True)
class Exit:
    """Something that would close the position: what it compares, the figure that triggers it, where that is now."""

    reason: str
    needed: str
    actual: str


@dataclass(frozen=True, slots=True)
class Position:
    """A hedge as it is now. Money is USD; ``unrealized_pnl`` is ``unrealized`` by its other name; ``unhedged`` base
    units, positive when the long leg is heavier, for ``unhedged_s`` real seconds; ``net`` = price + funding - fees +
    unrealized. Commands name ``version``; people call it by ``number``, which no other hedge ever has."""

    position_id: UUID
    number: int
    version: int
    pair: str
    status: str
    size_usd: Decimal | None
    quantity: Decimal
    created_at: datetime
    opened_at: datetime | None
    spread_8h_entry: Decimal
    spread_8h: Decimal | None
    unhedged: Decimal
    unhedged_usd: Decimal | None
    unhedged_s: float
    price: Decimal
    funding: Decimal
    fees: Decimal
    unrealized: Decimal | None
    unrealized_pnl: Decimal | None
    net: Decimal | None
    awaited: int
    missing: int
    tolerance: Decimal
    tolerance_preset: str | None
    close_reason: str | None
    origin: str
    exits: tuple[Exit, ...]
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An order: wanted at ``intended_at``, answered at ``acknowledged_at``; ``latency_ms`` from sending until the
    answer. ``price`` None is a market order. ``pair`` and ``exchange`` are None where they are not known."""

    order_id: str
    position_id: UUID
    pair: str | None
    exchange: str | None
    account: str
    leg: str
    side: str
    action: str
    type: str
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    average: Decimal | None
    status: str
    reason: str
    intended_at: datetime
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill: ``size`` in base units, ``fee`` USD, positive paid. ``position_id`` None: no hedge of ours."""

    position_id: UUID | None
    pair: str
    exchange: str
    account: str
    side: str
    price: Decimal
    size: Decimal
    fee: Decimal
    at: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Something a person should read; ``message`` is title and lines in one."""

    severity: str
    message: str
    timestamp: datetime
    title: str
    lines: tuple[str, ...]
    position_id: UUID | None


def rate_row(row: MarketRow) -> Rate:
    return Rate(
        row.exchange, row.symbol, row.rate, row.rate_8h, row.annual, row.interval_hours, row.next_settlement,
        row.predicted, row.mark, row.age, row.stale,
    )  # fmt: skip


def position_row(view: HedgeView) -> Position:
    return Position(
        position_id=view.hedge_id,
        number=view.number,
        version=view.version,
        pair=view.symbol,
        status=view.status.value,
        size_usd=view.size_usd,
        quantity=view.quantity,
        created_at=view.created_at,
        opened_at=view.opened_at,
        spread_8h_entry=view.entry_spread_8h,
        spread_8h=view.spread_8h,
        unhedged=view.unhedged,
        unhedged_usd=view.unhedged_usd,
        unhedged_s=view.unhedged_seconds,
        price=view.price,
        funding=view.funding,
        fees=view.fees,
        unrealized=view.unrealized,
        unrealized_pnl=view.unrealized,
        net=view.net,
        awaited=view.awaited,
        missing=view.missing,
        tolerance=view.tolerance,
        tolerance_preset=view.preset,
        close_reason=None if view.close_reason is None else view.close_reason.value,
        origin=view.origin,
        exits=tuple(Exit(each.reason.value, each.needed, each.actual) for each in view.exits),
        legs=tuple(map(_leg, view.legs)),
    )


def _leg(leg: LegView) -> Leg:
    return Leg(
        side=leg.side.value,
        account=leg.account,
        exchange=leg.exchange,
        quantity=leg.filled,
        entry=leg.entry,
        mark=leg.mark,
        unrealized=leg.unrealized,
        funding=leg.funding,
        fees=leg.fees,
        leverage=leg.leverage,
        next_payments=_payments(leg.next_payments),
        liquidation_price=leg.liquidation_price,
        liquidation_distance=leg.liquidation_distance,
        margin_ratio=leg.margin_ratio,
        adl_rank=leg.adl_rank,
    )


def _payments(payments: Iterable[Payment]) -> tuple[NextPayment, ...]:
    return tuple(NextPayment(payment.at, payment.amount) for payment in payments)


def order_row(order: OrderRecord, pair: str | None, exchange: str | None) -> Order:
    return Order(
        order_id=order.client_id,
        position_id=order.hedge_id,
        pair=pair,
        exchange=exchange,
        account=order.account,
        leg=order.leg.value,
        side=order.side.value,
        action="CLOSE" if order.purpose.reduces else "OPEN",
        type="MARKET" if order.price is None else "LIMIT",
        price=order.price,
        quantity=order.quantity,
        filled=order.filled,
        average=order.average_price,
        status=order.state.value,
        reason=order.reason,
        intended_at=order.created_at,
        acknowledged_at=order.acknowledged_at,
        resolved_at=order.resolved_at,
        latency_ms=order.latency_ms,
    )


def trade_row(fill: Fill, position_id: UUID | None) -> Trade:
    return Trade(
        position_id=position_id,
        pair=fill.symbol,
        exchange=fill.exchange,
        account=fill.account,
        side=fill.side.value,
        price=fill.price,
        size=fill.quantity,
        fee=fill.fee,
        at=fill.at,
        kind=fill.kind.value,
    )


def alert_row(alert: Alert) -> AlertRow:
    return AlertRow(
        severity=alert.severity.value,
        message=" | ".join((alert.title, *alert.lines)),
        timestamp=alert.at,
        title=alert.title,
        lines=alert.lines,
        position_id=alert.hedge_id,
    )
