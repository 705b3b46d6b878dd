"""A risk rule as a distribution: nothing is opened in certain hours of the day (UTC)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from fundingarb import Component, Refusal, hookimpl
from fundingarb.settings import PluginSettings

if TYPE_CHECKING:
    from fundingarb import HedgePlan, OpenContext, Portfolio, RiskRule

GATE = "quiet-hours"


class QuietHoursSettings(PluginSettings):
    """The section ``risk.quiet-hours`` of the configuration."""

    hours: tuple[int, ...] = Field(
        (), description="hours of the day, 0 to 23 UTC, in which nothing is opened"
    )


@dataclass(frozen=True)
class QuietHours:
    """Refuses every plan while the clock shows one of ``hours``; what is open is looked after as always."""

    hours: tuple[int, ...]

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        if now.hour not in self.hours:
            return None
        sides = (plan.symbol, plan.long.instrument.exchange, plan.short.instrument.exchange)
        return Refusal(*sides, GATE, "an hour that is not quiet", f"{now:%H:%M} UTC", now)


@asynccontextmanager
async def open_quiet_hours(settings: QuietHoursSettings, context: OpenContext) -> AsyncIterator[RiskRule]:
    yield QuietHours(settings.hours)


@hookimpl
def register_risk_rules() -> Iterable[Component[RiskRule]]:
    summary = "no new hedges in certain hours of the day (example)"
    return (Component("quiet-hours", QuietHoursSettings, open_quiet_hours, summary=summary),)
