"""Simulated time: one clock that the localnet and the programs that use it share.

Everything in the localnet that is part of the simulation (funding, fills, order times, order expiry) lives in
simulated time. Network deadlines, request-expiry windows and rate limits stay in real time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SharedClock", "milliseconds"]


def milliseconds(seconds: float) -> int:
    """Unix seconds as whole milliseconds, rounded to the nearest."""
    return round(seconds * 1000)


class Clock(Protocol):
    """What the localnet asks a clock."""

    @property
    def speed(self) -> float:
        """Simulated seconds that pass in one real second."""

    def now(self) -> float:
        """Simulated time in unix seconds; never goes back."""


@dataclass(frozen=True, slots=True)
class SharedClock:
    """Simulated time that runs at ``speed`` and reads the same in every process of the machine.

    ``epoch`` is the simulated time (unix seconds) at the moment when ``time.monotonic()`` read ``monotonic``.
    The monotonic clock of Linux, macOS and Windows is common to all processes, so these three numbers are all
    another process needs.
    """

    epoch: float
    monotonic: float
    speed: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"the speed of a clock must be a positive number, not {self.speed}")

    @classmethod
    def starting(cls, epoch: float, speed: float = 1.0) -> SharedClock:
        """A clock that reads ``epoch`` now."""
        return cls(epoch, time.monotonic(), speed)

    @classmethod
    def from_json(cls, data: Mapping[str, float]) -> SharedClock:
        """The clock of a ready file's ``clock`` object."""
        return cls(float(data["epoch"]), float(data["monotonic"]), float(data["speed"]))

    def now(self) -> float:
        return self.epoch + (time.monotonic() - self.monotonic) * self.speed

    def to_json(self) -> dict[str, float]:
        """The ``clock`` object of the ready file."""
        return {"epoch": self.epoch, "monotonic": self.monotonic, "speed": self.speed}


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to, for tests and for simulations in virtual time."""

    time: float
    speed: float = field(default=1.0)

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> float:
        """Move forward by ``seconds`` and return the new time."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self.time += seconds
        return self.time
