"""A clock that moves only when a test says so."""

from __future__ import annotations

import heapq
import itertools
from datetime import datetime, timedelta, timezone

import anyio

START = datetime(2026, 1, 5, 7, 38, tzinfo=timezone.utc)
"""22 minutes before a settlement."""


class FakeClock:
    """Satisfies ``fundingarb.ports.Clock``. ``advance`` moves it and wakes the sleepers that are due, in order."""

    def __init__(self, start: datetime = START, *, speed: float = 1.0) -> None:
        self._now = start
        self._real = 0.0
        self._speed = speed
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []
        self._order = itertools.count()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> datetime:
        return self._now

    def time(self) -> float:
        return self._now.timestamp()

    def monotonic(self) -> float:
        """Real seconds since the clock was made: what ``advance`` added up to, divided by ``speed``."""
        return self._real

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by ``seconds``; zero or less yields once."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        event = anyio.Event()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), event))
        await event.wait()

    @property
    def next_wake(self) -> datetime | None:
        """When the first sleeper is due; None when nobody sleeps."""
        return self._sleepers[0][0] if self._sleepers else None

    def advance(self, seconds: float | timedelta) -> None:
        """Move on and wake who is due; the woken tasks run when the caller next awaits."""
        step = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        if step < timedelta(0):
            raise ValueError("time does not go back")
        self._now += step
        self._real += step.total_seconds() / self._speed
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()

    def advance_to(self, at: datetime) -> None:
        self.advance(at - self._now)
