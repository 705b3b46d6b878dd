"""A hedge: its durable intent, its order registry, and everything else as a projection of the two.

The truth of a hedge is its ``Intent`` (what we want), its ``OrderRecord`` rows (every order ever asked for, committed
before it is sent) and the exchange's cumulative fills on them. Filled, reserved, unhedged, finished: all recomputed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from uuid import UUID

from fundingarb.domain.instrument import Instrument, Side, common_lot
from fundingarb.domain.order import (
    ZERO,
    Fill,
    OrderReport,
    OrderSide,
    OrderState,
    Purpose,
    TimeInForce,
    order_side,
)


class Mode(str, Enum):
    """What a hedge is being driven to: the target on both legs, what is hedged, nothing; or it is over."""

    OPENING = "OPENING"
    HOLDING = "HOLDING"
    CLOSING = "CLOSING"
    DONE = "DONE"


class Status(str, Enum):
    """The specification's word for where a position is; ``ABANDONED`` never held anything."""

    OPENING = "OPENING"
    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    LIQUIDATED = "LIQUIDATED"
    ABANDONED = "ABANDONED"


class CloseReason(str, Enum):
    """Why a hedge is being closed."""

    SPREAD = "SPREAD"
    LIQUIDATION = "LIQUIDATION"
    MANUAL = "MANUAL"
    KILL = "KILL"
    INCOMPLETE = "INCOMPLETE"
    DELISTING = "DELISTING"
    MARGIN = "MARGIN"
    DEPEG = "DEPEG"


@dataclass(frozen=True, slots=True)
class LegPlan:
    """One side of a hedge: where it trades and at what leverage."""

    side: Side
    account: str
    instrument: Instrument
    leverage: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of a hedge. Commands edit this, never an order; ``version`` grows with every edit.

    ``quantity`` is the target of both legs in base units, ``first`` the side that is filled first (the less liquid
    one), ``deadline`` when an unfinished entry is given up, ``tolerance`` the lowest acceptable 8-hour spread.
    ``number`` is what people call the hedge by: the bot's first is 1, and none is ever given to two; 0 is none.
    """

    id: UUID
    instance: str
    symbol: str
    mode: Mode
    quantity: Decimal
    long: LegPlan
    short: LegPlan
    first: Side
    deadline: datetime
    tolerance: Decimal
    entry_spread: Decimal
    created_at: datetime
    config_revision: int = 0
    version: int = 1
    close_reason: CloseReason | None = None
    liquidated: bool = False
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    origin: str = "strategy"
    number: int = 0

    def leg(self, side: Side) -> LegPlan:
        return self.long if side is Side.LONG else self.short

    def edit(self, **changes: object) -> Intent:
        """The next version of this intent."""
        return replace(self, version=self.version + 1, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One row of the order registry: an order we asked for, and what is known of it.

    ``filled`` is cumulative and monotone. ``booked`` is how much of it has arrived as ledger fills; the hedge is not
    finished before the two agree. ``reference`` is the mid price the decision saw (what slippage is measured from).
    """

    client_id: str
    hedge_id: UUID
    leg: Side
    purpose: Purpose
    attempt: int
    account: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool
    created_at: datetime
    state: OrderState = OrderState.INTENDED
    filled: Decimal = ZERO
    booked: Decimal = ZERO
    average_price: Decimal | None = None
    exchange_order_id: str = ""
    reference: Decimal | None = None
    reason: str = ""
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    latency_ms: float | None = None
    misses: int = 0
    cancel_requested: bool = False

    @property
    def remaining(self) -> Decimal:
        """What may still be filled; nothing once the order is over."""
        return ZERO if self.state.terminal else self.quantity - self.filled

    def observe(self, report: OrderReport, now: datetime) -> OrderRecord:
        """This row after the exchange reported: fills only grow, a terminal state never regresses.

        ``REFUSED`` is the exception. It also stands for "the exchange knew no such order", and an order that turns up
        after all has to be looked after.
        """
        filled = max(self.filled, report.filled)
        over = self.state.terminal and self.state is not OrderState.REFUSED
        state = self.state if over else report.state
        if not state.terminal and filled >= self.quantity:
            state = OrderState.FILLED
        return replace(
            self,
            state=state,
            filled=filled,
            average_price=self.average_price
            if report.average_price is None or report.filled < self.filled
            else report.average_price,
            exchange_order_id=report.exchange_order_id or self.exchange_order_id,
            reason=report.reason or self.reason,
            acknowledged_at=self.acknowledged_at or now,
            resolved_at=(self.resolved_at or now) if state.terminal else None,
            misses=0,
        )


