"""A world made of a user's configuration: their accounts, symbols, limits, strategy and risk rules."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from decimal import Decimal

from fundingarb.app import Config, Surroundings, open_judgement, trading_settings
from fundingarb.errors import ConfigError
from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.installed import installed_dialects
from fundingarb.localnet.models.symbols import by_name
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.plugins import Plugins
from fundingarb.simulation.market import WavyModel
from fundingarb.simulation.runner import LEVELS
from fundingarb.simulation.schedule import Schedule
from fundingarb.simulation.script import Scripted
from fundingarb.simulation.virtual import LoopClock
from fundingarb.simulation.world import Setup

BEGIN = datetime(2026, 1, 5, 7, 36, tzinfo=timezone.utc)
"""Before the widest entry window of the eight o'clock settlement."""
SECONDS = 4500.0
"""A settlement, the exits after it, and the entries before the next."""
BALANCE = 50_000.0


def accounts_of(config: Config, plugins: Plugins) -> dict[str, str]:
    """Account -> exchange: those of the configuration, or one on each installed exchange that has a localnet.

    Raises ``ConfigError`` when there are not two to trade between.
    """
    accounts = {name: section.exchange for name, section in config.accounts.items()}
    if not accounts:
        usable = [name for name, one in plugins.localnets.items() if one.component.unavailable is None]
        accounts = {name: name for name in usable}
    if len(accounts) < 2:
        raise ConfigError("a drill needs two accounts; name them under accounts, or install another exchange")
    return accounts


class ConfiguredWorld:
    """Makes the ``Setup`` of a schedule from ``config`` (see ``runner.simulate``).

    Exchanges list the contracts and have the rules and fees of the real ones. Prices and rates are made up: rates are
    settled every hour, differ enough to be traded on, and turn every hour.
    """

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config = config
        self.plugins = plugins
        self.accounts = accounts_of(config, plugins)

    @asynccontextmanager
    async def __call__(self, schedule: Schedule, clock: LoopClock) -> AsyncIterator[Setup]:
        config, start = self.config, clock.start.timestamp()
        exchanges = sorted(set(self.accounts.values()))
        symbols = []
        for name in config.trading.symbols:
            known = by_name(name)
            if known is None:
                raise ConfigError(f"trading.symbols: the drill has no market for {name}; leave it out")
            symbols.append(known)
        model = WavyModel(schedule.seed, exchanges, symbols, start=start, turns=1.0)
        balance = Decimal(str(schedule.settings.get("balance", BALANCE)))
        async with installed_dialects(exchanges, self.plugins) as dialects:
            truths = {}
            for exchange in exchanges:
                dialect = dialects[exchange]()
                listed = dialect.instruments(symbols)
                truth = Exchange(
                    exchange, dialect.rules, listed, model, start=start, seed=schedule.seed, levels=LEVELS
                )
                for account, where in self.accounts.items():
                    if where == exchange:
                        rng = random.Random(f"{schedule.seed}/{account}")
                        truth.add_account(account, dialect.credentials(account, rng), balance)
                truths[exchange] = truth
            around = Surroundings(clock=clock)
            async with open_judgement(config, around, self.plugins) as (strategy, rules):
                settings = trading_settings(config, self.accounts, 0)
                if schedule.openings:
                    strategy = Scripted(schedule.openings, settings.rules, clock.start)
                yield Setup(
                    seed=schedule.seed,
                    clock=clock,
                    truths=truths,
                    accounts=self.accounts,
                    settings=settings,
                    strategy=strategy,
                    rules=rules,
                )


__all__ = ["BEGIN", "SECONDS", "ConfiguredWorld", "LocalnetError", "accounts_of"]
