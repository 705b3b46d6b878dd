"""Open hedges are valued anew when an exchange changes how it charges funding: the interval, the cap, the floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import anyio

from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.figures import money
from fundingarb.domain.funding import FundingRate
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import Payment, RateForecast, expected_payments
from fundingarb.domain.order import ZERO
from fundingarb.engine.bus import Bus
from fundingarb.engine.listings import with_funding_terms
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.ports import Clock

#: Real seconds between two looks.
LOOK = 1.0


@dataclass
class FundingTermsWatch:
    """Compares the funding terms in the intent of every open hedge with those announced now.

    A hedge whose terms have changed is valued on the new settlement calendar over ``horizon``; one that is expected to
    bring nothing any more is closed. The intent takes the new terms in the same commit, so it happens once, and after a
    restart if need be. Within ``guard`` of a settlement it waits: the legs are held through that.
    """

    state: BotState
    markets: Markets
    bus: Bus
    clock: Clock
    horizon: timedelta
    guard: timedelta
    forecast: RateForecast

    async def run(self) -> None:
        """Look every second, for as long as the bot runs."""
        while True:
            self.look(self.clock.now())
            await anyio.sleep(LOOK)

    def look(self, now: datetime) -> None:
        for hedge in self.state.live():
            if hedge.intent.mode in (Mode.OPENING, Mode.HOLDING):
                self._look_at(hedge, now)

    def _look_at(self, hedge: Hedge, now: datetime) -> None:
        legs = (hedge.intent.long, hedge.intent.short)
        rates = [self.markets.fresh_rate(leg.instrument.exchange, hedge.symbol) for leg in legs]
        after, lines, payments = list[LegPlan](), list[str](), list[Payment]()
        for leg, rate in zip(legs, rates, strict=True):
            price = None if rate is None else self.markets.mark(leg.instrument.exchange, hedge.symbol)
            if rate is None or price is None or not self._clear_of_settlement(rate, now):
                return
            terms = self._terms(leg, rate, hedge.symbol)
            lines += [f"{leg.side.value} on {leg.account}: {line}" for line in changes(leg, terms)]
            after.append(terms)
            median = self.markets.median_hourly(leg.instrument.exchange, hedge.symbol)
            payments += expected_payments(
                leg.side, rate, median, hedge.hedged, price, now + self.horizon, self.forecast
            )
        if lines:
            self._revalued(hedge, after, lines, payments, now)
        elif tuple(after) != legs:
            self.state.put_intent(hedge.intent.edit(long=after[0], short=after[1]))

    def _clear_of_settlement(self, rate: FundingRate, now: datetime) -> bool:
        last = rate.next_settlement - rate.interval
        return rate.next_settlement - now > self.guard and abs(now - last) > self.guard

    def _terms(self, leg: LegPlan, rate: FundingRate, symbol: str) -> LegPlan:
        """The leg under the terms announced now: the interval of the rate itself, which is heard first."""
        listed = self.markets.instruments.get((leg.instrument.exchange, symbol), leg.instrument)
        terms = replace(listed, funding_interval=rate.interval)
        return replace(leg, instrument=with_funding_terms(leg.instrument, terms))

    def _revalued(
        self, hedge: Hedge, legs: list[LegPlan], lines: list[str], payments: list[Payment], now: datetime
    ) -> None:
        expected = sum((payment.amount for payment in payments), ZERO)
        by_side = {side: sum((p.amount for p in payments if p.side is side), ZERO) for side in Side}
        closing = hedge.intent.mode is Mode.HOLDING and expected <= 0
        ending = {"mode": Mode.CLOSING, "close_reason": CloseReason.SPREAD} if closing else {}
        self.state.put_intent(hedge.intent.edit(long=legs[0], short=legs[1], **ending))
        self._say(hedge, [*lines, *self._figures(by_side, expected, closing)], now)

    def _figures(self, by_side: dict[Side, Decimal], expected: Decimal, closing: bool) -> Iterator[str]:
        hours = self.horizon / timedelta(hours=1)
        parts = ", ".join(f"{side.value} {money(amount)}" for side, amount in by_side.items())
        yield f"Expected funding over {hours:.0f} h: {money(expected)} ({parts})"
        yield "Action: closing both legs" if closing else "Action: holding"

    def _say(self, hedge: Hedge, lines: list[str], now: datetime) -> None:
        head = f"Pair: {hedge.symbol}"
        self.bus.publish(Alert(Severity.WARNING, "Funding Terms Changed", (head, *lines), now, hedge.id))


def changes(before: LegPlan, after: LegPlan) -> Iterator[str]:
    """The funding terms that differ, one line each; a bound that was not known before is no change."""
    one, other = before.instrument, after.instrument
    if one.funding_interval != other.funding_interval:
        hours = [each.funding_interval / timedelta(hours=1) for each in (one, other)]
        yield f"funding interval: {hours[0]:g} h -> {hours[1]:g} h"
    for name in ("funding_cap", "funding_floor"):
        old, new = getattr(one, name), getattr(other, name)
        if old is not None and old != new:
            yield f"{name.replace('_', ' ')}: {old} -> {'unknown' if new is None else new}"
