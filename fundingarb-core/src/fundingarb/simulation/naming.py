"""I7: until a kill is flat, every leg that is not is named, with exchange, symbol, quantity and reason, every 30 s."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

Leg: TypeAlias = "tuple[str, str, str]"
"""Exchange, account and symbol."""

ZERO = Decimal(0)
REMEMBERED = 64
"""Changes of a position that are remembered."""
MARGIN = 1.0
"""Real seconds that an alert may be late, and that asking an exchange takes."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


class Naming:
    """Told of positions and alerts, asked from time to time which legs have been unnamed for too long.

    A quantity counts as named when it is one that the leg has had since the last alert was due, or since the exchange
    could last be asked: nobody can know what has happened there since. ``every`` is in real seconds.
    """

    def __init__(self, every: float, speed: float, reachable: Callable[[str], bool]) -> None:
        self._every = every + MARGIN
        self._speed = speed
        self._reachable = reachable
        self._back: dict[str, datetime] = {}
        self._asked: dict[str, datetime] = {}
        self._had: dict[Leg, deque[tuple[datetime, Decimal]]] = {}
        self._unnamed: dict[Leg, float] = {}

    def moved(self, leg: Leg, quantity: Decimal, at: datetime) -> None:
        """The position is ``quantity`` (signed base units) from now on."""
        had = self._had.setdefault(leg, deque([(datetime.min.replace(tzinfo=at.tzinfo), ZERO)], REMEMBERED))
        if had[-1][1] != quantity:
            had.append((at, quantity))

    def quantity(self, leg: Leg) -> Decimal:
        """What is held there now, signed."""
        had = self._had.get(leg)
        return had[-1][1] if had else ZERO

    @property
    def held(self) -> set[Leg]:
        """The legs that hold something."""
        return {leg for leg, had in self._had.items() if had[-1][1]}

    def look(self, now: datetime) -> None:
        """Note which exchanges can be asked now, and could for as long as that takes."""
        for exchange in {leg[0] for leg in self._had}:
            if not self._reachable(exchange):
                self._back.pop(exchange, None)
            elif now - self._back.setdefault(exchange, now) >= timedelta(seconds=MARGIN * self._speed):
                self._asked[exchange] = now

    def alert(self, lines: Sequence[str], at: datetime, now: datetime) -> None:
        """A CRITICAL alert was raised at ``at``."""
        for leg in self._unnamed:
            if any(self._names(line, leg, at) for line in lines):
                self._unnamed[leg] = max((now - at).total_seconds() / self._speed, 0.0)

    def overdue(self, legs: Collection[Leg], seconds: float) -> list[Leg]:
        """``seconds`` (real) went by in which ``legs`` were not flat: those that should have been named by now."""
        self._unnamed = {leg: self._unnamed.get(leg, 0.0) + seconds for leg in legs}
        late = [leg for leg, unnamed in self._unnamed.items() if unnamed > self._every]
        for leg in late:
            self._unnamed[leg] = 0.0
        return late

    def _names(self, line: str, leg: Leg, at: datetime) -> bool:
        exchange, account, symbol = leg
        what, colon, reason = line.rpartition(": ")
        if not (colon and reason.strip() and exchange in what and account in what and symbol in what):
            return False
        said = {Decimal(number) for number in NUMBER.findall(what.replace(symbol, " "))}
        return not said.isdisjoint(self._quantities(leg, at))

    def _quantities(self, leg: Leg, at: datetime) -> Iterator[Decimal]:
        """What the leg has held since it could last be looked at, and ``every`` before that."""
        since = self._asked.get(leg[0], at) - timedelta(seconds=self._every * self._speed)
        had = self._had.get(leg, ())
        for number, (_, quantity) in enumerate(had):
            until = had[number + 1][0] if number + 1 < len(had) else None
            if until is None or until >= since:
                yield quantity
        if not had:
            yield ZERO
