"""What an order at an exchange must satisfy, judged when the exchange takes it: invariants I2, I3, I4 and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.order import ZERO, Purpose
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import Fill, Order
from fundingarb.simulation.registry import Registry

Report = Callable[[str, datetime, str], None]
"""(invariant, when, what)."""

FORCED_SECONDS = 60.0
"""So long after a liquidation or deleveraging the bot may not know of it yet."""


def base_units(instrument: Instrument) -> Decimal:
    """Base units per native unit."""
    return instrument.contract_size * instrument.multiplier


@dataclass(slots=True)
class _Leg:
    """What the exchange did with a hedge's orders on one leg, in base units."""

    added: Decimal = ZERO
    reduced: Decimal = ZERO
    adding: list[Order] = field(default_factory=list)
    open: dict[str, bool] = field(default_factory=dict)
    attempts: dict[Purpose, int] = field(default_factory=dict)

    @property
    def held(self) -> Decimal:
        return self.added - self.reduced


@dataclass(slots=True)
class HedgeStory:
    """One hedge as the exchanges saw it. ``legs`` by (exchange, account); ``first`` is where its entries went."""

    id: UUID
    symbol: str
    legs: dict[tuple[str, str], _Leg] = field(default_factory=dict)
    first: tuple[str, str] | None = None
    closing_since: datetime | None = None
    opened_at: datetime | None = None
    orders: int = 0

    def leg(self, where: tuple[str, str]) -> _Leg:
        return self.legs.setdefault(where, _Leg())


