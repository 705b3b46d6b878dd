"""A toy exchange and a toy shell: just enough of both to drive ``decide`` through everything that can go wrong.

Nothing here is shared with the engine: what an order is worth to the exchange is decided by the toy alone. Time moves
in steps of a quarter second. Faults happen only before ``calm_from``; from then on the exchanges behave, so that a
hedge has to come to rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from fundingarb.domain.decide import (
    Cancel,
    CollectFills,
    ExecutionPolicy,
    HedgeMarket,
    LegMarket,
    Place,
    Resolve,
    Retarget,
    SetMode,
    decide,
)
from fundingarb.domain.hedge import CloseReason, Hedge, Intent, Mode, OrderRecord
from fundingarb.domain.instrument import Instrument, Side, floor_to
from fundingarb.domain.order import ZERO, OrderReport, OrderSide, OrderState, Purpose, TimeInForce

STEP = timedelta(milliseconds=250)
PROOF_STEPS = 60
"""A late order arrives well before this many steps; an order not found after them was never taken."""
LATEST_ARRIVAL = 40


@dataclass
class ToyOrder:
    record: OrderRecord
    filled: Decimal = ZERO
    open: bool = True
    cancelled: bool = False


@dataclass
class Odds:
    """How likely each trouble is, per event, while the weather is bad."""

    refuse: float = 0.0
    unknown_taken: float = 0.0
    unknown_lost: float = 0.0
    late: float = 0.0
    slow: float = 0.0
    partial: float = 0.0
    empty: float = 0.0
    cancel_lost: float = 0.0
    cancel_race: float = 0.0
    unreachable: float = 0.0
    stale: float = 0.0
    crossed: float = 0.0
    adl: float = 0.0
    query_fails: float = 0.0
    entries_off: float = 0.0
    drift: float = 0.0


class ToyVenue:
    """One account on one exchange with one instrument."""

    def __init__(self, side: Side, instrument: Instrument, rng: Random, odds: Odds, mid: Decimal) -> None:
        self.side = side
        self.instrument = instrument
        self.rng = rng
        self.odds = odds
        self.mid = mid
        self.position = ZERO
        self.orders: dict[str, ToyOrder] = {}
        self.late: list[tuple[int, OrderRecord]] = []
        self.unbooked: list[tuple[int, str, Decimal]] = []
        self.taken_unbooked: list[tuple[int, Decimal]] = []
        self.reachable = True
        self.fresh = True
        self.crossed = False
        self.calm = False
        self.step = 0

    def chance(self, probability: float) -> bool:
        return not self.calm and self.rng.random() < probability

    @property
    def held(self) -> Decimal:
        """Quantity in the leg's own direction; negative would mean that a close opened a new position."""
        return self.side.sign * self.position

    def tick(self, step: int) -> None:
        self.step = step
        for due, record in [entry for entry in self.late if entry[0] <= step]:
            self.late.remove((due, record))
            self._take(record)
        if self.chance(self.odds.drift):
            self.mid += self.instrument.tick * self.rng.randint(-5, 5)
        self.reachable = not self.chance(self.odds.unreachable)
        self.fresh = not self.chance(self.odds.stale)
        self.crossed = self.chance(self.odds.crossed)
        for order in self.orders.values():
            if order.open and self.rng.random() < (0.5 if self.calm else 0.2):
                self._fill(order, self._portion(order))
        if self.held > 0 and self.chance(self.odds.adl):
            self._auto_deleverage()

    def market(self) -> LegMarket:
        gap = self.instrument.tick * 2
        bid, ask = (self.mid - gap, self.mid + gap) if not self.crossed else (self.mid + gap, self.mid - gap)
        if not self.fresh:
            return LegMarket(None, None, self.mid, self.reachable)
        return LegMarket(bid, ask, self.mid, self.reachable)

    # requests

    def place(self, record: OrderRecord) -> OrderReport | str:
        """A report, ``"refused"`` or ``"unknown"``."""
        if not self.reachable:
            return "refused" if self.rng.random() < 0.5 else "unknown"
        if self.chance(self.odds.unknown_lost):
            return "unknown"
        if self.chance(self.odds.late):
            self.late.append((self.step + self.rng.randint(1, LATEST_ARRIVAL), record))
            return "unknown"
        if self.chance(self.odds.refuse) or not self._take(record):
            return "refused"
        if self.chance(self.odds.unknown_taken):
            return "unknown"
        return self._report(self.orders[record.client_id])

    def _take(self, record: OrderRecord) -> bool:
        held = self.held
        if record.client_id in self.orders:
            raise AssertionError(f"{record.client_id} arrived twice")
        quantity = record.quantity
        if quantity <= 0 or quantity % self.instrument.lot:
            return False
        if record.reduce_only:
            if held <= 0:
                return False
            quantity = min(quantity, held)
        elif record.price is None or not self.instrument.tradable(quantity, record.price):
            return False
        if record.time_in_force is TimeInForce.POST_ONLY and self.chance(0.5):
            return False
        order = ToyOrder(replace(record, quantity=quantity))
        self.orders[record.client_id] = order
        if record.time_in_force is TimeInForce.IOC:
            if not self.chance(self.odds.empty):
                self._fill(order, self._portion(order) if self.chance(self.odds.partial) else quantity)
            order.open = False
        elif self.chance(self.odds.partial):
            self._fill(order, self._portion(order))
        return True

    def _portion(self, order: ToyOrder) -> Decimal:
        left = order.record.quantity - order.filled
        return floor_to(left * Decimal(self.rng.randint(0, 10)) / 10, self.instrument.lot) if left else ZERO

    def _fill(self, order: ToyOrder, quantity: Decimal) -> None:
        if order.record.reduce_only:
            quantity = min(quantity, max(self.held, ZERO))
        if quantity <= 0:
            return
        order.filled += quantity
        self.position += order.record.side.sign * quantity
        lag = 0 if self.calm else self.rng.choice((0, 0, 3, 20))
        self.unbooked.append((self.step + lag, order.record.client_id, quantity))
        if order.filled >= order.record.quantity:
            order.open = False

    def _auto_deleverage(self) -> None:
        quantity = min(self.held, self.instrument.lot * self.rng.randint(1, 20))
        self.position -= self.side.sign * quantity
        self.taken_unbooked.append((self.step + self.rng.choice((0, 4)), quantity))

    def cancel(self, client_id: str) -> bool:
        """Whether the request got through."""
        if not self.reachable or self.chance(self.odds.cancel_lost):
            return False
        order = self.orders.get(client_id)
        if order is not None and order.open:
            if self.chance(self.odds.cancel_race):
                self._fill(order, self._portion(order))
            if order.open:
                order.open, order.cancelled = False, True
        return True

    def find(self, client_id: str) -> OrderReport | str | None:
        """The order, None when there is none, ``"failed"`` when nobody answered."""
        if not self.reachable or self.chance(self.odds.query_fails):
            return "failed"
        order = self.orders.get(client_id)
        return None if order is None else self._report(order)

    def _report(self, order: ToyOrder) -> OrderReport:
        full = order.filled >= order.record.quantity
        state = OrderState.OPEN if order.open else (OrderState.FILLED if full else OrderState.CANCELLED)
        return OrderReport(
            account=order.record.account,
            symbol=self.instrument.symbol,
            client_id=order.record.client_id,
            exchange_order_id=f"x-{order.record.client_id}",
            state=state,
            side=order.record.side,
            quantity=order.record.quantity,
            filled=order.filled,
            average_price=order.record.price,
        )


