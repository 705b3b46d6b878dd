"""The composition root: the one place that wires plugins, configuration, store, exchanges and engine into a bot."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from fundingarb.config import Config, load_config
from fundingarb.config.digest import configuration_digest
from fundingarb.config.document import document_of
from fundingarb.config.places import vault_file
from fundingarb.configuring import ConfigKeeper
from fundingarb.domain.control import AuditEntry
from fundingarb.domain.opportunity import DecayToMedian
from fundingarb.engine.bot import Bot, BotParts
from fundingarb.engine.caretaker import Idle
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import MarketFeed, Markets, load_feeds
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError
from fundingarb.folders import USUAL_FOLDER
from fundingarb.golive import LiveSwitch, SimulatedHours
from fundingarb.hosting import ServiceHost, service_host
from fundingarb.opening import Opener, configured_accounts
from fundingarb.plugins import Plugins, load_plugins
from fundingarb.ports import AlertSink, Clock, ExchangeAdapter, RiskRule, Secret, Strategy
from fundingarb.redaction import hide
from fundingarb.store import SqlStore, hold_lease, open_store
from fundingarb.store.database import parse_url
from fundingarb.surroundings import Surroundings, Venue, read_ready_file, surroundings
from fundingarb.unlocking import VaultOwner, bind_approval, end_approvals, refuse_unapproved, unlocked
from fundingarb.vault import Vault
from fundingarb.whereabouts import noted

if TYPE_CHECKING:
    from fundingarb.logs.setup import LogPlan

log = logging.getLogger("fundingarb.app")


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
        stack.enter_context(noted(config))
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
        if extras.caretaker is None and open_vault.vault is not None:
            await _approved(config, open_vault.vault, store, around.clock)
        host: ServiceHost | None = None
        revision = await store.save_config(document_of(config), around.clock.now())
        opener = Opener(config, around, plugins, stack, secrets)
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
            rights_accepted=config.rights_accepted(),
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
                opener.sink,
            )  # fmt: skip
            parts.strategy, parts.rules = await stack.enter_async_context(keeper.open())
            parts.sinks = {**await keeper.open_sinks(), **extras.alert_sinks}
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
            parts.config.attach(bot.adopt, bot.ready.is_set, bot.unlisted)
        yield bot


async def _approved(config: Config, vault: Vault, store: SqlStore, clock: Clock) -> None:
    """Real money takes an approval that is good for this database; a simulation that starts again ends what it had."""
    if config.network == "mainnet":
        await bind_approval(config, vault, store, clock)
        return
    if config.network == "testnet" and config.plugins.allow is None:
        log.warning(
            "plugins.allow is not set: real money wants it, and hours that are simulated without it do not count then; "
            "list the plugins that may load now"
        )
    for one in await end_approvals(config, vault):
        text = f"the approval for live of {one.at:%Y-%m-%d %H:%M} UTC has ended: it is simulated again"
        log.warning("%s", text)
        await store.audit(AuditEntry(clock.now(), "program", "GO_LIVE", {}, True, text))


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


def log_plan(config: Config) -> LogPlan:
    """What a bot logs, and where to."""
    from fundingarb.logs.setup import LogPlan

    section = config.logging
    return LogPlan(
        section.level,
        section.file,
        log_folder(config),
        section.debug,
        section.trade_days,
        section.error_days,
        section.debug_days,
    )


@asynccontextmanager
async def _judging(
    config: Config, around: Surroundings, plugins: Plugins, extras: Extras
) -> AsyncIterator[tuple[Strategy, Sequence[RiskRule]]]:
    """Strategy and risk rules of a bot: what ``config`` names, and what the program puts in place of or beside it."""
    async with AsyncExitStack() as stack:
        opener = Opener(config, around, plugins, stack)
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
        opener = Opener(config, around, plugins, stack)
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
        yield await Opener(config, Surroundings(), plugins, stack, secrets).sinks()


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
        opener = Opener(config, around, plugins, stack)
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
    "log_plan",
    "open_accounts",
    "open_alert_sinks",
    "open_bot",
    "open_judgement",
    "open_market_data",
    "read_ready_file",
    "run",
    "surroundings",
]