@dataclass(frozen=True, slots=True)
class LegState:
    """Projection of one leg. Quantities are base units held in the leg's own direction.

    ``filled`` is entries minus reductions minus what the exchange took away (liquidation, ADL). ``adding`` and
    ``reducing`` are what open or unresolved orders may still add or take; an unknown order counts in full.
    """

    plan: LegPlan
    filled: Decimal
    adding: Decimal
    reducing: Decimal
    live: tuple[OrderRecord, ...]
    unresolved: tuple[OrderRecord, ...]

    @property
    def idle(self) -> bool:
        return not self.live and not self.unresolved


@dataclass(frozen=True)
class Hedge:
    """Intent plus order registry, and the projections everything else is computed from.

    ``taken`` is, per side, what others took of the leg, in base units: the exchange itself (liquidation, ADL), or a
    person who closed some of it by hand.
    """

    intent: Intent
    orders: tuple[OrderRecord, ...] = ()
    taken: dict[Side, Decimal] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return self.intent.id

    @property
    def symbol(self) -> str:
        return self.intent.symbol

    @property
    def number(self) -> int:
        return self.intent.number

    def leg(self, side: Side) -> LegState:
        return self.long if side is Side.LONG else self.short

    @cached_property
    def long(self) -> LegState:
        return self._project(Side.LONG)

    @cached_property
    def short(self) -> LegState:
        return self._project(Side.SHORT)

    def _project(self, side: Side) -> LegState:
        filled = -self.taken.get(side, ZERO)
        adding = reducing = ZERO
        live: list[OrderRecord] = []
        unresolved: list[OrderRecord] = []
        for order in self.orders:
            if order.leg is not side:
                continue
            if order.purpose.reduces:
                filled -= order.filled
                reducing += order.remaining
            else:
                filled += order.filled
                adding += order.remaining
            if order.state is OrderState.OPEN:
                live.append(order)
            elif order.state.unresolved:
                unresolved.append(order)
        return LegState(self.intent.leg(side), filled, adding, reducing, tuple(live), tuple(unresolved))

    @cached_property
    def lot(self) -> Decimal:
        """The step both legs can be sized in."""
        return common_lot(self.intent.long.instrument, self.intent.short.instrument)

    @property
    def unhedged(self) -> Decimal:
        """Long minus short filled quantity: positive when the long leg is heavier."""
        return self.long.filled - self.short.filled

    @property
    def hedged(self) -> Decimal:
        return min(self.long.filled, self.short.filled)

    @property
    def live(self) -> bool:
        """Whether this hedge still occupies its symbol and its instruments."""
        return self.intent.mode is not Mode.DONE

    @cached_property
    def complete_fills(self) -> bool:
        """Whether every reported fill has arrived as a ledger row."""
        return all(order.booked >= order.filled for order in self.orders)

    @cached_property
    def finished(self) -> bool:
        """Over, with every fill booked, nothing held and no order that may still be filled: nothing to decide."""
        legs = (self.long, self.short)
        return not self.live and self.complete_fills and all(leg.idle and not leg.filled for leg in legs)

    @property
    def status(self) -> Status:
        if self.intent.mode is Mode.OPENING:
            return Status.OPENING
        if self.intent.mode is Mode.HOLDING:
            return Status.OPEN
        if self.intent.mode is Mode.CLOSING:
            return Status.CLOSING
        if self.intent.liquidated:
            return Status.LIQUIDATED
        return Status.CLOSED if any(order.filled for order in self.orders) else Status.ABANDONED

    def order(self, client_id: str) -> OrderRecord | None:
        return next((order for order in self.orders if order.client_id == client_id), None)

    def with_order(self, record: OrderRecord) -> Hedge:
        """This hedge with ``record`` added, or put in place of the row with the same client order id."""
        if self.order(record.client_id) is None:
            return replace(self, orders=(*self.orders, record))
        return replace(
            self,
            orders=tuple(record if order.client_id == record.client_id else order for order in self.orders),
        )

    def with_intent(self, intent: Intent) -> Hedge:
        return replace(self, intent=intent)


