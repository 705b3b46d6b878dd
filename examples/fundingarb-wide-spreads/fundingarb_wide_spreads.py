"""A strategy as a distribution: the builtin one, but only where the spread is a multiple of the threshold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import Field

from fundingarb import Component, Refusal, hookimpl
from fundingarb.settings import PluginSettings

if TYPE_CHECKING:
    from fundingarb import FundingSpread, HedgePlan, MarketView, OpenContext, Proposals, Strategy

GATE = "wide-spreads"


class WideSpreadsSettings(PluginSettings):
    """The section ``strategy.settings`` of the configuration."""

    times: Decimal = Field(Decimal(3), ge=1, description="how many times the threshold a spread has to be")


@dataclass(frozen=True)
class WideSpreads:
    """Asks the builtin strategy, and says of every plan that it turns down why."""

    inner: FundingSpread
    times: Decimal

    def evaluate(self, view: MarketView, symbols: Collection[str], now: datetime) -> Proposals:
        proposals = self.inner.evaluate(view, symbols, now)
        narrow = [plan for plan in proposals.plans if plan.entry_spread < self.needed(plan)]
        return replace(
            proposals,
            plans=tuple(plan for plan in proposals.plans if plan not in narrow),
            refusals=(*proposals.refusals, *(self.refused(plan, now) for plan in narrow)),
        )

    def needed(self, plan: HedgePlan) -> Decimal:
        return self.times * self.inner.rules.threshold(plan.notional)

    def refused(self, plan: HedgePlan, now: datetime) -> Refusal:
        sides = (plan.symbol, plan.long.instrument.exchange, plan.short.instrument.exchange)
        return Refusal(*sides, GATE, f"{self.needed(plan):.6f}", f"{plan.entry_spread:.6f}", now)


@asynccontextmanager
async def open_wide_spreads(settings: WideSpreadsSettings, context: OpenContext) -> AsyncIterator[Strategy]:
    from fundingarb import FundingSpread

    yield WideSpreads(FundingSpread(context.rules, context.settlement_guard), settings.times)


@hookimpl
def register_strategies() -> Iterable[Component[Strategy]]:
    summary = "the builtin strategy, only for wide spreads (example)"
    return (Component("wide-spreads", WideSpreadsSettings, open_wide_spreads, summary=summary),)
