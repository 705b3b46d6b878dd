"""A strategy that opens and closes what a schedule says, with the same valuation as any other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from fundingarb.domain.hedge import CloseReason, Mode
from fundingarb.domain.instrument import common_lot, floor_to
from fundingarb.domain.opportunity import DecayToMedian, DepthSlippage, EntryRules, HedgePlan, plan_of, value
from fundingarb.ports import Exit, MarketView, Proposals
from fundingarb.simulation.schedule import Opening

PATIENCE = 20.0
"""Seconds after which an opening that could not be made is given up, unless somebody has more patience."""


@dataclass
class Scripted:
    """Lives longer than a bot. ``stopped`` opens nothing more, ``asleep`` wants nothing at all."""

    openings: Sequence[Opening]
    rules: EntryRules
    begin: datetime
    stopped: bool = False
    asleep: bool = False
    patience: float = PATIENCE
    _next: int = 0
    _waiting: list[Opening] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)
    _leave: dict[UUID, tuple[datetime, CloseReason]] = field(default_factory=dict)

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        if self.asleep:
            return Proposals()
        seconds = (now - self.begin).total_seconds()
        while self._next < len(self.openings) and self.openings[self._next].at <= seconds:
            self._waiting.append(self.openings[self._next])
            self._next += 1
        hedges = view.hedges
        exits = self._exits(view, now)
        if not self._waiting or self.stopped:
            return Proposals(exits=exits)
        live = {hedge.symbol for hedge in hedges}
        plans = []
        for opening in list(self._waiting):
            if seconds > opening.at + self.patience:
                self._waiting.remove(opening)
                continue
            if opening.symbol in live:
                if opening.symbol in self._asked:
                    self._waiting.remove(opening)
                    self._asked.discard(opening.symbol)
                continue
            plan = self._plan(view, opening, now)
            if plan is not None:
                self._asked.add(opening.symbol)
                plans.append(plan)
        return Proposals(tuple(plans), exits)

    def _plan(self, view: MarketView, opening: Opening, now: datetime) -> HedgePlan | None:
        found = {
            quote.account: quote
            for row in view.rates.rows(opening.symbol)
            for quote in view.quotes(view.rates.instrument(row).exchange, opening.symbol)
        }
        long, short = found.get(opening.long), found.get(opening.short)
        mid = None if long is None else long.book.mid
        if long is None or short is None or mid is None:
            return None
        lot = common_lot(long.instrument, short.instrument)
        quantity = floor_to(Decimal(str(opening.usd)) / mid, lot)
        valuation = value(long, short, quantity, self.rules, DepthSlippage(), DecayToMedian(), now)
        return None if valuation is None else plan_of(valuation, Decimal(-1), origin="script")

    def _exits(self, view: MarketView, now: datetime) -> tuple[Exit, ...]:
        """Holds end; a hedge that this script did not see being opened is left alone."""
        exits = []
        for hedge in view.hedges:
            if hedge.intent.mode is not Mode.HOLDING:
                continue
            due = self._leave.get(hedge.id)
            if due is None:
                opening = self._opening_of(hedge.symbol, hedge.intent.created_at)
                opened = hedge.intent.opened_at or now
                if opening is None:
                    continue
                due = (opened + timedelta(seconds=opening.hold), CloseReason(opening.reason))
                self._leave[hedge.id] = due
            if now >= due[0]:
                exits.append(Exit(hedge.id, due[1]))
        return tuple(exits)

    def _opening_of(self, symbol: str, created_at: datetime) -> Opening | None:
        """The last opening of the symbol that was due when the hedge was made."""
        seconds = (created_at - self.begin).total_seconds()
        due = [one for one in self.openings if one.symbol == symbol and one.at <= seconds]
        return due[-1] if due else None