class OrderRules:
    """Judges every order of ours that an exchange takes, and every fill of one.

    While the database is down a reducing order needs no row; it has to be there in the end (``missing_rows``). Where
    there are no ``market_orders`` (exchange) one without a price arrives with the worst that its adapter accepts.
    """

    def __init__(
        self,
        registry: Registry,
        report: Report,
        prefix: str,
        market_orders: Callable[[str], bool] = lambda _exchange: True,
    ) -> None:
        self.registry = registry
        self.report = report
        self.prefix = prefix
        self.market_orders = market_orders
        self.hedges: dict[UUID, HedgeStory] = {}
        self.from_memory: dict[str, datetime] = {}
        self.killed_at: datetime | None = None
        self.sent_at: Callable[[str], datetime | None] = lambda _client_id: None
        """When an order left, where that is known: one that left before a kill may arrive after it."""
        self.excused: Callable[[str], bool] = lambda _client_id: False
        """Orders that the exchange held up longer than it promised: their lateness is not the bot's."""
        self._seen: dict[tuple[str, str, str], datetime] = {}
        self._row: dict[str, OrderRecord] = {}
        self._forced: dict[tuple[str, str, str], datetime] = {}

    def ours(self, order: Order | Fill) -> bool:
        return order.client_id.startswith(self.prefix)

    def story_of(self, client_id: str) -> HedgeStory | None:
        row = self._row.get(client_id) or self.registry.order(client_id)
        return None if row is None else self.hedges.get(row.hedge_id)

    def taken(
        self, exchange: str, instrument: Instrument, order: Order, at: datetime, database_down: bool
    ) -> None:
        """The exchange took a new order of ours."""
        name, key = order.client_id, (exchange, order.account, order.client_id)
        if key in self._seen:
            self.report("I3", at, f"{exchange} took a second order named {name}")
        self._seen[key] = at
        row = self.registry.order(name)
        if row is None and self._flattens(exchange, instrument, order, at):
            return
        if row is None:
            if not (order.reduce_only and database_down):
                self.report("I2", at, f"{exchange} took {name}, which is not in the database")
            else:
                self.from_memory[name] = at
            return
        self._row[name] = row
        story = self.hedges.setdefault(row.hedge_id, HedgeStory(row.hedge_id, instrument.symbol))
        story.orders += 1
        self._as_committed(exchange, order, instrument, row, at)
        where = (exchange, order.account)
        leg = story.leg(where)
        leg.open[name] = True
        if row.purpose.reduces:
            if row.purpose is Purpose.CLOSE:
                story.closing_since = story.closing_since or row.created_at
            if not order.reduce_only:
                self.report("REDUCE", at, f"{exchange} took {name}, which closes but is not reduce-only")
            return
        self._may_add(exchange, story, where, order, row, base_units(instrument), at)

    def _flattens(self, exchange: str, instrument: Instrument, order: Order, at: datetime) -> bool:
        """Whether a kill or a person's flatten committed this order; it may only reduce."""
        flatten = self.registry.flatten(order.client_id)
        if flatten is None:
            return False
        quantity = order.quantity * base_units(instrument)
        if not order.reduce_only or quantity > flatten.quantity or order.side.value != flatten.side.value:
            self.report(
                "REDUCE", at, f"{exchange} took {order.client_id}, not the reduction that is committed"
            )
        return True

    def _as_committed(
        self, exchange: str, order: Order, instrument: Instrument, row: OrderRecord, at: datetime
    ) -> None:
        quantity = order.quantity * base_units(instrument)
        price = None if order.price is None else order.price / instrument.multiplier
        exact = quantity == row.quantity or (order.reduce_only and quantity < row.quantity)
        priced = price == row.price or (row.price is None and not self.market_orders(exchange))
        if not exact or order.side.value != row.side.value or not priced or order.account != row.account:
            self.report(
                "I2",
                at,
                f"{exchange} took {order.client_id} as {order.side.value} {quantity} at {price}; "
                f"committed is {row.side.value} {row.quantity} at {row.price}",
            )

    def _may_add(
        self,
        exchange: str,
        story: HedgeStory,
        where: tuple[str, str],
        order: Order,
        row: OrderRecord,
        factor: Decimal,
        at: datetime,
    ) -> None:
        """An order that adds exposure: none after the close, one at a time, never more than there is to hedge."""
        name, leg = order.client_id, story.leg(where)
        if row.purpose is Purpose.ENTRY:
            story.first = story.first or where
            story.opened_at = story.opened_at or at
        if self.excused(name):
            leg.adding.append(order)
            return
        if self.killed_at is not None and (self.sent_at(name) or row.created_at) > self.killed_at:
            self.report("I7", at, f"{exchange} took {name}, which adds exposure after the kill")
        overtaken = story.closing_since is not None and row.created_at <= story.closing_since
        if story.closing_since is not None and not overtaken:
            self.report("REOPEN", at, f"{exchange} took {name}, which adds to a hedge that is being closed")
        if order.reduce_only:
            self.report("REDUCE", at, f"{exchange} took {name}, which should add, as reduce-only")
        for other in leg.adding:
            if leg.open.get(other.client_id):
                self.report("I4", at, f"{exchange} took {name} while {other.client_id} was open")
        before = leg.attempts.get(row.purpose, 0)
        if row.attempt < before:
            self.report("I4", at, f"{name} arrived at {exchange} after attempt {before} of the same")
        leg.attempts[row.purpose] = max(before, row.attempt)
        if row.state.terminal:
            self.report("I4", at, f"{name} arrived at {exchange} after it was recorded as {row.state.value}")
        for attempt in range(max(1, row.attempt - 3), row.attempt):
            previous = self.registry.order(f"{name[:-3]}{attempt:03d}")
            if previous is not None and not previous.state.terminal:
                self.report(
                    "I4", at, f"{exchange} took {name} while {previous.client_id} is {previous.state.value}"
                )
        leg.adding.append(order)
        if row.purpose is Purpose.HEDGE and not overtaken:  # on its way already when the close was decided
            self._hedges_what_there_is(exchange, story, leg, order, factor, at)

    def _hedges_what_there_is(
        self, exchange: str, story: HedgeStory, leg: _Leg, order: Order, factor: Decimal, at: datetime
    ) -> None:
        if story.first is None:
            self.report("SIZE", at, f"{exchange} took {order.client_id} before any entry of {story.symbol}")
            return
        if any((*where, story.symbol) in self._forced for where in story.legs):
            return
        surplus = story.leg(story.first).held - leg.held
        if order.quantity * factor > surplus:
            self.report(
                "SIZE",
                at,
                f"{exchange} took {order.client_id} of {order.quantity * factor}; the first leg holds "
                f"{surplus} more than the second",
            )

    def ended(self, exchange: str, order: Order) -> None:
        """An order is over."""
        story = self.story_of(order.client_id)
        if story is not None:
            story.leg((exchange, order.account)).open[order.client_id] = False

    def filled(self, exchange: str, fill: Fill, factor: Decimal, at: datetime) -> None:
        """A fill of an order of ours."""
        story, row = self.story_of(fill.client_id), self._row.get(fill.client_id)
        if story is None or row is None:
            return
        leg = story.leg((exchange, fill.account))
        if row.purpose.reduces:
            leg.reduced += fill.quantity * factor
            if fill.closed_quantity != fill.quantity:
                self.report(
                    "REDUCE",
                    at,
                    f"{fill.client_id} closed {fill.closed_quantity} and opened "
                    f"{fill.quantity - fill.closed_quantity} on {exchange}",
                )
        else:
            leg.added += fill.quantity * factor

    def forced(self, exchange: str, account: str, symbol: str, at: datetime) -> None:
        """The exchange closed a position by itself."""
        self._forced[exchange, account, symbol] = at

    def settle_forced(self, at: datetime) -> None:
        """Forget forced closes that the bot must have heard of by now."""
        for key in [k for k, v in self._forced.items() if (at - v).total_seconds() > FORCED_SECONDS]:
            del self._forced[key]

    def missing_rows(self) -> list[str]:
        """Orders that went out from memory while the database was down and are still not in it."""
        known = (self.registry.order, self.registry.flatten)
        return [name for name in self.from_memory if all(look(name) is None for look in known)]
