"""Runs a demo: offline exchanges in a process of their own, the bot in this one, a report at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.abc
from rich.console import Console
from rich.live import Live

from fundingarb.app import Extras, Surroundings, load_config, open_bot, read_ready_file
from fundingarb.demo.report import Books, build, cycles, differences, is_cycle, read_books, text
from fundingarb.demo.start import pick_start, recorded
from fundingarb.demo.view import DemoView
from fundingarb.domain.events import Alert, HedgeChanged, PaymentBooked
from fundingarb.domain.hedge import Mode
from fundingarb.engine.alerts import unposted
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError
from fundingarb.localnet.models.seeded import DEFAULT_START
from fundingarb.plugins import Plugins, load_plugins

STARTUP = 60.0
DEFAULT_SPEED = 60.0
#: Real seconds in which a replay should get to the end of its hedges, and the speed it does not exceed for that.
REPLAY_SECONDS = 120.0
FASTEST = 1000.0
#: Real seconds that the bot gets to be ready before the moment the demo is to start at.
LEAD = 8.0


@dataclass(frozen=True)
class DemoOptions:
    """What the command line asked for. ``cycles`` None runs until interrupted."""

    cycles: int | None = None
    speed: float | None = None
    replay: Path | None = None
    start: datetime | None = None
    days: float | None = None
    seed: int = 1
    headless: bool = False
    port: int = 8000
    report: Path | None = None
    symbols: tuple[str, ...] = ()
    overrides: Mapping[str, Any] | None = None


def demo_exchanges(plugins: Plugins) -> list[str]:
    """Exchanges with both an adapter and a localnet dialect. Raises ``ConfigError`` when there are fewer than two."""
    names = [
        name
        for name, registered in sorted(plugins.exchanges.items())
        if registered.component.unavailable is None and name in plugins.localnets
    ]
    if len(names) < 2:
        raise ConfigError(
            "the demo needs two exchange plugins that come with a localnet; "
            "install fundingarb-binance and fundingarb-bybit"
        )
    return names


@asynccontextmanager
async def localnet_process(
    exchanges: list[str], options: DemoOptions, ready: Path
) -> AsyncIterator[Surroundings]:
    """``fundingarb localnet`` in a process of its own, ended on the way out."""
    command = [
        sys.executable,
        "-m",
        "fundingarb",
        "localnet",
        "--ready-file",
        str(ready),
        "--until-eof",
        "--seed",
        str(options.seed),
    ]
    command += [argument for exchange in exchanges for argument in ("--exchange", exchange)]
    command += ["--speed", str(options.speed)] if options.speed else []
    command += ["--replay", str(options.replay)] if options.replay else []
    command += ["--start", options.start.isoformat()] if options.start else []
    log = ready.with_suffix(".log")
    with log.open("wb") as output:
        process = await anyio.open_process(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with anyio.move_on_after(STARTUP) as scope:
            while not await anyio.Path(ready).exists():
                if process.returncode is not None:
                    raise ConfigError(_last_line(log) or "the localnet ended without a word")
                await anyio.sleep(0.05)
        if scope.cancelled_caught:
            raise ConfigError(f"the localnet did not start within {STARTUP:.0f} s; see {log}")
        yield read_ready_file(ready)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                with anyio.move_on_after(5.0):
                    await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""


class Truth:
    """The localnet's control API, read."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def accounts(self, names: set[str]) -> dict[str, dict[str, Any]]:
        """Account -> fills, funding, fees, positions, starting and final balance, as the exchanges have them."""
        document = await self._get("/truth")
        return {name: account_truth(document["accounts"][name]) for name in sorted(names)}

    async def symbols(self) -> list[str]:
        """Symbols that at least two exchanges list."""
        document = await self._get("/markets")
        counts = Counter(symbol for listed in document["exchanges"].values() for symbol in listed)
        return [symbol for symbol, count in counts.items() if count > 1]

    async def _get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{self._url}{path}") as response:
            return await response.json()


def account_truth(account: Mapping[str, Any]) -> dict[str, Any]:
    """One account of the localnet's answer in the report's form."""
    return {
        "starting_balance": account["starting_balance"],
        "final_balance": account["balance"],
        "funding": text(sum((Decimal(row["amount"]) for row in account["funding"]), Decimal(0))),
        "fees": text(sum((Decimal(fill["fee"]) for fill in account["fills"]), Decimal(0))),
        "fills": account["fills"],
        "funding_payments": account["funding"],
        "positions": account["positions"],
        "changes": changes_by_symbol(account["ledger"]),
    }


