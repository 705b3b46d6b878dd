"""An exchange behind a network: the localnet's truth in process, reached with latency and the installed faults.

A request that was sent lives on when its sender dies: it arrives, is executed, and the answer finds nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from fundingarb.localnet.faults import Failure, Fault, FaultBook, FaultKind, Outcome
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Refused
from fundingarb.ports import Clock
from fundingarb.simulation.virtual import VirtualLoop

T = TypeVar("T")

BROKEN_PROMISE = 20.0
"""A request held up for longer than this (real seconds) is executed in spite of its window: the exchange broke its
promise, and no proof could have known."""


class Lost(Exception):
    """No answer came: the connection broke, or the request timed out."""


class Answered(Exception):
    """The exchange answered with an injected failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message or failure.kind.value)
        self.failure = failure


READINGS = ("fills.read", "positions.read")
FLOOD = 500
"""More orders than anything sensible sends to one exchange within a minute."""


class Link(Protocol):
    """A connection of an account's stream."""

    def drop(self) -> None: ...

    def stall(self) -> None: ...


class SimExchange:
    """One exchange of the simulation. Times are real seconds (of the virtual loop), except where said otherwise.

    ``window`` is the receive window of signed requests, ``ledger_lag`` how long fills take to reach the ledger,
    ``read_lag`` how long a new order takes to be found, ``timeout`` after how long a request is given up. With a
    ``block`` the exchange is a chain: what is taken is carried out with the next block, so many seconds after the one
    before, and of an immediate order that brought nothing it keeps nothing.
    """

    def __init__(
        self,
        truth: Exchange,
        clock: Clock,
        *,
        seed: int,
        window: float = 3.0,
        ledger_lag: float = 0.4,
        read_lag: float = 0.2,
        timeout: float = 5.0,
        dead_man: bool = True,
        block: float = 0.0,
    ) -> None:
        self.name = truth.name
        self.truth = truth
        self.clock = clock
        self.window = window
        self.ledger_lag = ledger_lag
        self.read_lag = read_lag
        self.timeout = timeout
        self.block = block
        self.dead_man = dead_man and not block
        self.faults = FaultBook(truth.name, seed=seed, same_symbol=self._same_symbol)
        self.outages = 0
        self.broken_promises: set[str] = set()
        self.on_fault: Callable[[str, str, str | None], None] = lambda _exchange, _kind, _symbol: None
        """Hears of every operation that a fault happened to: exchange, kind, native symbol."""
        self.sent: dict[str, datetime] = {}
        """Client order id -> when it was last sent."""
        self.links: list[Link] = []
        self._rng = random.Random(f"network/{seed}/{truth.name}")
        self._banned_until = 0.0
        self._placed: deque[float] = deque(maxlen=FLOOD)
        self.refused: set[str] = set()
        """Readings of an account that came to nothing when they were last asked for."""

    def _same_symbol(self, wanted: str, given: str) -> bool:
        instrument = self.truth.instruments.get(given)
        return wanted == given or (instrument is not None and instrument.symbol == wanted)

    @property
    def order_expiry(self) -> timedelta:
        return timedelta(seconds=self.window + 1)

    @property
    def reachable(self) -> bool:
        """Whether requests are answered at all, apart from single ones that are lost."""
        return (
            not self.outages
            and not self.faults.in_maintenance
            and self.clock.monotonic() >= self._banned_until
        )

    def with_the_block(self, act: Callable[[], object]) -> None:
        """Carry out ``act`` with the next block; nobody is told that it was refused."""

        def carry_out() -> None:
            self.sync()
            with suppress(Refused):
                act()

        now = self.clock.monotonic()
        asyncio.get_running_loop().call_later(self.block - now % self.block, carry_out)

    def sync(self) -> None:
        """Bring the truth to now. Connections to an exchange that is gone are lost."""
        self.truth.advance(self.clock.time())
        if self.links and not self.reachable:
            self.cut_streams()

    def native(self, symbol: str) -> str:
        """The exchange's own id of a symbol."""
        return self.truth.instrument(symbol).id

    def travel(self) -> float:
        """Seconds a message takes one way."""
        return 0.015 + 0.05 * self._rng.random()

    def plan(self, operation: str, account: str | None, symbol: str | None) -> Outcome:
        """What the installed faults make of an operation; whoever counts fired faults is told."""
        before = {fault.id: fault.fired for fault in self.faults.faults}
        outcome = self.faults.plan(operation, account=account, symbol=symbol, real=self.clock.monotonic())
        if before:
            for fault in self.faults.faults:
                if fault.fired != before[fault.id]:
                    self._fired(fault, symbol)
        return outcome

    def frame_faults(self, account: str) -> list[Fault]:
        """What happens to a frame of the account's stream."""
        fired = self.faults.frame("account", account=account, real=self.clock.monotonic())
        for fault in fired:
            self._fired(fault, None)
        return fired

    def _fired(self, fault: Fault, symbol: str | None) -> None:
        if fault.kind is FaultKind.BANNED:
            self._banned_until = self.clock.monotonic() + fault.seconds
        kind = fault.kind.value
        if fault.kind is FaultKind.LATE_ACCEPT and fault.seconds / self.clock.speed >= BROKEN_PROMISE:
            if self.block:
                return  # a chain cannot break that promise: the request is lost, no more
            kind = "broken_promise"
        self.on_fault(self.name, kind, symbol)

    def cut_streams(self) -> bool:
        """Drop every connection of an account's stream; whether there was one."""
        links = list(self.links)
        for link in links:
            link.drop()
        return bool(links)

    def stall_streams(self) -> bool:
        """Every connection of an account's stream stays open and says nothing any more; whether there was one."""
        links = list(self.links)
        for link in links:
            link.stall()
        return bool(links)

    async def request(
        self,
        operation: str,
        execute: Callable[[], T],
        *,
        account: str | None = None,
        symbol: str | None = None,
        client_id: str = "",
        windowed: bool = False,
    ) -> T:
        """Send, have executed, wait for the answer. Raises ``Lost``, ``Answered`` or what ``execute`` raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        native = self.native(symbol) if symbol is not None else None
        sent = self.clock.monotonic()
        if client_id and operation == "order.place":
            self.sent[client_id] = self.clock.now()
            self._placed.append(self.clock.time())
            flood = len(self._placed) == FLOOD and self._placed[-1] - self._placed[0] < 60
            if flood and isinstance(loop, VirtualLoop):
                loop.give_up(f"{FLOOD} orders sent to {self.name} within a minute")

        def arrive() -> None:
            outcome = self.plan(operation, account, native)
            if self.outages:
                self.on_fault(self.name, "outage", native)
            if self.outages or outcome.drop_request:
                self._fail(answer, Lost("the connection broke"), self._rng.uniform(0.05, 1.5))
            elif outcome.late is not None:
                loop.call_later(outcome.late / self.clock.speed, run_late)
                self._fail(answer, Lost("the connection broke"), self._rng.uniform(0.05, 1.5))
            elif outcome.failure is not None and not outcome.execute:
                self._fail(answer, Answered(outcome.failure), outcome.delay + self.travel())
            else:
                run(outcome)

        def run(outcome: Outcome) -> None:
            self.sync()
            if outcome.fill_fraction is not None and account is not None:
                self.truth.limit_next_fill(account, Decimal(str(outcome.fill_fraction)))
            try:
                result = execute()
            except Exception as error:  # noqa: BLE001 - the answer, whatever it is
                self._fail(answer, error, outcome.delay + self.travel())
                return
            if outcome.drop_reply:
                self._fail(answer, Lost("the connection broke"), self._rng.uniform(0.05, 1.5))
            elif outcome.failure is not None:
                self._fail(answer, Answered(outcome.failure), outcome.delay + self.travel())
            else:
                loop.call_later(outcome.delay + self.travel(), _give, answer, result)

        def run_late() -> None:
            """What was held up on the way arrives; nobody waits for it. The window may have passed."""
            held = self.clock.monotonic() - sent
            if windowed and held > self.window and (self.block or held < BROKEN_PROMISE):
                return  # no block takes what names an earlier one: a chain cannot break that promise
            if held >= BROKEN_PROMISE:
                self.broken_promises.add(client_id)
            self.sync()
            try:
                execute()
            except Refused:
                return

        loop.call_later(self.travel(), arrive)
        deadline = loop.call_later(self.timeout, self._give_up, answer)
        answered = False
        try:
            result = await answer
            answered = True
            return result
        finally:
            deadline.cancel()
            if operation in READINGS:
                (self.refused.discard if answered else self.refused.add)(operation)

    def _fail(self, answer: asyncio.Future[Any], error: BaseException, after: float) -> None:
        asyncio.get_running_loop().call_later(after, _raise, answer, error)

    @staticmethod
    def _give_up(answer: asyncio.Future[Any]) -> None:
        _raise(answer, Lost("no answer in time"))


def _give(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _raise(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