@dataclass
class ToyShell:
    """Commits, sends, observes, as the engine does; and checks every order that ``decide`` asks for."""

    hedge: Hedge
    venues: dict[Side, ToyVenue]
    policy: ExecutionPolicy
    rng: Random
    odds: Odds
    now: datetime
    calm_from: int
    step: int = 0
    entries: bool = True
    names: set[str] = field(default_factory=set)
    answers: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    in_flight: set[str] = field(default_factory=set)
    since_calm: int = 0
    trace: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.step:4d} {text}")

    @property
    def market(self) -> HedgeMarket:
        return HedgeMarket(
            self.venues[Side.LONG].market(), self.venues[Side.SHORT].market(), entries=self.entries
        )

    def run_step(self) -> bool:
        """One quarter second. Returns whether anything was decided."""
        self.step += 1
        self.now += STEP
        calm = self.step >= self.calm_from
        for venue in self.venues.values():
            venue.calm = calm
            venue.tick(self.step)
        if calm:
            self.entries = True
        elif self.rng.random() < self.odds.entries_off:
            self.entries = not self.entries
        for due, answer in [entry for entry in self.answers if entry[0] <= self.step]:
            self.answers.remove((due, answer))
            answer()
        self._book()
        self._watch()
        actions = decide(self.hedge, self.market, self.policy, self.now)
        for action in actions:
            self._do(action)
        return bool(actions)

    # acting

    def _do(self, action: object) -> None:
        if isinstance(action, Place):
            self._check(action.order)
            self._put(action.order)
            self.in_flight.add(action.order.client_id)
            self.note(f"place {action.order.leg.value} {action.order.purpose.name} {action.order.quantity}")
            wait = self.rng.randint(1, 6) if self._bad(self.odds.slow) else 0
            outcome = self.venues[action.order.leg].place(action.order)
            self._later(wait, lambda: self._answered(action.order, outcome))
        elif isinstance(action, Resolve):
            if action.order.client_id not in self.in_flight:
                self._query(action.order.client_id)
        elif isinstance(action, Cancel):
            self.note(f"cancel {action.order.client_id}")
            got_through = self.venues[action.order.leg].cancel(action.order.client_id)
            current = self._order(action.order.client_id)
            self._put(replace(current, cancel_requested=got_through))
            self._later(1, lambda: self._query(action.order.client_id))
        elif isinstance(action, CollectFills):
            return
        elif isinstance(action, Retarget):
            self.note(f"retarget {action.quantity}: {action.reason}")
            assert action.quantity < self.hedge.intent.quantity, "a target is only ever lowered"
            assert action.quantity >= 0
            self._edit(self.hedge.intent.edit(quantity=action.quantity))
        elif isinstance(action, SetMode):
            self.note(f"mode {action.mode.value}")
            self._set_mode(action)
        else:
            raise AssertionError(f"unknown action {action}")

    def _check(self, order: OrderRecord) -> None:
        leg = self.hedge.leg(order.leg)
        instrument = leg.plan.instrument
        assert order.client_id not in self.names, "a client order id is used once"
        self.names.add(order.client_id)
        assert not leg.unresolved, "nothing is placed on a leg with an unresolved order"
        assert order.quantity > 0
        assert order.quantity % instrument.lot == 0, f"{order.quantity} is not a multiple of {instrument.lot}"
        reduces = order.purpose in (Purpose.UNWIND, Purpose.CLOSE)
        assert order.reduce_only is reduces
        buying = (order.leg is Side.LONG) is not reduces
        assert (order.side is OrderSide.BUY) is buying
        if reduces:
            assert not leg.live, "one reduction at a time"
            assert order.quantity <= leg.filled
            return
        assert self.hedge.intent.mode is Mode.OPENING, "exposure is only added while opening"
        assert order.price is not None
        assert instrument.tradable(order.quantity, order.price)
        target = self.hedge.intent.quantity
        assert leg.filled + leg.adding + order.quantity <= target, "never beyond the target"
        other = self.hedge.leg(order.leg.opposite)
        if order.leg is self.hedge.intent.first:
            assert order.purpose is Purpose.ENTRY
            assert self.now < self.hedge.intent.deadline, "no entry after the deadline"
            assert self.entries, "no entry while entries are off"
            assert leg.idle, "one entry at a time"
            assert not other.unresolved, "no entry while the hedge is in doubt"
        else:
            assert order.purpose is Purpose.HEDGE
            assert leg.idle, "one hedge order at a time"
            assert leg.filled + order.quantity <= other.filled, "the second leg never leads"

    def _set_mode(self, action: SetMode) -> None:
        hedge = self.hedge
        if action.mode is Mode.HOLDING:
            assert hedge.long.idle
            assert hedge.short.idle
            assert hedge.long.filled == hedge.short.filled > 0
        if action.mode is Mode.DONE:
            assert hedge.long.filled == hedge.short.filled == 0
            assert hedge.long.idle
            assert hedge.short.idle
            assert hedge.complete_fills, "over only when every fill is booked"
        reason = action.reason or hedge.intent.close_reason
        self._edit(hedge.intent.edit(mode=action.mode, close_reason=reason))

    def close(self, reason: CloseReason) -> None:
        if self.hedge.intent.mode not in (Mode.CLOSING, Mode.DONE):
            self.note(f"close: {reason.value}")
            self._edit(self.hedge.intent.edit(mode=Mode.CLOSING, close_reason=reason))

    # observing

    def _answered(self, order: OrderRecord, outcome: OrderReport | str) -> None:
        self.in_flight.discard(order.client_id)
        current = self._order(order.client_id)
        if isinstance(outcome, OrderReport):
            self._put(current.observe(outcome, self.now))
        elif not current.state.terminal:
            state = OrderState.REFUSED if outcome == "refused" else OrderState.UNKNOWN
            over = self.now if state.terminal else None
            self._put(replace(current, state=state, resolved_at=over))
        self.note(f"answer {order.client_id}: {self._order(order.client_id).state.value}")

    def _query(self, client_id: str) -> None:
        current = self._order(client_id)
        found = self.venues[current.leg].find(client_id)
        if isinstance(found, OrderReport):
            current = current.observe(found, self.now)
            if current.state is OrderState.OPEN and current.cancel_requested:
                current = replace(current, cancel_requested=False)
            self._put(current)
        elif found is None and not current.state.terminal:
            age = (self.now - current.created_at) / STEP
            misses = current.misses + 1
            current = replace(current, misses=misses)
            if misses >= 3 and age >= PROOF_STEPS:
                current = replace(current, state=OrderState.REFUSED, resolved_at=self.now)
            self._put(current)

    def _watch(self) -> None:
        for leg in (self.hedge.long, self.hedge.short):
            for order in leg.live:
                if self.rng.random() < 0.5:
                    self._query(order.client_id)

    def _book(self) -> None:
        for side, venue in self.venues.items():
            for entry in [entry for entry in venue.unbooked if entry[0] <= self.step]:
                venue.unbooked.remove(entry)
                current = self._order(entry[1])
                booked = current.booked + entry[2]
                self._put(replace(current, booked=booked, filled=max(current.filled, booked)))
            for taken in [taken for taken in venue.taken_unbooked if taken[0] <= self.step]:
                venue.taken_unbooked.remove(taken)
                known = {**self.hedge.taken, side: self.hedge.taken.get(side, ZERO) + taken[1]}
                self.hedge = replace(self.hedge, taken=known)

    # small print

    def _bad(self, probability: float) -> bool:
        return self.step < self.calm_from and self.rng.random() < probability

    def _later(self, steps: int, what: Callable[[], None]) -> None:
        if steps:
            self.answers.append((self.step + steps, what))
        else:
            what()

    def _order(self, client_id: str) -> OrderRecord:
        found = self.hedge.order(client_id)
        assert found is not None
        return found

    def _put(self, record: OrderRecord) -> None:
        self.hedge = self.hedge.with_order(record)

    def _edit(self, intent: Intent) -> None:
        self.hedge = self.hedge.with_intent(intent)

    @property
    def settled(self) -> bool:
        """Nothing under way any more, on either side."""
        return (
            not self.answers
            and not self.in_flight
            and all(not v.late and not v.unbooked and not v.taken_unbooked for v in self.venues.values())
            and all(not order.open for v in self.venues.values() for order in v.orders.values())
        )
