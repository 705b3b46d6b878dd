"""The request gate of one exchange: priorities, the budgets the exchange set, and the circuit breaker."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import IntEnum
from itertools import count
from typing import TypeVar

import anyio

from fundingarb.errors import ExchangeError, ExchangeUnavailable, OutcomeUnknown, RateLimited
from fundingarb.ports import Clock, RateLimit

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first. Reductions and cancels also go while the breaker is open or the exchange asks for a pause."""

    REDUCE = 0
    CANCEL = 1
    OPEN = 2
    READ = 3


#: Share of every budget a priority may use up; the rest is kept for those before it.
SHARE = {Priority.REDUCE: 1.0, Priority.CANCEL: 0.95, Priority.OPEN: 0.85, Priority.READ: 0.7}


class GateClosed(ExchangeUnavailable):
    """The request was not sent: the breaker is open or the exchange asked for a pause."""


class Breaker:
    """Opens after ``threshold`` consecutive failures; after ``pause`` (real) seconds one request at a time probes."""

    def __init__(self, clock: Clock, threshold: int = 5, pause: float = 5.0) -> None:
        self._clock = clock
        self._threshold = threshold
        self._pause = pause
        self._probing = False
        self._retry_at = 0.0
        self.failures = 0

    @property
    def open(self) -> bool:
        return self.failures >= self._threshold

    def admits(self, priority: Priority) -> bool:
        if not self.open or priority <= Priority.CANCEL:
            return True
        if self._probing or self._clock.monotonic() < self._retry_at:
            return False
        self._probing = True
        return True

    def release(self) -> None:
        """The request is over, however it ended: another one may probe."""
        self._probing = False

    def success(self) -> bool:
        """Returns whether this closed an open breaker."""
        closed = self.open
        self.failures = 0
        return closed

    def failure(self) -> bool:
        """Returns whether this opened the breaker."""
        self.failures += 1
        self._retry_at = self._clock.monotonic() + self._pause
        return self.failures == self._threshold


class _Budget:
    """A sliding window: at most ``capacity`` within ``seconds``."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.used = 0.0
        self._spent: deque[tuple[float, float]] = deque()

    def delay(self, cost: float, share: float, now: float) -> float:
        """Seconds until ``cost`` fits into ``share`` of the budget; 0 when it fits now."""
        while self._spent and self._spent[0][0] <= now - self.limit.seconds:
            self.used -= self._spent.popleft()[1]
        over = self.used + cost - max(self.limit.capacity * share, cost)
        if over <= 0:
            return 0.0
        for at, spent in self._spent:
            over -= spent
            if over <= 0:
                return max(at + self.limit.seconds - now, 0.001)
        return self.limit.seconds

    def charge(self, cost: float, now: float) -> None:
        self.used += cost
        self._spent.append((now, cost))


class RequestGate:
    """Every request to one exchange passes here. ``on_breaker(open)`` is called when the breaker changes."""

    def __init__(
        self,
        exchange: str,
        limits: Sequence[RateLimit],
        clock: Clock,
        on_breaker: Callable[[bool], None] = lambda _open: None,
        breaker: Breaker | None = None,
    ) -> None:
        self.exchange = exchange
        self.breaker = breaker or Breaker(clock)
        self._clock = clock
        self._on_breaker = on_breaker
        self._budgets: dict[str, list[_Budget]] = {}
        for limit in limits:
            self._budgets.setdefault(limit.scope, []).append(_Budget(limit))
        self._paused_until = 0.0
        self._waiting: list[tuple[int, int]] = []
        self._numbers = count()
        self._changed = anyio.Event()

    async def call(
        self, priority: Priority, cost: Mapping[str, float], request: Callable[[], Awaitable[T]]
    ) -> T:
        """Wait for a place, send, and count the result. Raises ``GateClosed`` when it may not be sent at all."""
        if self._clock.monotonic() < self._paused_until and priority is not Priority.REDUCE:
            raise GateClosed(f"{self.exchange} asked for fewer requests; waiting")
        if not self.breaker.admits(priority):
            raise GateClosed(
                f"{self.exchange} failed {self.breaker.failures} times in a row; waiting for it to answer"
            )
        try:
            if self._waiting or not self._take(priority, cost):
                await self._queue(priority, cost)
            result = await request()
        except RateLimited as error:
            self._paused_until = self._clock.monotonic() + error.retry_after
            self._failed()
            raise
        except (ExchangeUnavailable, OutcomeUnknown):
            self._failed()
            raise
        except ExchangeError:
            self._answered()
            raise
        finally:
            self.breaker.release()
        self._answered()
        return result

    def _answered(self) -> None:
        if self.breaker.success():
            self._on_breaker(False)

    def _failed(self) -> None:
        if self.breaker.failure():
            self._on_breaker(True)

    def _delay(self, priority: Priority, cost: Mapping[str, float]) -> float:
        now, share = self._clock.monotonic(), SHARE[priority]
        return max(
            (
                b.delay(units, share, now)
                for scope, units in cost.items()
                for b in self._budgets.get(scope, ())
            ),
            default=0.0,
        )

    def _take(self, priority: Priority, cost: Mapping[str, float]) -> bool:
        if self._delay(priority, cost) > 0:
            return False
        now = self._clock.monotonic()
        for scope, units in cost.items():
            for budget in self._budgets.get(scope, ()):
                budget.charge(units, now)
        return True

    async def _queue(self, priority: Priority, cost: Mapping[str, float]) -> None:
        ticket = (int(priority), next(self._numbers))
        heapq.heappush(self._waiting, ticket)
        try:
            while self._waiting[0] != ticket or not self._take(priority, cost):
                delay = self._delay(priority, cost) if self._waiting[0] == ticket else None
                changed = self._changed
                with anyio.move_on_after(delay):
                    await changed.wait()
        finally:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            self._changed.set()
            self._changed = anyio.Event()
