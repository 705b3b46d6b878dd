"""The daily-loss guard, of which a scenario says when its limit is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from fundingarb.builtin.risk import DailyLoss
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.risk import Portfolio, Usage


@dataclass
class Tripwire:
    """A ``DailyLoss`` guard that throws the kill switch; once ``tripped`` all of its limit is used."""

    guard: DailyLoss = field(default_factory=lambda: DailyLoss(Decimal(10**9), kill=True))
    gate: str = "daily-loss"
    tripped: bool = False

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        return self.guard.check(plan, portfolio, now)

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        if self.tripped:
            return Usage(Decimal(1), "all of it", "all of it", kill=True)
        return self.guard.usage(portfolio, now)
