"""Opens the components that a configuration names, with their settings, on one exit stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

from anyio.abc import TaskGroup

from fundingarb.config import Config
from fundingarb.engine.caretaker import SinkMeanwhile
from fundingarb.engine.mainnet_rates import MainnetRates
from fundingarb.engine.unusable import unusable
from fundingarb.errors import ConfigError
from fundingarb.hosting import ServiceHost
from fundingarb.plugins import Plugins, Registered, validate_settings
from fundingarb.ports import AlertSink, ExchangeAdapter, OpenContext, RiskRule, Secret, Service, Strategy
from fundingarb.settings import PluginSettings
from fundingarb.surroundings import Surroundings, Venue

T = TypeVar("T")


def configured_accounts(config: Config, around: Surroundings, plugins: Plugins) -> dict[str, str]:
    """Account name -> exchange: what the configuration names, or else the first account of every exchange there is."""
    if not plugins.exchanges:
        raise ConfigError(
            "no exchange plugin is installed; install two, such as fundingarb-binance and fundingarb-bybit"
        )
    accounts = {name: section.exchange for name, section in config.accounts.items()}
    if not accounts:
        accounts = {
            next(iter(venue.accounts)): exchange
            for exchange, venue in around.venues.items()
            if exchange in plugins.exchanges and venue.accounts
        }
    for name, exchange in accounts.items():
        if exchange not in plugins.exchanges and not plugins.left_out:
            known = ", ".join(sorted(plugins.exchanges)) or "none"
            raise ConfigError(
                f"accounts.{name}: no plugin for exchange {exchange} is installed; installed: {known}"
            )
        if exchange not in around.venues or name not in around.venues[exchange].accounts:
            advice = (
                "look at the accounts of the ready file"
                if config.network == "localnet"
                else f"fundingarb vault add account {name} --exchange {exchange} --network {config.network}"
            )
            raise ConfigError(
                f"accounts.{name}: there are no credentials of that name for {exchange}; add them: {advice}"
            )
    if len(set(accounts.values())) < 2 and len(accounts) < 2:
        raise ConfigError("a hedge needs accounts on two exchanges; configure another one under accounts")
    return accounts


def sinks_take_secrets(config: Config, plugins: Plugins) -> bool:
    """Whether an alert sink takes secrets of the vault: its settings say so, or the configuration names a vault.

    Raises ``ConfigError`` for settings that do not fit.
    """
    named = [(plugins.alert_sinks.get(name), section) for name, section in config.alerts.items()]
    settings = [validate_settings(found, section) for found, section in named if found is not None]
    return config.vault is not None or any(
        each.vault_secrets() for each in settings if isinstance(each, PluginSettings)
    )


class Opener:
    """Opens components with their settings on one exit stack."""

    def __init__(
        self,
        config: Config,
        around: Surroundings,
        plugins: Plugins,
        stack: AsyncExitStack,
        secrets: Mapping[str, Secret] | None = None,
    ) -> None:
        self._secrets = secrets or {}
        self._config = config
        self._around = around
        self._plugins = plugins
        self._stack = stack
        self._context = OpenContext(
            name="",
            clock=around.clock,
            network=config.network,
            symbols=tuple(config.trading.symbols),
            ssl=around.ssl,
            ca_file=around.ca_file,
            rules=config.entry_rules(),
            settlement_guard=timedelta(seconds=float(config.trading.settlement_guard_seconds)),
            forecast_half_life=timedelta(hours=float(config.trading.forecast_half_life_hours)),
        )

    def _opening(
        self, registered: Registered[T], section: Mapping[str, Any], **context: Any
    ) -> AbstractAsyncContextManager[T]:
        settings = validate_settings(registered, section)
        component = registered.component
        return component.open(settings, replace(self._context, name=component.name, **context))

    async def _open(self, registered: Registered[T], section: Mapping[str, Any], **context: Any) -> T:
        return await self._stack.enter_async_context(self._opening(registered, section, **context))

    async def market_data(self, exchange: str) -> ExchangeAdapter:
        """An adapter for public data. A simulation on testnet has its rates from mainnet: those are the real ones."""
        own = await self.exchange(exchange, None)
        if self._config.network != "testnet" or exchange not in self._plugins.exchanges:
            return own
        real = await self.exchange(exchange, None, network="mainnet")
        return cast(ExchangeAdapter, MainnetRates(own, real))

    async def exchange(self, exchange: str, account: str | None, **context: Any) -> ExchangeAdapter:
        """An adapter for one account, or (None) for public data only."""
        venue = self._around.venues.get(exchange, Venue())
        credentials = venue.accounts[account] if account else None
        section = self._config.exchanges.get(exchange, {})
        if exchange not in self._plugins.exchanges:
            return unusable(exchange, f"its plugin cannot be used: {'; '.join(self._plugins.left_out or ())}")
        registered = self._plugins.exchanges[exchange]
        return await self._open(
            registered, section, account=credentials, endpoints=venue.endpoints, **context
        )

    async def strategy(self) -> Strategy:
        name = self._config.strategy.name
        if name not in self._plugins.strategies:
            known = ", ".join(sorted(self._plugins.strategies))
            raise ConfigError(f"strategy.name: there is no strategy {name}; installed: {known}")
        return await self._open(self._plugins.strategies[name], self._config.strategy.settings)

    async def risk_rules(self) -> list[RiskRule]:
        """Every installed rule: a rule is switched off in its own section, not by being forgotten."""
        _refuse_unknown("risk", self._config.risk, self._plugins.risk_rules)
        return [
            await self._open(rule, self._config.risk.get(name, {}))
            for name, rule in self._plugins.risk_rules.items()
        ]

    async def sinks(self) -> dict[str, AlertSink]:
        """The sinks that the ``alerts`` section names, and the log."""
        wanted = {"log": {}, **self._config.alerts}
        return {
            name: await self._stack.enter_async_context(self.sink(name, section))
            for name, section in wanted.items()
        }

    def sink(self, name: str, section: Mapping[str, Any]) -> AbstractAsyncContextManager[AlertSink]:
        """An alert sink, not yet open. Raises ``ConfigError`` when there is none of that name."""
        _refuse_unknown("alerts", [name], self._plugins.alert_sinks)
        return self._opening(self._plugins.alert_sinks[name], section, secrets=self._secrets)

    def sinks_meanwhile(self, tasks: TaskGroup, say: Callable[[str], None]) -> dict[str, AlertSink]:
        """As ``sinks``, each opened in a task of its own: nothing waits for it, and ``say`` is told when it fails."""
        found: dict[str, AlertSink] = {}
        for name, section in {"log": {}, **self._config.alerts}.items():
            if name not in self._plugins.alert_sinks:
                say(f"alert sink {name}: no plugin of that name is installed; going on without it")
                continue
            sink = SinkMeanwhile(name)
            opening = partial(self._opening, self._plugins.alert_sinks[name], section, secrets=self._secrets)
            tasks.start_soon(sink.run, opening, say)
            found[name] = sink
        return found

    async def services(self, host: ServiceHost) -> dict[str, Service]:
        """Every installed service, each in a task of its own."""
        sections: Mapping[str, Mapping[str, Any]] = self._config.services
        return {
            name: await host.open(name, self._opening(service, sections.get(name, {}), secrets=self._secrets))
            for name, service in self._plugins.services.items()
        }


def _refuse_unknown(section: str, wanted: Iterable[str], installed: Mapping[str, Any]) -> None:
    for name in wanted:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise ConfigError(f"{section}.{name}: no plugin of that name is installed; installed: {known}")
