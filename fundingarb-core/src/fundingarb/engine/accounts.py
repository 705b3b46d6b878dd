"""Reading accounts: when balances, ledger fills, funding payments, positions and open orders are read, and by whom."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio

from fundingarb.domain.control import Subject
from fundingarb.domain.order import ZERO, Fill
from fundingarb.engine.account import NOT_READ_SINCE, Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.byhand import Seen
from fundingarb.engine.comparison import Comparison
from fundingarb.engine.gate import Priority, RequestGate
from fundingarb.engine.ledger import LedgerBooks
from fundingarb.engine.state import BotState
from fundingarb.engine.wanted import WantedFills
from fundingarb.errors import AuthenticationFailed, StoreError
from fundingarb.ports import Clock, Store

log = logging.getLogger("fundingarb.accounts")
T = TypeVar("T")

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
#: Real seconds between two readings of positions and open orders, however often they are wanted; and the share of any
#: budget that they may take at most, because they cost most.
POSITIONS_PAUSE = 1.0
POSITIONS_SHARE = 0.25


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
        self._state = state
        self._gate = gate
        self._clock = clock
        self._wake = wake
        self._hint = anyio.Event()
        self._want_fills = True
        self._want_payments = True
        self._want_positions = True
        self._want_balance = True
        self._wanted = WantedFills(account, state, clock)
        self._positions_due = 0.0
        self._unheld_at = clock.monotonic()
        self._blind = False
        self._unanswered = "no answer yet"
        self._rounds = 0
        earned = [gate.earned_in(account.adapter.cost(name)) for name in ("get_open_orders", "get_positions")]
        self._positions_pause = max(POSITIONS_PAUSE, sum(earned) / POSITIONS_SHARE)
        self._ledger = LedgerBooks(
            account, state, store, bus, clock, wake, started_at, self._read, self._found
        )
        self.comparison = Comparison(
            account, state, bus, clock, wake, self._read, self.collect_fills,
            self._ledger.take_over_trades_by_hand, margin_mode,
        )  # fmt: skip

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
            legs, now = self.comparison.legs(), self._clock.monotonic()
            if not legs:
                self._unheld_at = now
            blind = now - max(self.comparison.read_at, self._unheld_at) >= UNREAD
            if blind and not self._blind and self.account.exchange not in self._state.down:
                held = [f"{leg.plan.side.value} {leg.filled} {leg.plan.instrument.symbol}" for leg in legs]
                reason = f"positions not read for {UNREAD:g} s: {self._unanswered}"
                self.comparison.halt(reason, "cannot be read", f"Held there: {', '.join(held)}")
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
            steps.append(self.comparison.read_modes)
        if every or (self._want_positions and self._clock.monotonic() >= self._positions_due):
            self._want_positions = False
            self._positions_due = self._clock.monotonic() + self._positions_pause
            steps.append(self._reconcile_or_again)
        elif self.comparison.watched():
            steps.append(self.comparison.glance)
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
        return self._clock.monotonic() - self.comparison.read_at > UNSEEN and bool(self.comparison.legs())

    async def _take_over_unseen(self) -> None:
        """What a person closed meanwhile, in symbols that differed in no more than that when they were last read."""
        symbols: dict[str, Seen] = {}
        for leg in self.comparison.legs():
            position = self.account.positions.get(leg.plan.instrument.symbol)
            symbols[leg.plan.instrument.symbol] = Seen(ZERO if position is None else position.quantity)
        for difference in self.comparison.differences:
            if difference.about is Subject.POSITION and difference.symbol in symbols:
                symbols[difference.symbol] = replace(
                    symbols[difference.symbol], difference=difference.quantity
                )
            else:
                symbols.pop(difference.symbol, None)
        taken = await self._ledger.take_over_unseen(symbols)
        self.comparison.differences = [
            d for d in self.comparison.differences if d.about is not Subject.POSITION or d.symbol not in taken
        ]

    async def _reconcile_or_again(self) -> None:
        """``reconcile``, again soon when something cannot be read; ``watch_positions`` tells of it."""
        try:
            await self.comparison.reconcile()
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

    async def read_instruments(self) -> None:
        """Have the account's adapter learn what is listed now, and how."""
        await self._read("get_instruments", self.account.adapter.get_instruments)

    def _found(self, fill: Fill) -> None:
        """The ledger has this one."""
        self._wanted.found(fill)
        self.comparison.note_stranger(fill.symbol, fill.client_id)

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

    async def _read(
        self, operation: str, request: Callable[[], Awaitable[T]], priority: Priority = Priority.READ
    ) -> T:
        try:
            return await self._gate.call(priority, self.account.adapter.cost(operation), request)
        except AuthenticationFailed as error:
            self.comparison.halt(str(error), "is not let in")
            raise
