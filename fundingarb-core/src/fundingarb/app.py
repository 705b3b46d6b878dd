"""The composition root: the one place that wires plugins, configuration, store, exchanges and engine into a bot."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from fundingarb.config import Config, load_config
from fundingarb.config.digest import configuration_digest, setup_digest
from fundingarb.config.document import document_of
from fundingarb.config.places import vault_file
from fundingarb.configuring import ConfigKeeper
from fundingarb.domain.opportunity import DecayToMedian
from fundingarb.engine.bot import Bot, BotParts
from fundingarb.engine.caretaker import Idle, SinkMeanwhile
from fundingarb.engine.clock import ScaledClock, SystemClock
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.mainnet_rates import MainnetRates
from fundingarb.engine.markets import MarketFeed, Markets, load_feeds
from fundingarb.engine.unusable import unusable
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError
from fundingarb.folders import USUAL_FOLDER
from fundingarb.golive import LiveSwitch, SimulatedHours
from fundingarb.hosting import ServiceHost, service_host
from fundingarb.plugins import Plugins, Registered, load_plugins, validate_settings
from fundingarb.ports import (
    AccountCredentials,
    AlertSink,
    Clock,
    ExchangeAdapter,
    OpenContext,
    RiskRule,
    Secret,
    Service,
    Strategy,
)
from fundingarb.redaction import hide
from fundingarb.store import hold_lease, open_store, remember_password
from fundingarb.store.database import parse_url
from fundingarb.vault import LiveApproval, Vault, VaultError

log = logging.getLogger("fundingarb.app")
T = TypeVar("T")


@dataclass(frozen=True)
class Venue:
    """Where one exchange is: endpoint overrides (empty: its own hosts) and the credentials of its accounts."""

    endpoints: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, AccountCredentials] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What the configuration does not say: the clock, where the exchanges are, whom to trust.

    On a localnet it is read from the ready file that ``fundingarb localnet`` writes; ``run`` names that localnet.
    ``unlock`` opens the credentials vault: the keys of testnet and mainnet come from nowhere else. On a localnet it
    is only asked for other secrets, where it is given.
    """

    clock: Clock = field(default_factory=SystemClock)
    venues: Mapping[str, Venue] = field(default_factory=dict)
    ca_file: str | None = None
    run: str | None = None
    unlock: Callable[[], Vault] | None = None

    @property
    def ssl(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


def read_ready_file(path: Path) -> Surroundings:
    """The localnet that wrote ``path``. Raises ``ConfigError`` when there is none to be found there."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"ready file {path}: {error.strerror}; start `fundingarb localnet --ready-file {path}` first"
        ) from error
    except ValueError as error:
        raise ConfigError(f"ready file {path} is not JSON; start `fundingarb localnet` again") from error
    try:
        return surroundings(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"ready file {path} lacks {error}; start `fundingarb localnet` again") from error


def surroundings(document: Mapping[str, Any]) -> Surroundings:
    """A ready document, read."""
    clock = document["clock"]
    venues = {
        name: Venue(
            endpoints={"rest": venue["rest"], "ws": venue["ws"], **venue["endpoints"]},
            accounts={account["name"]: _credentials(account) for account in venue["accounts"]},
        )
        for name, venue in document["exchanges"].items()
    }
    return Surroundings(
        ScaledClock(clock["epoch"], clock["monotonic"], clock["speed"]),
        venues,
        document.get("ca"),
        document.get("run"),
    )


def _credentials(account: Mapping[str, Any]) -> AccountCredentials:
    values = {
        "api_key": account["api_key"],
        "api_secret": account["api_secret"],
        **account.get("credentials", {}),
    }
    return AccountCredentials(account["name"], {key: Secret(str(value)) for key, value in values.items()})


@dataclass(frozen=True)
class Extras:
    """What an embedding program puts in place of, or beside, what the configuration names.

    ``caretaker`` makes a bot that only looks after what is open: no strategy, no risk rules, no services are opened,
    and nothing waits for an alert sink; of one that cannot be opened the function is told, in one line.
    """

    strategy: Strategy | None = None
    risk_rules: Sequence[RiskRule] = ()
    alert_sinks: Mapping[str, AlertSink] = field(default_factory=dict)
    services: bool = True
    max_new_hedges: int | None = None
    caretaker: Callable[[str], None] | None = None


@asynccontextmanager
async def open_bot(
    config: Config, around: Surroundings, plugins: Plugins | None = None, extras: Extras | None = None
) -> AsyncIterator[Bot]:
    """A bot, wired and with its store open; ``await bot.run()`` trades. Everything is closed on the way out."""
    extras = extras or Extras()
    plugins = plugins or load_plugins(config.plugins.allow)
    open_vault = await unlocked(config, around)
    around, secrets = open_vault.around, open_vault.secrets
    if extras.caretaker is None:
        refuse_unapproved(config, open_vault.approval)
    accounts = configured_accounts(config, around, plugins)
    hide(parse_url(config.database.url).url.password or "")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(config.database.url, around.clock))
        lease = await stack.enter_async_context(hold_lease(config.database.url, list(accounts)))
        run = around.run if config.network == "localnet" else config.network
        if run and await store.localnet_run(run, around.clock.now()) != run:
            if config.network != "localnet":
                raise ConfigError(
                    "database.url: this database has the hedges of another network; every network needs one of its own"
                )
            raise ConfigError(
                "database.url: this database has the hedges of another run of the localnet; choose another one, "
                "or the ready file of that localnet while it is running"
            )
        host: ServiceHost | None = None
        revision = await store.save_config(document_of(config), around.clock.now())
        opener = _Opener(config, around, plugins, stack, secrets)
        adapters = {name: await opener.exchange(exchange, name) for name, exchange in accounts.items()}
        market_data = {
            exchange: await opener.market_data(exchange) for exchange in sorted(set(accounts.values()))
        }
        parts = BotParts(
            clock=around.clock,
            store=store,
            settings=trading_settings(config, accounts, revision, extras.max_new_hedges),
            strategy=Idle(),
            market_data=market_data,
            accounts=adapters,
            network=config.network,
            lease=lease,
        )
        if extras.caretaker is not None:
            opening = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(opening.cancel_scope.cancel)
            parts.sinks = {**opener.sinks_meanwhile(opening, extras.caretaker), **extras.alert_sinks}
        else:
            parts.config = keeper = ConfigKeeper(
                config, revision, plugins, store, around.clock,
                partial(_judging, around=around, plugins=plugins, extras=extras),
                lambda newer, number: trading_settings(newer, accounts, number, extras.max_new_hedges),
            )  # fmt: skip
            parts.strategy, parts.rules = await stack.enter_async_context(keeper.open())
            parts.sinks = {**await opener.sinks(), **extras.alert_sinks}
            host = await stack.enter_async_context(service_host())
            parts.services = await opener.services(host) if extras.services else {}
            if config.network == "testnet" and open_vault.journal_key is not None:
                await _count_hours(parts, keeper, open_vault.journal_key, vault_file(config), stack)
        if config.network != "localnet" and open_vault.journal_key is not None:
            parts.owner = VaultOwner(vault_file(config), open_vault.journal_key)
        bot = Bot(parts)
        stack.enter_context(_trades_logged(bot))
        if host is not None:
            host.report = bot.service_failed
        if isinstance(parts.config, ConfigKeeper):
            parts.config.attach(bot.adopt, bot.ready.is_set)
        yield bot


@dataclass(frozen=True)
class VaultOwner:
    """A ``ports.Owner``: opens the bot's vault with the password. One attempt at a time, each takes its memory."""

    vault: Path
    key: Secret
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def confirm(self, password: Secret) -> None:
        async with self.turn:
            opened = await anyio.to_thread.run_sync(Vault.open, self.vault, password.reveal())
        if opened.journal_key.reveal() != self.key.reveal():
            raise VaultError(f"{self.vault} is another vault than the bot was started with; restart the bot")


async def _count_hours(
    parts: BotParts, keeper: ConfigKeeper, key: Secret, vault: Path, stack: AsyncExitStack
) -> None:
    """A simulation notes its hours, and offers the way to live trading."""
    hours = SimulatedHours.opened(key, lambda: configuration_digest(keeper.config))
    parts.services = {**parts.services, "simulation": await stack.enter_async_context(hours)}
    parts.live = LiveSwitch(parts.store, parts.clock, lambda: keeper.config, vault, key)


def _trades_logged(bot: Bot) -> AbstractContextManager[None]:
    from fundingarb.logs.trades import log_trades  # structlog is loaded for a bot only

    return log_trades(bot.bus, bot.state)


def beside_database(config: Config, name: str) -> Path:
    """The folder ``name`` beside the SQLite database, or in the usual folder when the database is elsewhere."""
    file = parse_url(config.database.url).file
    return (USUAL_FOLDER.expanduser() if file is None else file.parent) / name


def backup_folder(config: Config) -> Path:
    """Where copies of the database go."""
    return config.backup.folder or beside_database(config, "backups")


def log_folder(config: Config) -> Path:
    """Where the daily log files go: what the configuration says, or beside the SQLite database."""
    return config.logging.folder or beside_database(config, "logs")


@asynccontextmanager
async def _judging(
    config: Config, around: Surroundings, plugins: Plugins, extras: Extras
) -> AsyncIterator[tuple[Strategy, Sequence[RiskRule]]]:
    """Strategy and risk rules of a bot: what ``config`` names, and what the program puts in place of or beside it."""
    async with AsyncExitStack() as stack:
        opener = _Opener(config, around, plugins, stack)
        strategy = extras.strategy or await opener.strategy()
        yield strategy, [*await opener.risk_rules(), *extras.risk_rules]


@asynccontextmanager
async def open_accounts(
    config: Config, around: Surroundings, plugins: Plugins | None = None
) -> AsyncIterator[dict[str, ExchangeAdapter]]:
    """The adapters of the configured accounts, for looking at them; nothing trades."""
    plugins = plugins or load_plugins(config.plugins.allow)
    around = (await unlocked(config, around)).around
    accounts = configured_accounts(config, around, plugins)
    async with AsyncExitStack() as stack:
        opener = _Opener(config, around, plugins, stack)
        yield {name: await opener.exchange(exchange, name) for name, exchange in accounts.items()}


@asynccontextmanager
async def open_alert_sinks(
    config: Config, plugins: Plugins, unlock: Callable[[], Vault] | None = None
) -> AsyncIterator[dict[str, AlertSink]]:
    """The configured alert sinks without a bot, for what watches one. No account of the vault is looked at."""
    secrets = (
        {} if unlock is None else (await anyio.to_thread.run_sync(unlock, abandon_on_cancel=True)).secrets
    )
    async with AsyncExitStack() as stack:
        yield await _Opener(config, Surroundings(), plugins, stack, secrets).sinks()


class Unlocked(NamedTuple):
    """What the vault gives for one network. ``approval`` is that of this set-up for live trading."""

    around: Surroundings
    secrets: Mapping[str, Secret]
    journal_key: Secret | None = None
    approval: LiveApproval | None = None


async def unlocked(config: Config, around: Surroundings) -> Unlocked:
    """``around`` with the accounts that the vault has for this network, and what else of the vault a bot needs.

    Raises ``ConfigError`` for a network that needs a vault when there is none.
    """
    local = config.network == "localnet"
    if around.unlock is None:
        if local:
            return Unlocked(around, {})
        raise ConfigError(
            f"network {config.network} needs the credentials vault; give the program a way to open it"
        )
    vault = await anyio.to_thread.run_sync(around.unlock, abandon_on_cancel=True)
    if local:
        return Unlocked(around, vault.secrets)
    venues: dict[str, Venue] = {}
    for one in vault.accounts():
        if one.network == config.network:
            known = venues.get(one.exchange, Venue())
            venues[one.exchange] = Venue(accounts={**known.accounts, one.name: one.credentials})
    found = replace(around, venues=venues, ca_file=None, run=None)
    return Unlocked(found, vault.secrets, vault.journal_key, vault.approval(setup_digest(config)))


def take_database_password(config: Config, unlock: Callable[[], Vault]) -> None:
    """Have this process connect with the vault's database password, where the configuration says so.

    Raises ``ConfigError`` when the vault has none.
    """
    if not config.database.password_in_vault:
        return
    found = unlock().secrets.get("database-password")
    if found is None:
        raise ConfigError(
            "database.password_in_vault: the vault has no database-password; add it with: "
            "fundingarb vault add secret database-password"
        )
    remember_password(found)


def refuse_unapproved(config: Config, approval: LiveApproval | None) -> None:
    """Raise ``ConfigError`` for a bot that would trade with real money without ever having been sent live."""
    if config.network != "mainnet":
        return
    if approval is None:
        raise ConfigError(
            "network mainnet: these accounts, this strategy and these plugins were never sent live; run them on "
            f"testnet for {config.simulation.min_hours} hours, then: fundingarb go-live"
        )
    if config.plugins.allow is None:
        raise ConfigError("plugins.allow: with real money only plugins that are named may load; name them")


@asynccontextmanager
async def open_judgement(
    config: Config, around: Surroundings, plugins: Plugins
) -> AsyncIterator[tuple[Strategy, Sequence[RiskRule]]]:
    """The strategy and the risk rules of ``config``, without exchanges: what a drill runs on simulated ones."""
    async with _judging(config, around, plugins, Extras()) as judgement:
        yield judgement


@asynccontextmanager
async def open_market_data(
    config: Config, around: Surroundings, plugins: Plugins | None = None
) -> AsyncIterator[Markets]:
    """Live rates and books of every exchange, without accounts: those of the localnet, else all that are installed."""
    plugins = plugins or load_plugins(config.plugins.allow)
    usable = [
        name for name, found in sorted(plugins.exchanges.items()) if found.component.unavailable is None
    ]
    exchanges = [name for name in usable if name in around.venues] if around.venues else usable
    if not exchanges:
        raise ConfigError("no exchange plugin is installed; install one, such as fundingarb-binance")
    async with AsyncExitStack() as stack:
        opener = _Opener(config, around, plugins, stack)
        markets = Markets(around.clock, lambda _event: None, lambda: None)
        feeds = []
        for exchange in exchanges:
            adapter = await opener.market_data(exchange)
            gate = RequestGate(exchange, adapter.limits, around.clock)
            feeds.append(
                MarketFeed(adapter, gate, markets, config.trading.symbols, around.clock, _log_failure)
            )
        await load_feeds(feeds, config.trading.symbols)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for feed in feeds:
            await feed.run(tasks)
        yield markets
        tasks.cancel_scope.cancel()


def _log_failure(task: str, error: Exception) -> None:
    log.warning("%s: %s: %s", task, type(error).__name__, error)


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


def trading_settings(
    config: Config, accounts: Mapping[str, str], revision: int, max_new_hedges: int | None = None
) -> TradingSettings:
    """The ``trading`` section as the loop wants it."""
    trading = config.trading
    return TradingSettings(
        symbols=list(trading.symbols),
        rules=config.entry_rules(),
        policy=config.execution_policy(),
        margin=config.margin_rules(),
        forecast=DecayToMedian(timedelta(hours=float(trading.forecast_half_life_hours))),
        fill_timeout=timedelta(seconds=float(trading.order_fill_timeout_seconds)),
        settlement_guard=timedelta(seconds=float(trading.settlement_guard_seconds)),
        funding_patience=timedelta(minutes=float(trading.funding_alarm_minutes)),
        funding_tolerance=trading.funding_tolerance,
        tolerances={symbol: config.tolerance_for(symbol) for symbol in trading.symbols},
        default_tolerance=config.tolerance_for(None),
        leverages={
            (account, symbol): config.leverage_for(account, exchange, symbol)
            for account, exchange in accounts.items()
            for symbol in trading.symbols
        },
        cooldown=timedelta(minutes=float(trading.cooldown_minutes)),
        failed_entry_cooldown=timedelta(minutes=float(trading.failed_entry_cooldown_minutes)),
        delisting_close=timedelta(hours=float(trading.delisting_close_hours)),
        config_revision=revision,
        instance=instance_id(config, accounts),
        max_new_hedges=max_new_hedges,
    )


def instance_id(config: Config, accounts: Mapping[str, str]) -> str:
    """Four characters that name this bot in its order ids: the same after every restart on the same database."""
    digest = hashlib.sha256("\n".join((config.database.url, *sorted(accounts))).encode()).digest()
    return base64.b32encode(digest)[:4].decode().lower()


class _Opener:
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
        _refuse_unknown("alerts", self._config.alerts, self._plugins.alert_sinks)
        wanted = {"log": {}, **self._config.alerts}
        return {
            name: await self._open(self._plugins.alert_sinks[name], section, secrets=self._secrets)
            for name, section in wanted.items()
        }

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


def _refuse_unknown(section: str, wanted: Mapping[str, Any], installed: Mapping[str, Any]) -> None:
    for name in wanted:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise ConfigError(f"{section}.{name}: no plugin of that name is installed; installed: {known}")


async def run(
    config: Config, around: Surroundings, plugins: Plugins | None = None, extras: Extras | None = None
) -> None:
    """Open a bot and run it until it is stopped or cancelled."""
    async with open_bot(config, around, plugins, extras) as bot:
        await bot.run()


__all__ = [
    "Config",
    "Extras",
    "Surroundings",
    "Venue",
    "backup_folder",
    "beside_database",
    "load_config",
    "log_folder",
    "open_accounts",
    "open_alert_sinks",
    "open_bot",
    "open_judgement",
    "open_market_data",
    "read_ready_file",
    "run",
    "surroundings",
    "take_database_password",
    "unlocked",
]