def hedge_key(hedge_id: UUID) -> str:
    """Ten lower-case letters and digits of the hedge's id: the part of client order ids that names it."""
    return base64.b32encode(hedge_id.bytes[:7]).decode().lower()[:10]


def client_order_id(instance: str, hedge_id: UUID, leg: Side, purpose: Purpose, attempt: int) -> str:
    """The name of an order, a function of what it is for (invariant I3).

    Lower-case letters and digits only, at most 32: what every one of our exchanges accepts unchanged.
    ``instance`` is this bot's four-character prefix.
    """
    return f"fa{instance}{hedge_key(hedge_id)}{leg.value[0].lower()}{purpose.value}{attempt:03d}"


def next_order(
    hedge: Hedge,
    leg: Side,
    purpose: Purpose,
    quantity: Decimal,
    price: Decimal | None,
    time_in_force: TimeInForce,
    reference: Decimal | None,
    now: datetime,
) -> OrderRecord:
    """The registry row of the next order for this leg and purpose, named after its attempt number."""
    attempts = (order.attempt for order in hedge.orders if order.leg is leg and order.purpose is purpose)
    attempt = 1 + max(attempts, default=0)
    plan = hedge.intent.leg(leg)
    return OrderRecord(
        client_id=client_order_id(hedge.intent.instance, hedge.id, leg, purpose, attempt),
        hedge_id=hedge.id,
        leg=leg,
        purpose=purpose,
        attempt=attempt,
        account=plan.account,
        side=order_side(leg, reduce=purpose.reduces),
        quantity=quantity,
        price=price,
        time_in_force=time_in_force,
        reduce_only=purpose.reduces,
        created_at=now,
        reference=reference,
    )


def lost_row(hedge: Hedge, fills: Sequence[Fill]) -> OrderRecord | None:
    """The registry row of a reduction that left from memory and was in no database when the process died, told by the
    name on its ``fills``; None when they are of no such order of ``hedge``."""
    fill = fills[0]
    name, attempt = (fill.client_id or "")[:-3], (fill.client_id or "")[-3:]
    for leg in Side:
        for purpose in Purpose:
            named = client_order_id(hedge.intent.instance, hedge.id, leg, purpose, 0)[:-3] == name
            here = (hedge.intent.leg(leg).account, hedge.symbol) == (fill.account, fill.symbol)
            if named and here and purpose.reduces and attempt.isdigit():
                return OrderRecord(
                    client_id=name + attempt,
                    hedge_id=hedge.id,
                    leg=leg,
                    purpose=purpose,
                    attempt=int(attempt),
                    account=fill.account,
                    side=fill.side,
                    quantity=sum((each.quantity for each in fills), ZERO),
                    price=None,
                    time_in_force=TimeInForce.IOC,
                    reduce_only=True,
                    created_at=fill.at,
                    state=OrderState.FILLED,
                    exchange_order_id=fill.exchange_order_id,
                    reason="sent while the database was down",
                    resolved_at=fill.at,
                )
    return None


def busy_instruments(hedges: Iterable[Hedge]) -> set[tuple[str, str]]:
    """(account, symbol) pairs that a live hedge occupies; each may be in one live hedge only."""
    return {
        (plan.account, hedge.symbol)
        for hedge in hedges
        if hedge.live
        for plan in (hedge.intent.long, hedge.intent.short)
    }
