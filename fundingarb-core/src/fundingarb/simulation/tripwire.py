"""The daily-loss guard with a limit that is lowered when a scenario wants it to trip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from fundingarb.builtin.risk import DailyLoss
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.risk import Portfolio, Usage


@dataclass
class Tripwire:
    """A ``DailyLoss`` guard that throws the kill switch; ``trip`` lowers its limit to a cent."""

    guard: DailyLoss = field(default_factory=lambda: DailyLoss(Decimal(10**9), kill=True))
    gate: str = "daily-loss"

    def trip(self) -> None:
        self.guard = replace(self.guard, limit=Decimal("0.01"))

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        return self.guard.check(plan, portfolio, now)

    def usage(self, portfolio: Portfolio, now: datetime) -> Usage | None:
        return self.guard.usage(portfolio, now)
