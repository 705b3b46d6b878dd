"""Why plans are not opened: the last refusal of each symbol, and what is to be stored of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fundingarb.domain.events import CandidateRefused
from fundingarb.domain.opportunity import Refusal
from fundingarb.engine.bus import Bus
from fundingarb.ports import Clock

#: Real seconds between two times that they are stored.
PAUSE = 2.0


@dataclass
class Refusals:
    """``waiting`` has the last one of every symbol that is not open."""

    bus: Bus
    clock: Clock
    waiting: dict[str, Refusal] = field(default_factory=dict)
    _unstored: dict[tuple[str, str, str, str], Refusal] = field(default_factory=dict)
    _due: float = 0.0

    def add(self, refusal: Refusal) -> None:
        """Keep what keeps a plan from being opened; told once for each gate until it is stored."""
        key = (refusal.symbol, refusal.long_exchange, refusal.short_exchange, refusal.gate)
        self.waiting[refusal.symbol] = refusal
        if key not in self._unstored:
            self.bus.publish(CandidateRefused(refusal))
        self._unstored[key] = refusal

    def due(self) -> tuple[Refusal, ...]:
        """Those to be stored now: all that are not, from time to time."""
        if not self._unstored or self.clock.monotonic() < self._due:
            return ()
        self._due = self.clock.monotonic() + PAUSE
        return tuple(self._unstored.values())

    def stored(self) -> None:
        """What was due is on disk."""
        self._unstored.clear()