def changes_by_symbol(ledger: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Symbol (empty for transfers) -> what its ledger rows changed the balance by since the start."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in ledger:
        sums[row["symbol"]] += Decimal(row["amount"])
    return {symbol: text(amount) for symbol, amount in sorted(sums.items())}


class DemoRun:
    """One bot on one localnet, watched until it has done what was asked."""

    def __init__(self, bot: Bot, truth: Truth, options: DemoOptions, view: DemoView) -> None:
        self.bot = bot
        self.truth = truth
        self.options = options
        self.view = view
        self.counted: set[str] = set()

    async def watch(self) -> None:
        """Follow the bot's events; stop it when enough hedges have gone all the way."""
        with self.bot.bus.subscribe(10_000) as events:
            while True:
                event = await events.get()
                if isinstance(event, Alert):
                    self.view.alerts.append(event)
                    if self.options.headless:
                        print_alert(event)
                elif isinstance(event, HedgeChanged) and event.hedge.intent.mode is Mode.DONE:
                    await self._finished(event)
                if isinstance(event, HedgeChanged | PaymentBooked) and not self.options.headless:
                    self.view.books = await read_books(self.bot.store)

    async def _finished(self, event: HedgeChanged) -> None:
        if self.options.cycles is None or str(event.hedge.id) in self.counted:
            return
        if event.hedge.intent.opened_at is None:
            return
        self.counted.add(str(event.hedge.id))
        reader = [
            self.bot.readers[leg.account] for leg in (event.hedge.intent.long, event.hedge.intent.short)
        ]
        for one in reader:
            await one.collect_payments()
        books = await read_books(self.bot.store)
        if not is_cycle(event.hedge, books.payments):
            self.bot.allow_hedges(1)
        elif cycles(books) >= self.options.cycles:
            self.bot.stop()

    async def stop_after(self, days: float) -> None:
        """Stop the bot after ``days`` of its clock's time."""
        await self.bot.clock.sleep(days * 86_400)
        self.bot.stop()

    async def draw(self) -> None:
        await self.bot.ready.wait()
        with Live(self.view.frame(), refresh_per_second=4, screen=False, transient=False) as live:
            while True:
                await anyio.sleep(0.25)
                live.update(self.view.frame())

    async def books_and_truth(self) -> tuple[Books, dict[str, dict[str, Any]]]:
        """Both sides once everything the exchanges have posted is booked (or a few seconds have passed)."""
        names = set(self.bot.state.accounts)
        for _ in range(20):
            for reader in self.bot.readers.values():
                await reader.collect_fills()
                await reader.collect_payments()
            truth = await self.truth.accounts(names)
            books = await read_books(self.bot.store)
            if not any(differences(books, truth).values()):
                break
            await anyio.sleep(0.25)
        return books, truth


def print_alert(alert: Alert) -> None:
    print(
        f"{alert.at:%Y-%m-%d %H:%M:%S} {alert.severity.value} | {alert.title} | {' | '.join(alert.lines)}",
        flush=True,
    )


async def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Run the demo and return the report (also written to ``options.report``)."""
    plugins = load_plugins()
    exchanges = demo_exchanges(plugins)
    if options.report is not None and not options.report.resolve().parent.is_dir():
        raise ConfigError(
            f"--report: folder {options.report.resolve().parent} does not exist; create it first"
        )
    exchanges, options = starting(options, exchanges)
    with tempfile.TemporaryDirectory(prefix="fundingarb-demo-") as folder:
        ready = Path(folder) / "ready.json"
        async with localnet_process(exchanges, options, ready) as around:
            truth = Truth(json.loads(ready.read_text())["control"])
            symbols = options.symbols or await truth.symbols()
            config = load_config(None, demo_config(options, folder, plugins, symbols), env={})
            extras = Extras(services=not options.headless, max_new_hedges=options.cycles)
            async with open_bot(config, around, plugins, extras) as bot:
                return await _drive(bot, truth, options, exchanges)


def starting(options: DemoOptions, exchanges: list[str]) -> tuple[list[str], DemoOptions]:
    """The exchanges that take part, and ``options`` with speed and start. A replay has what was recorded."""
    path = options.replay
    if path is None:
        return exchanges, with_defaults(options, exchanges)
    known = recorded(path, exchanges)
    options = with_defaults(options, known)
    there = recorded(path, known, options.start)
    for exchange in exchanges:
        if exchange not in there:
            print(f"{exchange} takes no part: nothing of it is recorded at that time", flush=True)
    return there, options


def with_defaults(options: DemoOptions, exchanges: list[str]) -> DemoOptions:
    """``options`` with a speed, and for a replay with a start that is worth watching."""
    if options.replay is None or options.start is not None:
        speed = options.speed or DEFAULT_SPEED
        moment = options.start or datetime.fromtimestamp(DEFAULT_START, timezone.utc)
        return replace(options, speed=speed, start=moment - timedelta(seconds=LEAD * speed))
    start = pick_start(options.replay, exchanges, options.cycles or 1)
    speed = options.speed or min(max(start.span.total_seconds() / REPLAY_SECONDS, DEFAULT_SPEED), FASTEST)
    symbols = options.symbols or (start.symbols if options.cycles else ())
    moment = start.at - timedelta(seconds=LEAD * speed)
    return replace(options, start=moment, speed=round(speed), symbols=symbols)


def demo_config(
    options: DemoOptions, folder: str, plugins: Plugins, symbols: Sequence[str]
) -> dict[str, Any]:
    """Default settings on a throw-away database, for every symbol that the localnet lists."""
    config: dict[str, Any] = {
        "network": "localnet",
        "database": {"url": f"sqlite:///{folder}/demo.db"},
        "trading": {"symbols": list(symbols)},
    }
    if "dashboard" in plugins.services and not options.headless:
        config["services"] = {"dashboard": {"port": options.port}}
    return {**config, **(options.overrides or {})}


async def _drive(bot: Bot, truth: Truth, options: DemoOptions, exchanges: list[str]) -> dict[str, Any]:
    view = DemoView(bot, exchanges)
    run = DemoRun(bot, truth, options, view)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.watch)
        if options.days is not None:
            tasks.start_soon(run.stop_after, options.days)
        if not options.headless:
            tasks.start_soon(run.draw)
        tasks.start_soon(_stop_on_signal, bot)
        await bot.run()
        tasks.cancel_scope.cancel()
    return await _conclude(run)


async def _stop_on_signal(bot: Bot) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            bot.stop()


async def _conclude(run: DemoRun) -> dict[str, Any]:
    books, truth = await run.books_and_truth()
    report = build(books, truth)
    if run.options.report is not None:
        write_atomically(run.options.report, json.dumps(report, indent=2) + "\n")
    summarise(Console(), books, report, differences(books, truth))
    return report


def write_atomically(path: Path, content: str) -> None:
    """Write ``content`` so that a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content)
    os.replace(temporary, path)


