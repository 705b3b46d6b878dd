"""Reading accounts: balances, ledger fills, funding payments, positions; and comparing them with the hedges."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar

import anyio

from fundingarb.domain.control import Subject
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import LegState
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, ExchangePosition, Fill, OrderReport, OrderState
from fundingarb.domain.reconcile import (
    Difference,
    Modes,
    another_bot,
    compare,
    compare_modes,
    expected_positions,
    noticed,
)
from fundingarb.engine.bus import Bus
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.ledger import LedgerBooks
from fundingarb.engine.state import NOT_READ, Account, BotState
from fundingarb.engine.wanted import WantedFills
from fundingarb.errors import AuthenticationFailed, ExchangeError, StoreError
from fundingarb.ports import Clock, Store

log = logging.getLogger("fundingarb.accounts")
T = TypeVar("T")

#: Real seconds for which the position is looked at in every round after an order was given up as never taken.
GIVEN_UP = 120.0
#: Real seconds between the two looks that a difference has to survive.
SECOND_LOOK = 0.3
#: Real seconds between rounds, and rounds between two readings of everything.
ROUND = 2.0
EVERYTHING = 15
#: Until everything matches it is looked at again every so many rounds: the ledger may lag.
MISMATCH = 3
#: Real seconds that positions may be unread while legs are held: with the time between two looks they are the five
#: within which a leg that an exchange has taken is an alert.
UNREAD = 4.5
#: Real seconds between two looks at whether they are read.
WATCH = 0.5
#: Real seconds without positions after which the ledger is read in every round instead.
UNSEEN = 2.5
#: Why entries are off after an outage, until what happened meanwhile has been read.
NOT_READ_SINCE = "not read since the exchange was unavailable"
#: Real seconds between two readings of positions and open orders, however often they are wanted; and the share of any
#: budget that they may take at most, because they cost most.
POSITIONS_PAUSE = 1.0
POSITIONS_SHARE = 0.25


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


class AccountReader:
    """Keeps one account's figures current and its ledger booked; halts entries while it does not match."""

    def __init__(
        self,
        account: Account,
        state: BotState,
        gate: RequestGate,
        store: Store,
        bus: Bus,
        clock: Clock,
        wake: Callable[[], None],
        started_at: datetime,
        margin_mode: str = "cross",
    ) -> None:
        self.account = account
        self._margin_mode = margin_mode
        self._strangers: dict[str, tuple[str, str]] = {}
        self._mode_differences: list[Difference] = []
        self._state = state
        self._gate = gate
        self._store = store
        self._bus = bus
        self._clock = clock
        self._wake = wake
        self._hint = anyio.Event()
        self._want_fills = True
        self._want_payments = True
        self._want_positions = True
        self._want_balance = True
        self._wanted = WantedFills(account, state, clock)
        self._positions_due = 0.0
        self._read_at = self._unheld_at = clock.monotonic()
        self._blind = False
        self._unanswered = "no answer yet"
        self._rounds = 0
        earned = [gate.earned_in(account.adapter.cost(name)) for name in ("get_open_orders", "get_positions")]
        self._positions_pause = max(POSITIONS_PAUSE, sum(earned) / POSITIONS_SHARE)
        self._ledger = LedgerBooks(
            account, state, store, bus, clock, wake, started_at, self._read, self._found
        )
        self._leftovers: list[OrderReport] = []
        self.differences: list[Difference] = []
        self.conclusive = False

    def want(
        self,
        *,
        fills: bool = False,
        payments: bool = False,
        positions: bool = False,
        balance: bool = False,
    ) -> None:
        """Something happened: read it soon."""
        self._want_balance |= balance
        self._want_fills |= fills
        self._want_payments |= payments
        self._want_positions |= positions
        self._hint.set()

    def want_fills(self, symbol: str, since: datetime) -> None:
        """An order of ``symbol`` made at ``since`` was filled: read that symbol's ledger soon."""
        if self._wanted.want(symbol, since):
            self._hint.set()

    def hear(self, fill: Fill) -> None:
        """A stream told of a fill that is not of an order of ours: read the ledger until it has it, and positions."""
        self._wanted.hear(fill)
        self.want(fills=True, positions=True)

    def unread(self) -> None:
        """The exchange was unavailable: entries stay off until the account was read and matches."""
        self.account.unread_since = self._clock.monotonic()
        if "reconcile" not in self.account.halts:
            self.account.halt("reconcile", NOT_READ_SINCE)
        self.want(fills=True, payments=True, positions=True)

    async def run(self) -> None:
        """Read whatever is wanted, and everything from time to time; what the exchange lags with, ever less often."""
        while True:
            await self._round()
            self._hint = anyio.Event()
            if not (self._want_fills or self._want_payments):
                pause = min(ROUND, self._wanted.pause)
                if self._want_positions:
                    pause = min(pause, max(self._positions_due - self._clock.monotonic(), 0.0))
                with anyio.move_on_after(pause):
                    await self._hint.wait()
            await anyio.sleep(0.05)

    async def watch_positions(self) -> None:
        """Positions that are not read while legs are held here are an alert, and a halt, whatever it is that ``run``
        waits for."""
        while True:
            legs, now = self._legs(), self._clock.monotonic()
            if not legs:
                self._unheld_at = now
            blind = now - max(self._read_at, self._unheld_at) >= UNREAD
            if blind and not self._blind and self.account.exchange not in self._state.down:
                held = [f"{leg.plan.side.value} {leg.filled} {leg.plan.instrument.symbol}" for leg in legs]
                reason = f"positions not read for {UNREAD:g} s: {self._unanswered}"
                self._set_halt(reason, "cannot be read", f"Held there: {', '.join(held)}")
                self._blind = self._want_positions = True
            elif not blind:
                self._blind, self._unanswered = False, "no answer yet"
            await anyio.sleep(WATCH)

    async def _round(self) -> None:
        """Read what is due, each whatever became of the others; the first failure is raised at the end."""
        every = self._rounds % (MISMATCH if "reconcile" in self.account.halts else EVERYTHING) == 0
        balance = self._rounds % 3 == 0 or self._want_balance or self.account.free_balance is None
        self._rounds += 1
        steps: list[Callable[[], Awaitable[object]]] = [
            partial(self.collect_fills, symbol, since) for symbol, since in self._wanted.take()
        ]
        if every or self._want_fills or self._unseen():
            self._want_fills = False
            steps.append(self.collect_fills)
        if self._unseen():
            steps.append(self._take_over_unseen)
        if every:
            steps.append(self.read_modes)
        if every or (self._want_positions and self._clock.monotonic() >= self._positions_due):
            self._want_positions = False
            self._positions_due = self._clock.monotonic() + self._positions_pause
            steps.append(self._reconcile_or_again)
        elif self._watched():
            steps.append(self._glance)
        if every or self._want_payments:
            self._want_payments = False
            steps.append(self.collect_payments)
        if balance:
            self._want_balance = False
            steps.append(self.read_balance)
        failures = []
        for step in steps:
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - raised at the end, whatever it is
                failures.append(error)
        self._wanted.look_again()
        if failures:
            raise failures[0]

    def _unseen(self) -> bool:
        """Whether legs are held here and their positions cannot be read: then the ledger tells what is taken away."""
        return self._clock.monotonic() - self._read_at > UNSEEN and bool(self._legs())

    async def _take_over_unseen(self) -> None:
        """What a person closed meanwhile, in symbols that differed in no more than that when they were last read."""
        symbols = {leg.plan.instrument.symbol: ZERO for leg in self._legs()}
        for difference in self.differences:
            if difference.about is Subject.POSITION and difference.symbol in symbols:
                symbols[difference.symbol] = difference.quantity
            else:
                symbols.pop(difference.symbol, None)
        taken = await self._ledger.take_over_unseen(symbols)
        self.differences = [
            d for d in self.differences if d.about is not Subject.POSITION or d.symbol not in taken
        ]

    def _legs(self) -> list[LegState]:
        """The legs of hedges on this account that hold something, whether the hedge is live or over."""
        return [
            leg
            for hedge in self._state.unfinished()
            for leg in (hedge.long, hedge.short)
            if leg.plan.account == self.account.name and leg.filled
        ]

    def _watched(self) -> dict[str, Decimal]:
        """Symbols whose position is looked at in every round, with their lots: legs are held there, or an order was
        lately given up as never taken. No exchange takes it any more, but one that did would leave a naked leg."""
        found = {leg.plan.instrument.symbol: leg.plan.instrument.lot for leg in self._legs()}
        since = self._clock.now() - timedelta(seconds=GIVEN_UP * self._clock.speed)
        for hedge in self._state.hedges.values():
            for order in hedge.orders:
                given_up = order.misses and order.resolved_at is not None and order.resolved_at > since
                if given_up and order.account == self.account.name:
                    found[hedge.symbol] = hedge.intent.leg(order.leg).instrument.lot
        return found

    async def _glance(self) -> None:
        """Whether the legs held here are as large as we think; reads everything when one is not.

        Streams tell sooner, when they work; a liquidation is not to be missed because one has gone silent.
        """
        before = self._beliefs()
        await self._read_positions()
        moving = before.moving(self._beliefs())
        expected, books = self._expected(), self._state.books(self.account.name)
        for symbol, lot in self._watched().items():
            if symbol in moving:
                continue
            wanted = expected.get(symbol, ZERO) + books.foreign(symbol)
            position = self.account.positions.get(symbol)
            held = ZERO if position is None else position.quantity
            if abs(held - wanted) >= noticed(wanted, lot):
                await self.reconcile()
                return

    async def _read_positions(self) -> Sequence[ExchangePosition]:
        expected, asked = self._expected(), self._clock.monotonic()
        positions = await self._read("get_positions", self.account.adapter.get_positions)
        self._read_at = asked
        self.account.positions = {position.symbol: position for position in positions}
        self.account.held = expected
        return positions

    def _expected(self) -> Mapping[str, Decimal]:
        return expected_positions(self.account.name, self._state.unfinished())

    async def _reconcile_or_again(self) -> None:
        """``reconcile``, again soon when something cannot be read; ``watch_positions`` tells of it."""
        try:
            await self.reconcile()
        except Exception as error:
            self._unanswered = str(error)
            self._want_positions = True
            raise

    async def read_balance(self) -> None:
        moves = self.account.moves
        # entries wait for a balance that knows of the last one
        priority = Priority.READ if self.account.free_balance is not None else Priority.OPEN
        self.account.balance = await self._read("get_balance", self.account.adapter.get_balance, priority)
        self.account.balance_moves = moves

    async def read_fees(self, symbol: str) -> None:
        tier = await self._read("get_fee_tier", lambda: self.account.adapter.get_fee_tier(symbol))
        self.account.fees[symbol] = tier

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
                await self.collect_fills()
            except StoreError as error:
                failed = error
            await anyio.sleep(SECOND_LOOK)
            differences, moving = await self._compare()
        if differences:
            try:
                taken_over = await self._ledger.take_over_trades_by_hand(
                    {each.symbol for each in differences}
                )
            except StoreError as error:
                failed, taken_over = error, True
            if taken_over:
                differences, moving = await self._compare()
        await self._cancel_leftovers()
        self.conclusive = not moving
        self.differences = [*differences, *(each for each in self.differences if each.symbol in moving)]
        if self.differences or self.conclusive:
            self._set_halt("; ".join(str(difference) for difference in self.differences) or None)
        if failed is not None:
            raise failed
        return self.differences

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
            self._note_stranger(order.symbol, order.client_id)
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

    def _found(self, fill: Fill) -> None:
        """The ledger has this one."""
        self._wanted.found(fill)
        self._note_stranger(fill.symbol, fill.client_id)

    def _note_stranger(self, symbol: str, client_id: str | None) -> None:
        """Remember that another bot of this program has been trading here (failure model, fault 23)."""
        if self._state.owner(client_id) is None:
            stranger = self._state.books(self.account.name).stranger(client_id)
            if stranger is not None and client_id is not None:
                self._strangers.setdefault(stranger, (symbol, client_id))

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

    def _set_halt(self, reason: str | None, what: str = "does not match", *lines: str) -> None:
        previous = self.account.halt("reconcile", reason)
        if reason == previous:
            return
        if reason is not None:
            title = f"Account {self.account.name} {what}"
            self._alert(Severity.CRITICAL, title, (reason, *lines, "Entries are off."))
        elif previous not in (NOT_READ, NOT_READ_SINCE):
            self._alert(Severity.INFO, f"Account {self.account.name} matches again", ("Entries are on.",))
        self._wake()

    async def collect_fills(self, symbol: str | None = None, since: datetime | None = None) -> None:
        """Book the ledger's fills that are new: of one symbol, or of all since the last time."""
        asked = self._clock.monotonic()
        try:
            if await self._ledger.collect_fills(symbol, since):
                self._wanted.found_new()
        except StoreError:
            self._ledger_read(symbol, asked)  # what was taken of our legs is known all the same
            raise
        self._ledger_read(symbol, asked)

    def _ledger_read(self, symbol: str | None, asked: float) -> None:
        if symbol is None and self._wanted.all_read(asked):
            self._wake()

    async def collect_payments(self) -> None:
        """Book the ledger's funding payments that are new."""
        await self._ledger.collect_payments()

    def _alert(self, severity: Severity, title: str, lines: tuple[str, ...]) -> None:
        self._bus.publish(Alert(severity, title, lines, self._clock.now()))

    async def _read(
        self, operation: str, request: Callable[[], Awaitable[T]], priority: Priority = Priority.READ
    ) -> T:
        try:
            return await self._gate.call(priority, self.account.adapter.cost(operation), request)
        except AuthenticationFailed as error:
            self._set_halt(str(error), "is not let in")
            raise
