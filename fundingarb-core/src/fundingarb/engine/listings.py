"""Open hedges follow what their exchanges announce of their instruments: new steps and minimums, delistings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta

import anyio

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan, Mode
from fundingarb.domain.instrument import Instrument, Side, common_lot, floor_to
from fundingarb.engine.bus import Bus
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.ports import Clock

#: Real seconds between two looks.
LOOK = 1.0


@dataclass
class ListingWatch:
    """Puts the newest instruments into intents, and closes hedges ``before`` an instrument of theirs is delisted.

    An instrument that is gone from the list without notice is an alert and no reason to close: its exchange may only
    have stopped trading it, and closing the other leg alone would leave this one naked. One that is held and whose
    order book is silent while its exchange is heard has the list read again: that is how a halt begins.
    """

    state: BotState
    markets: Markets
    bus: Bus
    clock: Clock
    before: timedelta
    _told: set[tuple[object, ...]] = field(default_factory=set)

    async def run(self) -> None:
        """Look every second, for as long as the bot runs."""
        while True:
            self.look(self.clock.now())
            await anyio.sleep(LOOK)

    def look(self, now: datetime) -> None:
        """Take every hedge that is live, or holds something yet, as its instruments are listed now."""
        for hedge in self.state.unfinished():
            for side in Side:
                leg = self.state.hedges[hedge.id].intent.leg(side)
                key = (leg.instrument.exchange, hedge.symbol)
                listed = self.markets.instruments.get(key)
                if key in self.markets.gone:
                    self._gone(hedge, leg, now)
                if listed is None:
                    continue
                self._back(hedge, leg, now)
                if self.markets.silent(*key):
                    self.markets.doubt(key[0])
                if listed != leg.instrument:
                    self._change(self.state.hedges[hedge.id], leg, listed, now)
                if listed.delists_at is not None:
                    self._delisted(self.state.hedges[hedge.id], leg, listed.delists_at, now)

    def _change(self, hedge: Hedge, leg: LegPlan, listed: Instrument, now: datetime) -> None:
        """From now on orders of the hedge are made for the instrument as it is; an entry stops at what fits its lot."""
        intent, listed = hedge.intent, with_funding_terms(listed, leg.instrument)
        if listed == leg.instrument:
            return
        legs = {intent.long.side: intent.long, intent.short.side: intent.short}
        legs[leg.side] = replace(leg, instrument=listed)
        quantity = intent.quantity
        if intent.mode is Mode.OPENING:
            quantity = floor_to(quantity, common_lot(legs[Side.LONG].instrument, legs[Side.SHORT].instrument))
        self.state.put_intent(intent.edit(long=legs[Side.LONG], short=legs[Side.SHORT], quantity=quantity))
        changes = tuple(differences(leg.instrument, listed))
        if changes:
            self._say(Severity.WARNING, "Instrument Changed", hedge, leg, changes, now)

    def _delisted(self, hedge: Hedge, leg: LegPlan, at: datetime, now: datetime) -> None:
        when = f"Delisted: {at:%Y-%m-%d %H:%M} UTC"
        if hedge.intent.mode not in (Mode.OPENING, Mode.HOLDING):
            return
        if now < at - self.before:
            if self._first(hedge.id, leg.account, at):
                action = f"Action: closing both legs {self.before} before"
                self._say(Severity.WARNING, "Delisting Announced", hedge, leg, (when, action), now)
            return
        self.state.put_intent(hedge.intent.edit(mode=Mode.CLOSING, close_reason=CloseReason.DELISTING))
        self._say(Severity.CRITICAL, "Closing Before Delisting", hedge, leg, (when,), now)

    def _gone(self, hedge: Hedge, leg: LegPlan, now: datetime) -> None:
        if self._first(hedge.id, leg.account, "gone"):
            lines = (
                "The exchange has halted or delisted it.",
                "Action: entries are off, and neither leg is closed while the other cannot be",
                "Look at the position there; a kill closes what can be closed",
            )
            self._say(Severity.CRITICAL, "Instrument Not Traded", hedge, leg, lines, now)

    def _back(self, hedge: Hedge, leg: LegPlan, now: datetime) -> None:
        told = (hedge.id, leg.account, "gone")
        if told in self._told:
            self._told.remove(told)
            self._say(Severity.INFO, "Instrument Traded Again", hedge, leg, (), now)

    def _first(self, *what: object) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def _say(
        self,
        severity: Severity,
        title: str,
        hedge: Hedge,
        leg: LegPlan,
        lines: tuple[str, ...],
        now: datetime,
    ) -> None:
        head = (f"Pair: {hedge.symbol}", f"Leg: {leg.side.value} on {leg.account}")
        self.bus.publish(Alert(severity, title, (*head, *lines), now, hedge.id))


def with_funding_terms(instrument: Instrument, terms: Instrument) -> Instrument:
    """``instrument`` with the funding interval, cap and floor of ``terms``: those are taken when they can be valued."""
    return replace(
        instrument,
        funding_interval=terms.funding_interval,
        funding_cap=terms.funding_cap,
        funding_floor=terms.funding_floor,
    )


def differences(before: Instrument, after: Instrument) -> Iterator[str]:
    """What of an instrument's rules changed, one line each; a delisting is told elsewhere."""
    for each in fields(Instrument):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old != new and each.name != "delists_at":
            yield f"{each.name.replace('_', ' ')}: {old} -> {new}"
