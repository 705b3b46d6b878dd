"""The clocks: the wall, and a clock shared with a localnet that may run faster."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

import anyio

from fundingarb.ports import Clock


def elapsed(clock: Clock) -> float:
    """Seconds of the clock's time since some moment: they never jump, whatever is done to the wall's time."""
    return clock.monotonic() * clock.speed


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Wall-clock time."""

    speed: float = 1.0

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds, 0.0))


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Time that was ``epoch`` at ``at_monotonic`` (of ``time.monotonic``) and runs ``speed`` times faster.

    Two processes on one machine that are given the same three numbers see the same time.
    """

    epoch: float
    at_monotonic: float
    speed: float = 1.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), timezone.utc)

    def time(self) -> float:
        return self.epoch + (time.monotonic() - self.at_monotonic) * self.speed

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds / self.speed, 0.0))
