"""What the exchanges together hold of one symbol, and for how long a part of it has had no counterpart."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

ZERO = Decimal(0)


class Excuse(str, Enum):
    """Why time without a counterpart is not held against the bot; it is reported beside the time that is."""

    PROOF = "proof"
    """An order's outcome is unknown and being proved."""
    UNREACHABLE = "unreachable"
    """The exchange that would have to be asked does not answer."""
    PERSON = "person"
    """Somebody has just traded by hand: it takes the ledger and a look to know it."""
    DOWN = "down"
    """The bot does not run: it was killed and is not started again yet."""
    STARVED = "starved"
    """The machine let the bot or the exchanges wait for a processor."""


@dataclass(slots=True)
class Episode:
    """One time during which a symbol's net position was beyond the tolerance.

    ``oldest`` is how long (real seconds, excused time left out) the oldest unhedged unit had none on the other side,
    ``worst`` the largest net position in base units and ``worst_usd`` its value then.
    """

    symbol: str
    started_at: datetime
    hedge_id: UUID | None = None
    ended_at: datetime | None = None
    oldest: float = 0.0
    worst: Decimal = ZERO
    worst_usd: Decimal = ZERO
    excused: dict[Excuse, float] = field(default_factory=dict)
    alerted_at: datetime | None = None
    told: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """From begin to end by the simulated clock; 0 while it lasts."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0


class Exposure:
    """Positions of one symbol over all accounts, signed, in base units.

    The age of what is unhedged is that of its oldest unit: a hedge that keeps up with fills that keep coming is never
    old, however long the fills go on.
    """

    def __init__(self, symbol: str, tolerance: Decimal) -> None:
        self.symbol = symbol
        self.tolerance = tolerance
        self.positions: dict[tuple[str, str], Decimal] = {}
        self.last_moved: tuple[str, str] | None = None
        self.surprised: list[tuple[str, str]] = []
        """Where something moved that was not the bot's doing, the latest last, until another move makes the legs
        even."""
        self._surprising = False
        self.episode: Episode | None = None
        self.episodes: list[Episode] = []
        self._clock = 0.0
        self._queue: deque[tuple[float, Decimal]] = deque()

    @property
    def delta(self) -> Decimal:
        """Net position: positive when long."""
        return sum(self.positions.values(), ZERO)

    @property
    def heavier(self) -> tuple[str, str] | None:
        """(exchange, account) of the largest position on the side that is too heavy."""
        delta = self.delta
        side = {where: quantity for where, quantity in self.positions.items() if quantity * delta > 0}
        return max(side, key=lambda where: abs(side[where])) if side else None

    @property
    def age(self) -> float:
        """Counted seconds of the oldest unhedged unit; 0 while there is none."""
        return self._clock - self._queue[0][0] if self._queue else 0.0

    def surprise(self, where: tuple[str, str]) -> None:
        """The next move there is not the bot's doing."""
        self.surprised = [*(other for other in self.surprised if other != where), where]
        self._surprising = True

    def pass_time(self, seconds: float, excuse: Excuse | None) -> None:
        """Real seconds went by during an episode."""
        if self.episode is None:
            return
        if excuse is None:
            self._clock += seconds
            self.episode.oldest = max(self.episode.oldest, self.age)
        else:
            self.episode.excused[excuse] = self.episode.excused.get(excuse, 0.0) + seconds

    def move(self, where: tuple[str, str], quantity: Decimal, at: datetime, price: Decimal) -> None:
        """The position at ``where`` is ``quantity`` from now on; ``price`` values what is unhedged."""
        before = self.delta
        self.positions[where] = quantity
        self.last_moved = where
        surprising, self._surprising = self._surprising and self.surprised[-1:] == [where], False
        after = self.delta
        if abs(after) <= self.tolerance:
            self._queue.clear()
            if self.episode is not None:
                self.episode.ended_at = at
                self.episode = None
            self.surprised = [where] if surprising else []
            return
        if before * after <= 0:
            self._queue.clear()
            self._queue.append((self._clock, abs(after)))
        elif abs(after) > abs(before):
            self._queue.append((self._clock, abs(after) - abs(before)))
        else:
            self._pop(abs(before) - abs(after))
        if not self._queue:  # what was within the tolerance before counts from now on
            self._queue.append((self._clock, abs(after)))
        if self.episode is None:
            self.episode = Episode(self.symbol, at)
            self.episodes.append(self.episode)
        if abs(after) > self.episode.worst:
            self.episode.worst = abs(after)
            self.episode.worst_usd = max(self.episode.worst_usd, abs(after) * price)

    def _pop(self, quantity: Decimal) -> None:
        """The oldest units got their counterpart first."""
        while self._queue and quantity > 0:
            at, size = self._queue.popleft()
            if size > quantity:
                self._queue.appendleft((at, size - quantity))
                return
            quantity -= size
