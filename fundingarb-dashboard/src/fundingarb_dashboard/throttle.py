"""How often somebody may try to log in."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Throttle"]

WINDOW = 60.0
PER_ADDRESS = 5
FOR_ALL = 20
LONGEST = 900.0
REMEMBERED = 1000
"""Addresses whose failures are remembered; beyond it the one that tried longest ago is forgotten."""


@dataclass
class Attempts:
    """What one address tried: when (monotonic seconds), how often in a row in vain, and until when it must wait."""

    at: deque[float] = field(default_factory=deque)
    failures: int = 0
    until: float = 0.0


class Throttle:
    """Five attempts a minute for each who tries, twenty for all together; every fifth failure in a row of one doubles
    what that one waits, to 15 min. Who is ``apart`` has no part in what all together may."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives monotonic seconds of real time."""
        self._clock = clock
        self._all: deque[float] = deque()
        self._known: OrderedDict[str, Attempts] = OrderedDict()

    def admit(self, who: str, *, apart: bool = False) -> float:
        """Count an attempt that is about to be made and return 0, or return the seconds until one may be made.

        ``who`` is an address, or a browser that is known."""
        now = self._clock()
        attempts = self._known.setdefault(who, Attempts())
        self._known.move_to_end(who)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        wait = max(
            attempts.until - now,
            _full_for(attempts.at, PER_ADDRESS, now),
            0.0 if apart else _full_for(self._all, FOR_ALL, now),
        )
        if wait > 0:
            return wait
        attempts.at.append(now)
        if not apart:
            self._all.append(now)
        return 0.0

    def failed(self, who: str) -> None:
        """The attempt that ``admit`` let through was wrong."""
        attempts = self._known.setdefault(who, Attempts())
        attempts.failures += 1
        if attempts.failures % PER_ADDRESS == 0:
            rounds = attempts.failures // PER_ADDRESS
            attempts.until = self._clock() + min(LONGEST, WINDOW * 2.0 ** min(rounds - 1, 10))

    def succeeded(self, who: str) -> None:
        self._known.pop(who, None)


def _full_for(attempts: deque[float], size: int, now: float) -> float:
    """Seconds until fewer than ``size`` of ``attempts`` are within the window; drops those that are not."""
    while attempts and attempts[0] <= now - WINDOW:
        attempts.popleft()
    return 0.0 if len(attempts) < size else attempts[0] + WINDOW - now
