"""Other settings, another strategy and other rules for a bot that runs, between two decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fundingarb.engine.executor import Executor
from fundingarb.engine.guards import GuardWatch
from fundingarb.engine.health import HealthWatch
from fundingarb.engine.listings import ListingWatch
from fundingarb.engine.reactions import Reactions
from fundingarb.engine.settlements import Settlements
from fundingarb.engine.startup import Startup
from fundingarb.engine.terms import FundingTermsWatch
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.ports import ClosingRule, Guard, OrderGuard, RiskRule, Strategy


@dataclass(frozen=True)
class Parts:
    """Everything that was built from settings and rules."""

    loop: TradingLoop
    executor: Executor
    reactions: Reactions
    health: HealthWatch
    listings: ListingWatch
    terms: FundingTermsWatch
    settlements: Settlements
    guards: GuardWatch
    startup: Startup

    def adopt(self, settings: TradingSettings, strategy: Strategy, rules: Sequence[RiskRule]) -> None:
        """Put all of it in force at once. Nothing is awaited here, and nothing that decides awaits while it does, so
        every decision is made by the old ones or by the new ones."""
        entries = self.loop.entries
        self.loop.settings = entries.settings = settings
        entries.strategy, entries.rules = strategy, rules
        self.executor.guard_with([rule for rule in rules if isinstance(rule, OrderGuard)])
        self.reactions.settings = settings
        self.health.rules = settings.margin
        self.listings.before = settings.delisting_close
        self.terms.horizon, self.terms.guard = settings.rules.horizon, settings.settlement_guard
        self.terms.forecast = settings.forecast
        self.settlements.patience = settings.funding_patience
        self.settlements.tolerance = settings.funding_tolerance
        self.guards.watch(
            [rule for rule in rules if isinstance(rule, Guard)],
            [rule for rule in rules if isinstance(rule, ClosingRule)],
        )
        self.startup.adopt(settings)
        self.loop.scan_now()
