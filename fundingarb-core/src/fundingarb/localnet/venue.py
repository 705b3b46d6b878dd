"""What the server hands to a dialect: the exchange's truth, its clock, its faults, its streams."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TypeVar

import anyio

from fundingarb.localnet.clock import Clock, milliseconds
from fundingarb.localnet.faults import Failure, FaultBook, Outcome
from fundingarb.localnet.streams import Hub
from fundingarb.localnet.tasks import Tasks, background
from fundingarb.localnet.truth.exchange import Exchange

__all__ = ["Publisher", "ReplyLost", "Venue"]

T = TypeVar("T")

log = logging.getLogger("fundingarb.localnet")

MOST_PROBLEMS = 100


class ReplyLost(Exception):
    """No answer may be sent: drop the connection. Raised by ``Venue.perform``."""


class Publisher:
    """Something sent to subscribers at an interval; kept by the venue, run by the server."""

    __slots__ = ("due", "interval", "publish")

    def __init__(self, interval: float, publish: Callable[[], None]) -> None:
        self.interval = interval
        self.publish = publish
        self.due = 0.0

    def real_interval(self, speed: float) -> float:
        """Real seconds between two frames: as at the exchange in simulated time, within [0.05, 1]."""
        return min(1.0, max(0.05, self.interval / speed))


class Venue:
    """One exchange of the localnet, as its dialect sees it."""

    def __init__(self, truth: Exchange, clock: Clock, faults: FaultBook, hub: Hub) -> None:
        self.truth = truth
        self.clock = clock
        self.faults = faults
        self.hub = hub
        self.publishers: list[Publisher] = []
        self.problems: list[BaseException] = []
        """What handlers, publishers and tasks raised that nobody expected; tests look at it."""
        self._waiting: list[Callable[[], Awaitable[None]]] = []
        self._tasks: Tasks | None = None

    @property
    def name(self) -> str:
        return self.truth.name

    # -- time ------------------------------------------------------------------------------------------------

    def sync(self) -> float:
        """Bring the truth to now and return it (unix seconds, simulated)."""
        now = self.clock.now()
        self.truth.advance(now)
        return now

    def server_ms(self) -> int:
        """What the exchange's own clock shows (with an injected skew): for server time and reply stamps."""
        return milliseconds(self.clock.now() + self.faults.skew * self.clock.speed)

    def age_ms(self, timestamp_ms: float) -> float:
        """How long ago, in REAL milliseconds, the client stamped a request; negative: in the future.

        Compare it with the exchange's window: Binance refuses when age > recvWindow or age < -1000.
        """
        return (self.server_ms() - timestamp_ms) / self.clock.speed

    @staticmethod
    def real() -> float:
        """Monotonic real time in seconds, for rate limits and connection timeouts."""
        return time.monotonic()

    # -- work in the background ------------------------------------------------------------------------------

    def every(self, seconds: float, publish: Callable[[], None]) -> None:
        """Call ``publish`` every ``seconds`` of simulated time, at most 20 times and at least once a real second.

        The truth is at now when it is called. Ask ``hub.wanted(topic)`` before building a frame.
        """
        self.publishers.append(Publisher(seconds, publish))

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run ``task`` beside the server; cancelled with it. Before the server runs, it waits until then."""
        if self._tasks is None:
            self._waiting.append(task)
        else:
            self._tasks.start(self._guarded(task))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While entered, spawned tasks run. For the server."""
        async with background() as tasks:
            self._tasks = tasks
            for task in self._waiting:
                tasks.start(self._guarded(task))
            self._waiting.clear()
            try:
                yield
            finally:
                self._tasks = None

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception as error:  # noqa: BLE001 - one exchange's task must not end the others
            self.trouble(error)

    def trouble(self, error: BaseException) -> None:
        """Note (and log) something that nobody expected: a bug of a dialect or of the truth."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(error)
            log.error("localnet %s: %s: %s", self.name, type(error).__name__, error, exc_info=error)

    # -- faults on operations that are not HTTP requests -----------------------------------------------------

    async def perform(
        self,
        operation: str,
        execute: Callable[[], Awaitable[T]],
        failed: Callable[[Failure], T],
        *,
        account: str | None = None,
        symbol: str | None = None,
    ) -> T:
        """Execute an operation that arrived on a websocket (order entry), with injected faults.

        ``failed`` renders a failure. Raises ``ReplyLost`` when the connection must be dropped instead.
        """
        outcome = self.faults.plan(operation, account=account, symbol=symbol, real=self.real())
        return await self.carry_out(outcome, execute, failed, account=account)

    async def carry_out(
        self,
        outcome: Outcome,
        execute: Callable[[], Awaitable[T]],
        failed: Callable[[Failure], T],
        *,
        account: str | None = None,
    ) -> T:
        """Do what a planned outcome says."""
        if outcome.clean:
            self.sync()
            return await execute()
        if outcome.late is not None:
            self._late(outcome.late, execute)
            raise ReplyLost
        if outcome.drop_request:
            raise ReplyLost
        if outcome.failure is not None and not outcome.execute:
            await anyio.sleep(outcome.delay)
            return failed(outcome.failure)
        self.sync()
        if outcome.fill_fraction is not None and account is not None:
            self.truth.limit_next_fill(account, Decimal(str(outcome.fill_fraction)))
        reply = await execute()
        if outcome.delay:
            await anyio.sleep(outcome.delay)
        if outcome.drop_reply:
            raise ReplyLost
        return failed(outcome.failure) if outcome.failure is not None else reply

    def _late(self, seconds: float, execute: Callable[[], Awaitable[T]]) -> None:
        """Execute in so many simulated seconds; nobody gets the answer."""

        async def later() -> None:
            await anyio.sleep(seconds / self.clock.speed)
            self.sync()
            await execute()

        self.spawn(later)
