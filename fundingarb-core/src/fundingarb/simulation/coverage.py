"""Counting what really hit a hedge, and in which stage it was, whatever was aimed at.

It counts when the request fails, the commit fails, the trade is made, the connection drops, the switch latches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from uuid import UUID

from fundingarb.domain.hedge import Hedge
from fundingarb.simulation.stages import Stage, stage_of
from fundingarb.simulation.world import World

REMEMBERED = 60.0
"""Seconds for which a hedge that is over still counts as FLAT."""
DATABASE = ("db_down", "db_hang")
SPELLS = ("outage", "maintenance", "banned", *DATABASE)
"""What happens to everything that is asked while it lasts: a hedge meets it once in each of its stages."""


def stages_of(hedges: Iterable[Hedge], *, killed: bool) -> list[tuple[Hedge, Stage]]:
    return [(hedge, stage_of(hedge, killed=killed)) for hedge in hedges]


class Coverage:
    """``hits`` counts (stage, kind), ``met`` the kinds per hedge."""

    def __init__(self, world: World) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()
        self.met: dict[UUID, Counter[str]] = {}
        self._world = world
        self._spells: dict[tuple[str, str], set[tuple[UUID, Stage]]] = {}
        self._aimed: dict[str, UUID] = {}
        for exchange in world.exchanges.values():
            exchange.on_fault = self._fired
        world.store.on_failure.append(self._store_failed)

    def begin(self, kind: str, exchange: str, hedge: Hedge | None) -> None:
        """A strike begins: what it does for a while is met anew."""
        if kind in SPELLS:
            self._spells[kind, "" if kind in DATABASE else exchange] = set()
        self._aimed.pop(kind, None)
        if hedge is not None:
            self._aimed[kind] = hedge.id

    def stage(self, hedge: Hedge | None) -> Stage | None:
        """The stage of ``hedge`` now; None when there is no bot to say so."""
        bot = self._world.bot
        if hedge is None or bot is None:
            return None
        return stage_of(bot.state.hedges.get(hedge.id, hedge), killed=bot.state.killed)

    def count(self, kind: str, hedge: Hedge | None, stage: Stage | None = None) -> None:
        """``hedge`` met it, in ``stage`` or else in the one it is in now."""
        stage = stage or self.stage(hedge)
        if hedge is None or stage is None:
            return
        self.hits[stage.value, kind] += 1
        self.met.setdefault(hedge.id, Counter())[kind] += 1

    def count_all(self, kind: str, stages: Iterable[tuple[Hedge, Stage]]) -> None:
        """All of these met it."""
        for hedge, stage in stages:
            self.count(kind, hedge, stage)

    def _fired(self, exchange: str, kind: str, native: str | None) -> None:
        """A fault fired at an operation: every hedge there met it."""
        symbol = None
        if native is not None:
            symbol = self._world.exchanges[exchange].truth.instruments[native].symbol
        for hedge in self._current():
            legs = (hedge.intent.long, hedge.intent.short)
            if any(leg.instrument.exchange == exchange for leg in legs) and symbol in (None, hedge.symbol):
                self._meet(kind, exchange, hedge)

    def _store_failed(self, kind: str, ids: Collection[UUID]) -> None:
        """The database failed or did not answer: whose rows it was asked for met it, or else the one aimed at."""
        bot = self._world.bot
        aimed = {self._aimed[kind]} if kind in self._aimed else set()
        for hedge_id in ids or aimed:
            hedge = None if bot is None else bot.state.hedges.get(hedge_id)
            if hedge is not None:
                self._meet(kind, "", hedge)

    def _meet(self, kind: str, where: str, hedge: Hedge) -> None:
        stage = self.stage(hedge)
        if kind in SPELLS and stage is not None:
            met = self._spells.setdefault((kind, where), set())
            if (hedge.id, stage) in met:
                return
            met.add((hedge.id, stage))
        self.count(kind, hedge, stage)

    def _current(self) -> list[Hedge]:
        now = self._world.clock.now()
        return [
            hedge
            for hedge in self._world.hedges()
            if hedge.live
            or (hedge.intent.closed_at and (now - hedge.intent.closed_at).total_seconds() < REMEMBERED)
        ]
