"""What an account holds and has resting against what the hedges say; what differs halts entries there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial

import anyio

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import LegState
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, ExchangePosition, OrderReport, OrderState
from fundingarb.domain.reconcile import (
    Difference,
    Modes,
    another_bot,
    compare,
    compare_modes,
    expected_positions,
    noticed,
)
from fundingarb.engine.account import NOT_READ, NOT_READ_SINCE, Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.gate import Priority
from fundingarb.engine.ledger import Read
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError, StoreError
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.accounts")

#: Real seconds for which the position is looked at in every round after an order was given up as never taken.
GIVEN_UP = 120.0
#: Real seconds between the two looks that a difference has to survive.
SECOND_LOOK = 0.3


@dataclass
class Beliefs:
    """What our side believes of an account's orders, symbol by symbol."""

    orders: dict[str, list[tuple[str, OrderState, Decimal]]] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)

    def moving(self, later: Beliefs) -> set[str]:
        """The symbols that have changed since, or in which an order is on its way or in doubt."""
        symbols = self.orders.keys() | later.orders.keys()
        changed = {each for each in symbols if self.orders.get(each) != later.orders.get(each)}
        return changed | self.unresolved | later.unresolved


class Comparison:
    """Compares one account's open orders, positions and modes with the hedges; entries are off while it does not match.

    ``read`` sends a request in its turn, ``collect_fills`` books the ledger, ``take_over`` (symbols) books what
    somebody else closed of a leg there.
    """

    def __init__(
        self, account: Account, state: BotState, bus: Bus, clock: Clock, wake: Callable[[], None], read: Read,
        collect_fills: Callable[[], Awaitable[None]], take_over: Callable[[Collection[str]], Awaitable[bool]],
        margin_mode: str,
    ) -> None:  # fmt: skip
        self.account = account
        self._state = state
        self._bus = bus
        self._clock = clock
        self._wake = wake
        self._read = read
        self._collect_fills = collect_fills
        self._take_over = take_over
        self._margin_mode = margin_mode
        self._strangers: dict[str, tuple[str, str]] = {}
        self._mode_differences: list[Difference] = []
        self._leftovers: list[OrderReport] = []
        self.differences: list[Difference] = []
        self.conclusive = False
        self.read_at = clock.monotonic()

    async def reconcile(self) -> list[Difference]:
        """Compare open orders and positions with the hedges; entries are on exactly while everything matches.

        A difference counts when it is still there after the ledger was read and a moment has passed: a fill is often
        in the position before it is reported. Symbols in which an order is on its way or in doubt are left as they
        were; the others do not wait for them.
        """
        differences, moving = await self._compare()
        failed: StoreError | None = None  # what differs is told, and acted on, all the same
        if differences:
            try:
                await self._collect_fills()
            except StoreError as error:
                failed = error
            await anyio.sleep(SECOND_LOOK)
            differences, moving = await self._compare()
        if differences:
            try:
                taken_over = await self._take_over({each.symbol for each in differences})
            except StoreError as error:
                failed, taken_over = error, True
            if taken_over:
                differences, moving = await self._compare()
        await self._cancel_leftovers()
        self.conclusive = not moving
        self.differences = [*differences, *(each for each in self.differences if each.symbol in moving)]
        if self.differences or self.conclusive:
            self.halt("; ".join(str(difference) for difference in self.differences) or None)
        if failed is not None:
            raise failed
        return self.differences

    async def glance(self) -> None:
        """Whether the legs held here are as large as we think; reads everything when one is not.

        Streams tell sooner, when they work; a liquidation is not to be missed because one has gone silent.
        """
        before = self._beliefs()
        await self._read_positions()
        moving = before.moving(self._beliefs())
        expected, books = self._expected(), self._state.books(self.account.name)
        for symbol, lot in self.watched().items():
            if symbol in moving:
                continue
            wanted = expected.get(symbol, ZERO) + books.foreign(symbol)
            position = self.account.positions.get(symbol)
            held = ZERO if position is None else position.quantity
            if abs(held - wanted) >= noticed(wanted, lot):
                await self.reconcile()
                return

    async def read_modes(self) -> None:
        """Whether modes and leverage are, for every instrument that a live hedge holds here, as they were recorded.

        What cannot be read stays as it was last seen.
        """
        adapter, differences = self.account.adapter, []
        for hedge in self._state.live():
            for side in Side:
                leg = hedge.intent.leg(side)
                if leg.account != self.account.name:
                    continue
                try:
                    found = await self._read("get_modes", partial(adapter.get_modes, hedge.symbol))
                except ExchangeError as error:
                    log.info("%s %s: modes not read: %s", self.account.name, hedge.symbol, error)
                    return
                recorded = Modes("one-way", self._margin_mode, Decimal(leg.leverage))
                modes = Modes(found.position_mode, found.margin_mode, found.leverage)
                differences += compare_modes(self.account.name, hedge.symbol, recorded, modes)
        self._mode_differences = differences

    def legs(self) -> list[LegState]:
        """The legs of hedges on this account that hold something, whether the hedge is live or over."""
        return [
            leg
            for hedge in self._state.unfinished()
            for leg in (hedge.long, hedge.short)
            if leg.plan.account == self.account.name and leg.filled
        ]

    def watched(self) -> dict[str, Decimal]:
        """Symbols whose position is looked at in every round, with their lots: legs are held there, or an order was
        lately given up as never taken. No exchange takes it any more, but one that did would leave a naked leg."""
        found = {leg.plan.instrument.symbol: leg.plan.instrument.lot for leg in self.legs()}
        since = self._clock.now() - timedelta(seconds=GIVEN_UP * self._clock.speed)
        for hedge in self._state.hedges.values():
            for order in hedge.orders:
                given_up = order.misses and order.resolved_at is not None and order.resolved_at > since
                if given_up and order.account == self.account.name:
                    found[hedge.symbol] = hedge.intent.leg(order.leg).instrument.lot
        return found

    def note_stranger(self, symbol: str, client_id: str | None) -> None:
        """Remember that another bot of this program has been trading here (failure model, fault 23)."""
        if self._state.owner(client_id) is None:
            stranger = self._state.books(self.account.name).stranger(client_id)
            if stranger is not None and client_id is not None:
                self._strangers.setdefault(stranger, (symbol, client_id))

    def halt(self, reason: str | None, what: str = "does not match", *lines: str) -> None:
        """Entries on the account are off for ``reason``, told when it is another one than before; None: on again."""
        previous = self.account.halt("reconcile", reason)
        if reason == previous:
            return
        if reason is not None:
            title = f"Account {self.account.name} {what}"
            self._bus.publish(
                Alert(Severity.CRITICAL, title, (reason, *lines, "Entries are off."), self._clock.now())
            )
        elif previous not in (NOT_READ, NOT_READ_SINCE):
            title = f"Account {self.account.name} matches again"
            self._bus.publish(Alert(Severity.INFO, title, ("Entries are on.",), self._clock.now()))
        self._wake()

    async def _compare(self) -> tuple[list[Difference], Collection[str]]:
        """The differences, and the symbols in which something is under way that what was read may predate: in these
        nothing can be said."""
        adapter = self.account.adapter
        before, asked = self._beliefs(), self._clock.monotonic()
        orders = await self._read("get_open_orders", adapter.get_open_orders)
        for order in orders:  # perhaps one that was given up as lost
            if self._state.observe(order, self._clock.now(), asked) is not None:
                self._wake()
        positions = await self._read_positions()
        moving = before.moving(self._beliefs())
        for order in orders:
            self.note_stranger(order.symbol, order.client_id)
        name = self.account.name
        books = self._state.books(name)
        self.account.looked_at = asked
        self.account.resting = frozenset(
            order.symbol
            for order in orders
            if self._state.owner(order.client_id) is None and order.client_id not in books.own_orders
        )
        strangers = [
            another_bot(name, symbol, stranger, client_id)
            for stranger, (symbol, client_id) in self._strangers.items()
            if books.stranger(client_id)
        ]
        found = compare(name, self._state.hedges.values(), positions, orders, books)
        certain = [difference for difference in found if difference.symbol not in moving]
        self._leftovers = [order for order in orders if order.symbol not in moving and self._is_over(order)]
        return [*certain, *strangers, *self._mode_differences], moving

    async def _read_positions(self) -> Sequence[ExchangePosition]:
        expected, asked = self._expected(), self._clock.monotonic()
        positions = await self._read("get_positions", self.account.adapter.get_positions)
        self.read_at = asked
        self.account.positions = {position.symbol: position for position in positions}
        self.account.held = expected
        return positions

    def _expected(self) -> Mapping[str, Decimal]:
        return expected_positions(self.account.name, self._state.unfinished())

    def _beliefs(self) -> Beliefs:
        found = Beliefs()
        for hedge in self._state.hedges.values():
            for order in hedge.orders:
                if order.account == self.account.name:
                    if order.state.unresolved or order.client_id in self._state.in_flight:
                        found.unresolved.add(hedge.symbol)
                    rows = found.orders.setdefault(hedge.symbol, [])
                    rows.append((order.client_id, order.state, order.filled))
        return found

    def _is_over(self, order: OrderReport) -> bool:
        """Whether an open order is one of ours that was recorded as over."""
        hedge = self._state.owner(order.client_id)
        record = None if hedge is None else hedge.order(order.client_id or "")
        return record is not None and record.state.terminal

    async def _cancel_leftovers(self) -> None:
        """What is ours, recorded as over and still open after a second look is nobody's to wait for."""
        for order in self._leftovers:
            log.warning(
                "%s: %s was over and is still open; cancelling it", self.account.name, order.client_id
            )
            cancel = partial(self.account.adapter.cancel_order, order.symbol, str(order.client_id))
            try:
                await self._read("cancel_order", cancel, Priority.CANCEL)
            except ExchangeError as error:
                log.info("%s: cancel of %s: %s", self.account.name, order.client_id, error)
