"""The request gate of one exchange: priorities, the budgets the exchange set, and the circuit breaker."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import TypeVar

import anyio

from fundingarb.errors import ExchangeError, ExchangeUnavailable, OutcomeUnknown, RateLimited
from fundingarb.ports import Clock, RateLimit

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first. Reductions and cancels also go while the breaker is open, reductions alone while the exchange
    asks for a pause. Order queries count as cancels."""

    REDUCE = 0
    CANCEL = 1
    OPEN = 2
    READ = 3


#: Share of every budget a priority may use up; the rest is kept for those before it.
SHARE = {Priority.REDUCE: 1.0, Priority.CANCEL: 0.95, Priority.OPEN: 0.85, Priority.READ: 0.7}

#: Sums of fractional costs are exact to this many units.
DUST = 1e-9


class GateClosed(ExchangeUnavailable):
    """The request was not sent: the breaker is open, the exchange asked for a pause, or its time has passed."""


class Breaker:
    """Opens after ``threshold`` consecutive failures; after ``pause`` (real) seconds one read at a time probes.

    What adds exposure never probes: an exchange that has just failed is not where to find out with an order.
    """

    def __init__(self, clock: Clock, threshold: int = 5, pause: float = 2.0) -> None:
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
        """Whether such a request may be sent without being a probe."""
        return not self.open or priority <= Priority.CANCEL

    def probe(self, priority: Priority) -> bool:
        """Whether this request may be the probe; if so, nobody else's is until ``release``."""
        if priority is not Priority.READ or self._probing or self._clock.monotonic() < self._retry_at:
            return False
        self._probing = True
        return True

    def release(self) -> None:
        """The probe is over, however it ended: another one may be sent."""
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
        if not self._spent:
            self.used = 0.0
        over = self.used + cost - max(self.limit.capacity * share, cost)
        if over <= DUST:
            return 0.0
        for at, spent in self._spent:
            over -= spent
            if over <= DUST:
                return max(at + self.limit.seconds - now, 0.001)
        return self.limit.seconds

    def charge(self, cost: float, now: float) -> None:
        self.used += cost
        self._spent.append((now, cost))


@dataclass(frozen=True, slots=True, order=True)
class _Ticket:
    """A place in the queue: lower priority numbers first, then whoever came first."""

    priority: int
    number: int
    scopes: frozenset[str] = field(compare=False)


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
        self._waiting: set[_Ticket] = set()
        self._numbers = count()
        self._changed = anyio.Event()

    def earned_in(self, cost: Mapping[str, float]) -> float:
        """Real seconds in which the exchange's budgets grow by ``cost``."""
        return max(
            (
                units / budget.limit.capacity * budget.limit.seconds
                for scope, units in cost.items()
                for budget in self._budgets.get(scope, ())
            ),
            default=0.0,
        )

    async def call(
        self, priority: Priority, cost: Mapping[str, float], request: Callable[[], Awaitable[T]]
    ) -> T:
        """Wait for a place, send, and count the result. Raises ``GateClosed`` when it may not be sent at all."""
        probing = not self.breaker.admits(priority) and self.breaker.probe(priority)
        try:
            self._check(priority, probing)
            ticket = _Ticket(int(priority), next(self._numbers), frozenset(cost) & self._budgets.keys())
            if not self._turn(ticket) or not self._take(priority, cost):
                await self._queue(ticket, cost, probing)
            return await self._count(request)
        finally:
            if probing:
                self.breaker.release()

    def _check(self, priority: Priority, probing: bool) -> None:
        """Raise unless such a request may be sent now; asked again of whoever waits when something happened."""
        if self._clock.monotonic() < self._paused_until and priority is not Priority.REDUCE:
            raise GateClosed(f"{self.exchange} asked for fewer requests; waiting")
        if not probing and not self.breaker.admits(priority):
            raise GateClosed(
                f"{self.exchange} failed {self.breaker.failures} times in a row; waiting for it to answer"
            )

    async def _count(self, request: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await request()
        except GateClosed:
            raise
        except ExchangeError as error:
            limited = error if isinstance(error, RateLimited) else error.__cause__
            if isinstance(limited, RateLimited):
                self._paused_until = max(self._paused_until, self._clock.monotonic() + limited.retry_after)
                self._announce()
            if isinstance(error, (ExchangeUnavailable, OutcomeUnknown)):
                self._failed()
            else:
                self._answered()
            raise
        self._answered()
        return result

    def _answered(self) -> None:
        if self.breaker.success():
            self._on_breaker(False)

    def _failed(self) -> None:
        if self.breaker.failure():
            self._announce()
            self._on_breaker(True)

    def _announce(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = anyio.Event()

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

    def _turn(self, ticket: _Ticket) -> bool:
        """Whether nobody who goes before ``ticket`` waits for a budget that it needs too."""
        return not any(other < ticket and other.scopes & ticket.scopes for other in self._waiting)

    async def _queue(self, ticket: _Ticket, cost: Mapping[str, float], probing: bool) -> None:
        priority = Priority(ticket.priority)
        self._waiting.add(ticket)
        try:
            while not self._turn(ticket) or not self._take(priority, cost):
                delay = self._delay(priority, cost) if self._turn(ticket) else None
                changed = self._changed
                with anyio.move_on_after(delay):
                    await changed.wait()
                self._check(priority, probing)
        finally:
            self._waiting.discard(ticket)
            self._announce()
