"""Looks at everything a bot needs before it trades, and says for each thing that is wrong what to do about it.

Nothing is changed: no order, no setting, no table. A bot may run meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from pathlib import Path

import anyio
import anyio.to_thread

from fundingarb.app import Surroundings, open_accounts, open_alert_sinks
from fundingarb.config import Config
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.market import RateBook
from fundingarb.engine.checks import MOST, WARN, key_flaw
from fundingarb.errors import ExchangeError, FundingArbError
from fundingarb.plugins import Plugins
from fundingarb.ports import CheckableSink, ExchangeAdapter
from fundingarb.store import revision_of
from fundingarb.store.database import parse_url
from fundingarb.store.schema import REVISIONS
from fundingarb.whereabouts import database_of, elsewhere

__all__ = ["Finding", "Verdict", "examine"]

ANSWER_SECONDS = 15.0
"""Real seconds that an exchange, a sink or a stream has to answer."""
LITTLE_SPACE, NO_SPACE = 1024**3, 100 * 1024**2
"""Bytes free on a disk below which it is a warning, and a failure."""


class Verdict(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: of ``subject`` (``account main``), ``check`` (``clock``) is as ``detail`` says.

    ``remedy`` is what to do; empty when there is nothing to be done.
    """

    subject: str
    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


async def examine(
    config: Config, around: Surroundings, plugins: Plugins, *, alert: bool = False
) -> AsyncIterator[Finding]:
    """Every finding, one after the other. ``alert`` sends a CRITICAL one to every sink; without it they are asked.

    What cannot be looked at because something else is wrong is left out: its cause is among the findings.
    """
    for finding in _plugins(plugins):
        yield finding
    yield await anyio.to_thread.run_sync(_database, config.database.url)
    for finding in await anyio.to_thread.run_sync(_bots, config):
        yield finding
    for finding in await anyio.to_thread.run_sync(_disks, config):
        yield finding
    async for finding in _accounts(config, around, plugins):
        yield finding
    async for finding in _alerts(config, around, plugins, send=alert):
        yield finding


def _plugins(plugins: Plugins) -> Sequence[Finding]:
    found = [
        Finding(
            "plugins",
            problem.split(":")[0],
            Verdict.FAILED,
            problem,
            "upgrade or uninstall that distribution",
        )
        for problem in plugins.left_out or ()
    ]
    names = ", ".join(sorted(plugins.exchanges)) or "none"
    if not found:
        verdict = Verdict.OK if plugins.exchanges else Verdict.FAILED
        remedy = "" if plugins.exchanges else "pip install fundingarb-binance fundingarb-bybit"
        found.append(Finding("plugins", "exchanges", verdict, names, remedy))
    return found


def _database(url: str) -> Finding:
    try:
        revision = revision_of(url)
        name = str(parse_url(url))
    except FundingArbError as error:
        return Finding(
            "database", "schema", Verdict.FAILED, str(error), "correct database.url, or start the server"
        )
    if revision is None:
        return Finding("database", "schema", Verdict.OK, f"{name}: empty; the first start makes the tables")
    if revision not in REVISIONS:
        detail = f"{name}: schema {revision}, this version knows {REVISIONS[-1]}"
        return Finding("database", "schema", Verdict.FAILED, detail, "install the newer fundingarb again")
    if revision != REVISIONS[-1]:
        detail = f"{name}: schema {revision}, this version needs {REVISIONS[-1]}"
        return Finding(
            "database", "schema", Verdict.FAILED, detail, "fundingarb backup, then fundingarb db upgrade"
        )
    return Finding("database", "schema", Verdict.OK, f"{name}: schema {revision}")


def _bots(config: Config) -> Sequence[Finding]:
    """Bots under whose feet the file was changed: it names another database than they trade on."""
    remedy = "put database.url back, or end that bot and start it again once what it holds is closed"
    return [
        Finding(
            "database",
            "bot",
            Verdict.WARNING,
            f"{note.process}, which was started with this file, {'trades' if note.process.here else 'may still trade'} "
            f"on {note.database}; the file names {database_of(config)}",
            remedy,
        )
        for note in elsewhere(config)
    ]


def _disks(config: Config) -> Sequence[Finding]:
    """Room for the database and for the log, where they are files."""
    files = {"database": parse_url(config.database.url).file, "log": config.logging.file}
    return [_disk(what, Path(file)) for what, file in files.items() if file is not None]


