"""The risk rules that come with the core package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import ZERO
from fundingarb.domain.risk import Portfolio, refuse


class Always:
    """A rule that was switched off."""

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        return None


@dataclass(frozen=True, slots=True)
class PairCap:
    """At most ``limit`` USD notional per symbol (specification 4.1)."""

    limit: Decimal

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        price = plan.notional / plan.quantity if plan.quantity else ZERO
        total = plan.notional + portfolio.notional(plan.symbol, price)
        if total > self.limit:
            return refuse(plan, "pair-cap", f"at most {self.limit} USD", f"{total:.2f} USD", now)
        return None


@dataclass(frozen=True, slots=True)
class MarginAvailable:
    """Each account can carry its leg with ``use`` of its free margin, entries under way included."""

    use: Decimal = Decimal("0.8")

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        for leg in (plan.long, plan.short):
            balance = portfolio.balances.get(leg.account)
            if balance is None:
                return refuse(plan, "margin", f"balance of {leg.account}", "not read yet", now)
            pending = portfolio.pending_margin(leg.account)
            if pending is None:
                return refuse(plan, "margin", f"price of every entry on {leg.account}", "unknown", now)
            needed = plan.notional / leg.leverage + pending
            if needed > balance.available * self.use:
                free = f"{balance.available * self.use:.2f} {balance.currency} on {leg.account}"
                return refuse(plan, "margin", f"{needed:.2f} {balance.currency}", free, now)
        return None
