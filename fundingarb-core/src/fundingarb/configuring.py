"""The configuration of a running bot: checked, put in force between two decisions, written, stored, audited."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import anyio
import anyio.abc
import anyio.lowlevel

from fundingarb.config import Config
from fundingarb.config.document import (
    GOING_LIVE,
    HIDDEN,
    RESTART,
    differences,
    document_of,
    in_force,
    moved,
    parsed,
    schema_of,
)
from fundingarb.config.edit import edited, replacement
from fundingarb.config.schema import Origin, hide_password
from fundingarb.domain.control import AuditEntry, plain
from fundingarb.engine.durable import in_time
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import (
    ConfigError,
    ConfigRefused,
    ExchangeError,
    FundingArbError,
    StoreError,
    VersionConflict,
)
from fundingarb.held import ChangingSink, Held, hold
from fundingarb.plugins import Plugins
from fundingarb.ports import AlertSink, Clock, RiskRule, Store, Strategy
from fundingarb.ports.configuring import ConfigApplied, ConfigChange, ConfigCheck, ConfigRevision

log = logging.getLogger("fundingarb.configuring")

Judgement: TypeAlias = "tuple[Strategy, Sequence[RiskRule]]"
#: Opens the strategy and the risk rules of a configuration.
Judging: TypeAlias = "Callable[[Config], AbstractAsyncContextManager[Judgement]]"
#: Opens one alert sink with the settings of its section.
OpeningSink: TypeAlias = "Callable[[str, Mapping[str, Any]], AbstractAsyncContextManager[AlertSink]]"
#: Those of some symbols that no exchange lists. Raises ``ExchangeError``.
Unlisted: TypeAlias = "Callable[[set[str]], Awaitable[set[str]]]"
#: Puts settings, strategy and rules in force.
Adopt: TypeAlias = "Callable[[TradingSettings, Strategy, Sequence[RiskRule]], None]"

LISTED_SECONDS = 5.0
"""How long it may take to learn whether an exchange lists a symbol."""


class ConfigKeeper:
    """A ``ports.ConfigDesk``. Strategy and rules are open in a task of their own, and so is each alert sink."""

    def __init__(
        self,
        config: Config,
        revision: int,
        plugins: Plugins,
        store: Store,
        clock: Clock,
        judging: Judging,
        settings: Callable[[Config, int], TradingSettings],
        opening_sink: OpeningSink,
    ) -> None:
        self._config = self._started = config
        self._revision = revision
        self._plugins = plugins
        self._store = store
        self._clock = clock
        self._judging = judging
        self._settings = settings
        self._schema: Mapping[str, Any] | None = None
        self._turn = anyio.Lock()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._generation: Held[Judgement] | None = None
        self._opening_sink = opening_sink
        self._sinks: dict[str, ChangingSink] = {}
        self._alerts: Mapping[str, Mapping[str, Any]] = config.alerts
        self._adopt: Adopt | None = None
        self._ready: Callable[[], bool] = lambda: False
        self._unlisted: Unlisted | None = None

    def attach(self, adopt: Adopt, ready: Callable[[], bool], unlisted: Unlisted) -> None:
        """``adopt`` puts settings, strategy and rules in force in the bot, once it is ``ready``; ``unlisted`` are
        those of some symbols that no exchange of its lists."""
        self._adopt, self._ready, self._unlisted = adopt, ready, unlisted

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Judgement]:
        """The first generation; those after it live until the block is left."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._generation = await self._next(tasks, self._started)
            failed: Exception | None = None
            try:
                yield self._generation.value
            except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
                failed = error
            finally:
                _retire([self._generation])
                for sink in self._sinks.values():
                    sink.retire()
        if failed is not None:
            raise failed

    async def _next(self, tasks: anyio.abc.TaskGroup, config: Config) -> Held[Judgement]:
        """Open what ``config`` names."""
        return await hold(tasks, self._judging(config), "a strategy or a risk rule")

    async def open_sinks(self) -> dict[str, AlertSink]:
        """The alert sinks of the configuration and the log, until the block of ``open`` is left."""
        for name, section in {"log": {}, **self._alerts}.items():
            self._sinks[name] = ChangingSink(name, await self._sink(name, section))
        return dict(self._sinks)

    async def _sink(self, name: str, section: Mapping[str, Any]) -> Held[AlertSink]:
        assert self._tasks is not None  # noqa: S101 (inside ``open``)
        return await hold(self._tasks, self._opening_sink(name, section), f"alert sink {name}", alone=True)

    async def _changed_sinks(self, config: Config) -> dict[str, Held[AlertSink]]:
        """Those of ``config`` whose settings are others than those in force, open."""
        coming: dict[str, Held[AlertSink]] = {}
        try:
            for name in self._sinks:
                section = config.alerts.get(name, {})
                if section != self._alerts.get(name, {}):
                    coming[name] = await self._sink(name, section)
        except BaseException as error:
            _retire(coming.values())
            if isinstance(error, FundingArbError) or not isinstance(error, Exception):
                raise
            raise ConfigError(
                f"alerts.{name}: it does not open: {type(error).__name__}: {error}; nothing was changed"
            ) from error
        return coming

    # ports.ConfigDesk

    @property
    def config(self) -> Config:
        """The newest configuration."""
        return self._config

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def restart_keys(self) -> Sequence[str]:
        return RESTART

    def document(self) -> Mapping[str, Any]:
        return document_of(self._config)

    def schema(self) -> Mapping[str, Any]:
        if self._schema is None:
            self._schema = schema_of(self._plugins)
        return self._schema

    def check(self, document: Mapping[str, Any]) -> ConfigCheck:
        config, errors = self._parsed(document)
        return ConfigCheck(errors) if config is None else ConfigCheck({}, self._changes(config))

    def _changes(self, config: Config) -> tuple[ConfigChange, ...]:
        found = differences(document_of(self._config), document_of(config))
        return tuple(
            replace(each, restart=self._another_sink(each.path, config))
            if each.path.startswith("alerts.")
            else each
            for each in found
        )

    def _another_sink(self, path: str, config: Config) -> bool:
        """Whether the sink that the setting at ``path`` is one of comes or goes."""
        name = path.split(".")[1]
        return name not in self._started.alerts or name not in config.alerts

    def _parsed(self, document: Mapping[str, Any]) -> tuple[Config | None, dict[str, str]]:
        config, errors = parsed(self._with_secrets(document), self._plugins)
        if config is not None and config.network == "mainnet" != self._started.network:
            return None, {"network": GOING_LIVE.removeprefix("network: ")}
        url = "" if config is None else config.database.url
        if HIDDEN in url and url == hide_password(url) and url != self._config.database.url:
            text = "its password is hidden in what is stored and is not known; write it out"
            return None, {"database.url": text}
        found = () if config is None else moved(self._started, config)
        if found:
            text = "kill and status find the bot that runs by it; stop the bot first, then change it"
            return None, dict.fromkeys(found, text)
        return config, errors

    def _with_secrets(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What is hidden in a document is what it was."""
        known, database = self._config.database.url, document.get("database")
        if isinstance(database, Mapping) and database.get("url") == hide_password(known):
            return {**document, "database": {**database, "url": known}}
        return dict(document)

    async def revisions(self, limit: int = 100) -> Sequence[ConfigRevision]:
        return await self._store.config_revisions(limit=limit)

    async def rollback(self, revision: int, actor: str) -> ConfigApplied:
        found = [one for one in await self._store.config_revisions(limit=None) if one.revision == revision]
        if not found:
            error = ConfigError(f"there is no revision {revision}")
            await self._audit(actor, {"rollback": revision}, False, str(error))
            raise error
        return await self._audited(found[0].document, actor, self._revision, {"rollback": revision})

    async def reload(self, actor: str) -> ConfigApplied:
        told = {"reload": True}
        try:
            origin = self._config.origin
            if origin is None:
                raise ConfigError("the configuration came from no file; there is nothing to read again")
            document = document_of(origin.read(_read(origin)))
        except ConfigError as error:
            await self._audit(actor, told, False, str(error))
            raise
        return await self._audited(document, actor, self._revision, told)

    async def apply(self, document: Mapping[str, Any], actor: str, base_revision: int) -> ConfigApplied:
        return await self._audited(document, actor, base_revision, {})

    async def _audited(
        self, document: Mapping[str, Any], actor: str, base_revision: int, told: Mapping[str, Any]
    ) -> ConfigApplied:
        told = {"base_revision": base_revision, **told}
        async with self._turn:
            try:
                applied = await self._apply(document, base_revision, plain(actor))
            except Exception as error:
                text = (
                    str(error) if isinstance(error, FundingArbError) else f"{type(error).__name__}: {error}"
                )
                await self._audit(actor, told, False, text)
                raise
            changes = {change.path: [change.before, change.after] for change in applied.changes}
            await self._audit(actor, {**told, "changes": changes}, True, f"revision {applied.revision}")
            return applied

    async def _apply(self, document: Mapping[str, Any], base_revision: int, actor: str) -> ConfigApplied:
        if base_revision != self._revision:
            raise VersionConflict(
                f"the configuration is at revision {self._revision} now, not {base_revision}; look at it again"
            )
        config, errors = self._parsed(document)
        if config is None:
            path, text = next(iter(errors.items()))
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise ConfigRefused(f"{path}: {text}{more}", errors)
        changes = self._changes(config)
        if not changes:
            return ConfigApplied(self._revision, ())
        if self._tasks is None or self._adopt is None or not self._ready():
            raise ConfigError("the bot is starting; try again")
        await self._refuse_unlisted(set(config.trading.symbols) - set(self._config.trading.symbols))
        effective = in_force(config, self._started)
        try:
            coming = await self._next(self._tasks, effective)
        except FundingArbError:
            raise
        except Exception as error:
            raise ConfigError(
                f"its strategy or a risk rule does not open: {type(error).__name__}: {error}; nothing was changed"
            ) from error
        sinks: dict[str, Held[AlertSink]] = {}
        try:
            sinks = await self._changed_sinks(effective)
            settings = self._settings(effective, self._revision)
            revision = await self._store_it(config, changes, actor)
        except BaseException:
            _retire([coming, *sinks.values()])
            raise
        self._adopt(replace(settings, config_revision=revision), *coming.value)
        retired, self._generation = self._generation, coming
        if retired is not None:
            _retire([retired])
        self._alerts = effective.alerts
        self._config, self._revision = config, revision
        for name, held in sinks.items():
            sink = self._sinks[name]
            self._tasks.start_soon(sink.listen_after, sink.replace(held))
        return ConfigApplied(revision, changes)

    async def _refuse_unlisted(self, symbols: set[str]) -> None:
        """Raises ``ConfigRefused`` when no exchange lists one of ``symbols``. While an exchange does not answer nobody
        knows: then it is looked for until it is there."""
        found: set[str] = set()
        if symbols and self._unlisted is not None:
            with anyio.move_on_after(LISTED_SECONDS):
                try:
                    found = await self._unlisted(symbols)
                except ExchangeError as error:
                    log.info("whether %s is listed is not known yet: %s", ", ".join(sorted(symbols)), error)
        if found:
            text = f"{', '.join(sorted(found))} is listed on no exchange that has an account; leave it out"
            raise ConfigRefused(f"trading.symbols: {text}", {"trading.symbols": text})

    async def _store_it(self, config: Config, changes: Sequence[ConfigChange], actor: str) -> int:
        """Into the file it came from, if any, and into the database; both or neither."""
        origin = self._config.origin
        if origin is None:
            return await in_time(self._store.save_config(document_of(config), self._clock.now(), actor))
        text = await self._text(origin, config, changes)
        config.came_from(origin)
        with replacement(origin.path, text) as put:
            revision = await in_time(self._store.save_config(document_of(config), self._clock.now(), actor))
            put()
        return revision

    async def _text(self, origin: Origin, config: Config, changes: Sequence[ConfigChange]) -> str:
        """The file with the changes in it. Raises ``ConfigError`` when it would not mean ``config``."""
        wanted = document_of(config)
        text = _read(origin)
        if not differences(wanted, document_of(origin.read(text))):
            return text  # it was changed there
        for change in changes:
            text = edited(text, [change.path], wanted)
            await anyio.lowlevel.checkpoint()  # one takes milliseconds, and the trading loop has its turn
        meant = document_of(origin.read(text))
        others = differences(wanted, meant)
        if others:
            raise ConfigError(
                f"{others[0].path} is set by the environment, by the command line or by an edit of {origin.path} "
                "that was not loaded; change it there, or start again first"
            )
        return text

    async def _audit(self, actor: str, arguments: Mapping[str, Any], ok: bool, result: str) -> None:
        entry = AuditEntry(self._clock.now(), plain(actor), "CONFIG", arguments, ok, result)
        try:
            await in_time(self._store.audit(entry))
        except StoreError as error:
            log.warning("not audited: %s by %s: %s: %s", entry.command, entry.actor, result, error)


def _retire(held: Iterable[Held[Any]]) -> None:
    for each in held:
        each.retired.set()


def _read(origin: Origin) -> str:
    """The text of the file as it is now. Raises ``ConfigError``."""
    try:
        return origin.path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{origin.path}: cannot be read: {error}; nothing was changed") from None