def _disk(what: str, file: Path) -> Finding:
    folder = next(each for each in file.absolute().parents if each.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:,.1f} GiB free in {folder}"
    if free >= LITTLE_SPACE:
        return Finding("disk", what, Verdict.OK, detail)
    verdict = Verdict.FAILED if free < NO_SPACE else Verdict.WARNING
    return Finding("disk", what, verdict, detail, f"make room there, or keep the {what} elsewhere")


# -- accounts ----------------------------------------------------------------------------------------------------


async def _accounts(config: Config, around: Surroundings, plugins: Plugins) -> AsyncIterator[Finding]:
    try:
        async with open_accounts(config, around, plugins) as adapters:
            exchanges: set[str] = set()
            for account, adapter in adapters.items():
                last = ""
                async for finding in _account(account, adapter, config, around.clock.speed):
                    yield finding
                    last = finding.check
                if last != "clock" and adapter.name not in exchanges:  # it can be reached
                    exchanges.add(adapter.name)
                    yield await _stream(adapter, config)
    except FundingArbError as error:
        yield Finding("accounts", "credentials", Verdict.FAILED, str(error), "see the message")


async def _account(
    account: str, adapter: ExchangeAdapter, config: Config, speed: float
) -> AsyncIterator[Finding]:
    subject = f"account {account}"
    symbol = config.trading.symbols[0]
    checks: Mapping[str, Callable[[], Awaitable[Finding]]] = {
        "clock": lambda: _clock(subject, adapter, speed),
        "key": lambda: _key(subject, account, adapter, config),
        "balance": lambda: _balance(subject, adapter),
        "modes": lambda: _modes(subject, adapter, symbol),
        "symbols": lambda: _symbols(subject, adapter, config.trading.symbols),
    }
    for check, look in checks.items():
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                finding = await look()
        except (TimeoutError, ExchangeError) as error:
            timeout = isinstance(error, TimeoutError)
            detail = f"no answer in {ANSWER_SECONDS:g} s" if timeout else str(error)
            remedy = REMEDIES["clock" if timeout else check].format(account=account)
            yield Finding(subject, check, Verdict.FAILED, detail, remedy)
            if check == "clock":
                return  # it cannot be reached: once is enough
        else:
            yield finding


REMEDIES = {
    "clock": "look at the connection and at the exchange's status page",
    "key": "make a key that may trade and not withdraw: fundingarb vault add account {account}",
    "balance": "look at the key's permissions: it has to be allowed to read",
    "modes": "look at the key's permissions: it has to be allowed to read",
    "symbols": "look at the connection and at the exchange's status page",
}


async def _clock(subject: str, adapter: ExchangeAdapter, speed: float) -> Finding:
    await adapter.get_server_time()
    offset = adapter.clock_offset
    seconds = 0.0 if offset is None else offset.total_seconds() / speed
    detail = f"{round(seconds * 1000):+d} ms apart"
    if abs(seconds) <= WARN:
        return Finding(subject, "clock", Verdict.OK, detail)
    verdict = Verdict.FAILED if abs(seconds) > MOST else Verdict.WARNING
    return Finding(
        subject, "clock", verdict, detail, "switch on this computer's time service (timedatectl set-ntp true)"
    )


async def _key(subject: str, account: str, adapter: ExchangeAdapter, config: Config) -> Finding:
    may = await adapter.get_key_permissions()
    words = {"trade": may.trade, "withdraw": may.withdraw, "bound to an address": may.ip_restricted}
    said = {True: "yes", False: "no", None: "unknown"}
    detail = ", ".join(f"{what}: {said[value]}" for what, value in words.items())
    accepted = account in config.rights_accepted()
    flaw = key_flaw(may, account, live=config.network == "mainnet", rights_accepted=accepted)
    if flaw is not None:
        return Finding(subject, "key", Verdict.FAILED, detail, flaw)
    if may.withdraw and not may.accepted:
        return Finding(
            subject,
            "key",
            Verdict.WARNING,
            detail,
            f"it may withdraw, which is refused with real money; {may.remedy}",
        )
    return Finding(subject, "key", Verdict.OK, detail)


async def _balance(subject: str, adapter: ExchangeAdapter) -> Finding:
    balance = await adapter.get_balance()
    detail = f"{balance.equity:,.2f} {balance.currency}, {balance.available:,.2f} available"
    if balance.available > Decimal(0):
        return Finding(subject, "balance", Verdict.OK, detail)
    return Finding(
        subject, "balance", Verdict.WARNING, detail, "deposit margin; without any nothing is opened here"
    )


