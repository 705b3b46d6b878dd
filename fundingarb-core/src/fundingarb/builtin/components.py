"""How the builtin strategy and risk rules are opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fundingarb.builtin.risk import MarginAvailable, PairCap
from fundingarb.builtin.settings import FundingSpreadSettings, RuleSettings
from fundingarb.builtin.strategy import FundingSpread
from fundingarb.domain.opportunity import DecayToMedian, HedgePlan, Refusal
from fundingarb.domain.risk import Portfolio
from fundingarb.ports import OpenContext, RiskRule, Strategy


class Always:
    """A rule that was switched off."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        return None


@asynccontextmanager
async def open_funding_spread(
    _settings: FundingSpreadSettings, context: OpenContext
) -> AsyncIterator[Strategy]:
    yield FundingSpread(
        context.rules, context.settlement_guard, forecast=DecayToMedian(context.forecast_half_life)
    )


@asynccontextmanager
async def open_pair_cap(settings: RuleSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    yield PairCap(context.rules.max_position_per_pair_usd) if settings.enabled else Always()


@asynccontextmanager
async def open_margin(settings: RuleSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    yield MarginAvailable(context.rules.margin_use) if settings.enabled else Always()
