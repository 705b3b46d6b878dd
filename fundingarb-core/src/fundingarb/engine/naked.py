"""How long a hedge has had more on one leg than on the other, and saying so before a person would have to ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fundingarb.domain.hedge import Hedge
from fundingarb.engine.alerts import Announcer
from fundingarb.ports import Clock

#: Real seconds a leg may be unhedged before it is an alert, and between repetitions of it. Invariant I1 allows five
#: from the fill on; without a stream it takes up to two until we hear of it.
GRACE = 2.5
AGAIN = 30.0


@dataclass
class NakedWatch:
    """Remembers since when each hedge has been unhedged by a lot or more; time is the clock's monotonic, real time."""

    clock: Clock
    announcer: Announcer
    _since: dict[UUID, float] = field(default_factory=dict)
    _told: dict[UUID, float] = field(default_factory=dict)

    def look(self, hedges: Iterable[Hedge], now: datetime) -> None:
        """Take the hedges as they are; alert (CRITICAL) for each that has been unhedged for too long."""
        moment = self.clock.monotonic()
        naked = {hedge.id: hedge for hedge in hedges if abs(hedge.unhedged) >= hedge.lot}
        for memory in (self._since, self._told):
            for hedge_id in memory.keys() - naked.keys():
                del memory[hedge_id]
        for hedge_id, hedge in naked.items():
            seconds = moment - self._since.setdefault(hedge_id, moment)
            if seconds >= GRACE and moment - self._told.get(hedge_id, float("-inf")) >= AGAIN:
                self._told[hedge_id] = moment
                self.announcer.unhedged(hedge, seconds, now)

    def seconds(self, hedge_id: UUID) -> float:
        """For how long this hedge has been unhedged; 0 when it is even."""
        since = self._since.get(hedge_id)
        return 0.0 if since is None else self.clock.monotonic() - since