async def _modes(subject: str, adapter: ExchangeAdapter, symbol: str) -> Finding:
    modes = await adapter.get_modes(symbol)
    detail = f"{symbol}: {modes.position_mode or 'unknown'}, {modes.margin_mode or 'unknown'} margin"
    if modes.position_mode == "hedge":
        remedy = (
            "close what is open and switch the account to one-way mode; the bot does it where nothing is open"
        )
        return Finding(subject, "modes", Verdict.WARNING, detail, remedy)
    return Finding(subject, "modes", Verdict.OK, detail)


async def _symbols(subject: str, adapter: ExchangeAdapter, symbols: Sequence[str]) -> Finding:
    listed = {instrument.symbol for instrument in await adapter.get_instruments()}
    missing = [symbol for symbol in symbols if symbol not in listed]
    detail = f"{len(symbols) - len(missing)} of {len(symbols)} listed"
    if not missing:
        return Finding(subject, "symbols", Verdict.OK, detail)
    detail += f", not {', '.join(missing[:10])}"
    verdict = Verdict.FAILED if len(missing) == len(symbols) else Verdict.WARNING
    return Finding(subject, "symbols", verdict, detail, "correct trading.symbols, or trade them elsewhere")


# -- streams -----------------------------------------------------------------------------------------------------


@dataclass
class _Rates:
    """A rate sink that knows who has spoken."""

    book: RateBook = field(default_factory=RateBook)
    arrived: anyio.Event = field(default_factory=anyio.Event)
    reason: str = ""

    def flush(self, exchange: str) -> None:
        self.arrived.set()

    def interval_changed(self, exchange: str, symbol: str, hours: float) -> None: ...

    def connected(self, stream: str) -> None: ...

    def disconnected(self, stream: str, reason: str) -> None:
        self.reason = reason

    def quarantined(self, stream: str, raw: bytes, reason: str) -> None:
        self.reason = reason


async def _stream(adapter: ExchangeAdapter, config: Config) -> Finding:
    """Whether rates arrive by themselves."""
    subject, sink = f"exchange {adapter.name}", _Rates()
    started = anyio.current_time()

    async def listen() -> None:
        try:
            await adapter.stream_rates(config.trading.symbols, sink)
        except ExchangeError as error:
            sink.reason = str(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        with anyio.move_on_after(ANSWER_SECONDS):
            await sink.arrived.wait()
        tasks.cancel_scope.cancel()
    if sink.arrived.is_set():
        seconds = anyio.current_time() - started
        return Finding(subject, "stream", Verdict.OK, f"funding rates after {seconds:.1f} s")
    detail = f"no funding rate in {ANSWER_SECONDS:g} s" + (f": {sink.reason}" if sink.reason else "")
    remedy = (
        "look whether a firewall or proxy lets websockets through; rates are asked for meanwhile, more slowly"
    )
    return Finding(subject, "stream", Verdict.FAILED, detail, remedy)


# -- alerts ------------------------------------------------------------------------------------------------------


async def _alerts(
    config: Config, around: Surroundings, plugins: Plugins, *, send: bool
) -> AsyncIterator[Finding]:
    names = [name for name in config.alerts if name != "log"]
    if not names:
        remedy = "add a sink under alerts, such as telegram or mail: the log is read by nobody at night"
        yield Finding("alerts", "sinks", Verdict.WARNING, "only the log hears of what happens", remedy)
    for name in names:
        yield await _sink(name, config, around, plugins, send=send)


async def _sink(name: str, config: Config, around: Surroundings, plugins: Plugins, *, send: bool) -> Finding:
    remedy = f"correct alerts.{name}"
    only = config.model_copy(update={"alerts": {name: config.alerts[name]}})
    lines = ("Sent by fundingarb doctor: nothing happened.",)
    alert = Alert(Severity.CRITICAL, "Test Alert", lines, around.clock.now())  # what has to arrive
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with open_alert_sinks(only, plugins, around.unlock) as sinks:
                sink = sinks[name]
                if send:
                    await sink.send(alert)
                elif isinstance(sink, CheckableSink) and (flaw := await sink.check()):
                    return Finding("alerts", name, Verdict.WARNING, "alerts would not arrive", flaw)
    except TimeoutError:
        return Finding("alerts", name, Verdict.FAILED, f"no answer in {ANSWER_SECONDS:g} s", remedy)
    except Exception as error:  # noqa: BLE001 - a sink is somebody's plugin; whatever it raises is what is wrong
        return Finding("alerts", name, Verdict.FAILED, str(error) or type(error).__name__, remedy)
    return Finding("alerts", name, Verdict.OK, "a test alert was taken" if send else "can be opened")
