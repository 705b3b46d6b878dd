"""How long a leg has been unhedged, or an order in doubt, and saying so before a person would have to ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fundingarb.domain.hedge import Hedge
from fundingarb.engine.alerts import Announcer
from fundingarb.ports import Clock

#: An order that is in doubt for so many real seconds, longer than any proof takes, waits for a person.
IN_DOUBT = 30.0
#: Real seconds a leg may be unhedged before it is an alert, and between repetitions of it. Invariant I1 allows five
#: from the fill on; without a stream it takes up to two until we hear of it.
GRACE = 2.5
AGAIN = 30.0


@dataclass
class NakedWatch:
    """Remembers since when each hedge has been unhedged by a lot or more; time is the clock's monotonic, real time."""

    clock: Clock
    announcer: Announcer
    _since: dict[UUID | str, float] = field(default_factory=dict)
    _told: dict[UUID | str, float] = field(default_factory=dict)

    def look(self, hedges: Iterable[Hedge], now: datetime) -> None:
        """Take the hedges as they are; alert (CRITICAL) for each that has been unhedged, or uncertain, for too long."""
        hedges = tuple(hedges)
        naked = {hedge.id: hedge for hedge in hedges if abs(hedge.unhedged) >= hedge.lot}
        doubtful = {
            order.client_id: (order, hedge)
            for hedge in hedges
            for order in (*hedge.long.unresolved, *hedge.short.unresolved)
        }
        for memory in (self._since, self._told):
            for gone in memory.keys() - naked.keys() - doubtful.keys():
                del memory[gone]
        for hedge_id, hedge in naked.items():
            if seconds := self._due(hedge_id, GRACE):
                self.announcer.unhedged(hedge, seconds, now)
        for name, (order, hedge) in doubtful.items():
            if seconds := self._due(name, IN_DOUBT):
                self.announcer.in_doubt(order, hedge, seconds, now)

    def _due(self, what: UUID | str, grace: float) -> float:
        """For how many seconds this has been so, when that is to be told now; else 0."""
        moment = self.clock.monotonic()
        seconds = moment - self._since.setdefault(what, moment)
        if seconds < grace or moment - self._told.get(what, float("-inf")) < AGAIN:
            return 0.0
        self._told[what] = moment
        return seconds