def summarise(
    console: Console, books: Books, report: Mapping[str, Any], wrong: Mapping[str, Decimal]
) -> None:
    """The last lines of a demo: what was traded, what was refused, what is still open, whether the books agree."""
    done = [hedge for hedge in books.hedges if not hedge.live]
    net = sum((books.pnl[str(hedge.id)].realized for hedge in books.hedges), Decimal(0))
    console.print(f"hedges: {len(books.hedges)} ({len(done)} closed), net after fees {net:.2f} USD")
    for row in report["hedges"]:
        console.print(
            f"  {row['symbol']} long {row['long']} short {row['short']} {row['status']} "
            f"{row['opened_at']} to {row['closed_at'] or 'now'}: funding {Decimal(row['funding_usd']):.2f} "
            f"fees {Decimal(row['fees_usd']):.2f} price {Decimal(row['price_pnl_usd']):.2f} "
            f"net {Decimal(row['realized_pnl_usd']):.2f}",
            highlight=False,
        )
    for hedge in books.hedges:
        if waiting := unposted(books.pnl[str(hedge.id)]):
            console.print(f"not in the figures of {hedge.symbol}: {waiting}", style="yellow")
    refused = ", ".join(f"{gate} {count}" for gate, count in report["refusals"].items()) or "none"
    console.print(f"refused by gate: {refused}", highlight=False)
    for hedge in books.hedges:
        if hedge.live:
            console.print(f"still open: {hedge.symbol} {hedge.long.filled} long on {hedge.intent.long.account}, "
                          f"{hedge.short.filled} short on {hedge.intent.short.account}", style="yellow")  # fmt: skip
    if report["reconciled"]:
        console.print("reconciled: every account's balance changed by exactly what was booked", style="green")
    else:
        shown = ", ".join(f"{name} by {amount}" for name, amount in wrong.items() if amount)
        console.print(f"NOT reconciled: balances differ from the books: {shown}", style="bold red")
        for line in report["unexplained"]:
            console.print(f"  {line}", highlight=False)
