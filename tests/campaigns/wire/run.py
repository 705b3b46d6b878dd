"""One campaign: venues, bot, script, storm, end, checks."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from tests.campaigns.wire import checks
from tests.campaigns.wire.faults import Storm
from tests.campaigns.wire.names import Names
from tests.campaigns.wire.script import Script, pairs_of
from tests.campaigns.wire.venue import SYMBOLS, Venues, run_venues

from fundingarb.app import Extras, load_config, open_bot
from fundingarb.demo.runner import demo_exchanges
from fundingarb.domain.events import Alert, HedgeChanged, OrderChanged, Severity
from fundingarb.domain.hedge import Mode
from fundingarb.domain.order import OrderState
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, ExchangeError, StoreError
from fundingarb.plugins import load_plugins

#: Real seconds the bot gets to be ready, to bring everything to an end once the script is over, and to book it.
READY, ENDING, BOOKING = 60.0, 180.0, 60.0
#: No outcome of a reduction: what a lost one may have done is not waited for, because repeated it opens nothing.
GIVEN_UP = "the exchange knows no such order"


@dataclass(frozen=True)
class Options:
    """What to run. ``every`` 0 runs without faults; ``only`` names recipes, none of them means all.

    ``hourly`` has every contract settle each hour; ``within`` bounds the p99 of the time to flat or hedged (real
    seconds); ``certain`` says that these faults leave no outcome open, so that no order may be in doubt; with
    ``every_recipe`` each recipe in use has to strike each exchange it can happen to.
    """

    hedges: int = 500
    seed: int = 1
    speed: float = 120.0
    every: float = 0.5
    only: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    symbols: int = 0
    minutes: float = 60.0
    hold: tuple[float, float] = (0.0, 5.0)
    sizes: tuple[float, float] = (30.0, 20_000.0)
    hourly: bool = False
    progress: bool = False
    ending: float = ENDING
    booking: float = BOOKING
    within: float = 30.0
    certain: bool = False
    every_recipe: bool = False


@dataclass
class Result:
    """Lines that say what must not be, and the figures."""

    breaches: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class Errors(logging.Handler):
    """Log records that nobody expects: something raised what it should not have."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "fundingarb.alerts":
            return
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append(f"{record.name}: {record.getMessage()}" + (f": {error!r}" if error else ""))


@dataclass
class Watch:
    """What the bot published: first quantities of hedges, orders in doubt, orders when they were first recorded as
    over, alerts."""

    bot: Bot
    venues: Venues
    targets: dict[str, Decimal] = field(default_factory=dict)
    over: dict[str, Decimal | None] = field(default_factory=dict)
    """Client order id -> filled quantity; None where it was refused."""
    doubted: dict[str, str] = field(default_factory=dict)
    """Client order id -> why its outcome was not known."""
    alerts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        with self.bot.bus.subscribe(100_000, HedgeChanged, OrderChanged, Alert) as events:
            while True:
                event = await events.get()
                if isinstance(event, HedgeChanged):
                    self.targets.setdefault(str(event.hedge.id), event.hedge.intent.quantity)
                elif isinstance(event, OrderChanged):
                    order = event.order
                    if order.state is OrderState.UNKNOWN:
                        self.doubted.setdefault(order.client_id, order.reason)
                    if order.state.terminal and not (order.reduce_only and order.reason == GIVEN_UP):
                        refused = order.state is OrderState.REFUSED
                        self.over.setdefault(order.client_id, None if refused else order.filled)
                elif isinstance(event, Alert):
                    self.alerts[f"{event.severity.value} {event.title}"] += 1
                    if event.severity is Severity.CRITICAL:
                        await self.venues.alert(event)


def settings(folder: Path, symbols: list[str]) -> dict[str, Any]:
    """The configuration: ordinary, but for what would slow a campaign down."""
    return {
        "network": "localnet",
        "database": {"url": f"sqlite:///{folder}/bot.db"},
        "trading": {"symbols": symbols, "cooldown_minutes": 2, "failed_entry_cooldown_minutes": 1},
        "risk": {
            "daily_loss": {"max_usd": 10**9},
            "round_trips": {"per_hour": 10_000},
            "order_rate": {"per_minute": 100_000},
            "total_notional": {"total_usd": 10**9, "per_account_usd": 10**9},
        },
    }


@asynccontextmanager
async def running(venues: Venues, folder: Path, symbols: list[str]) -> AsyncIterator[tuple[Bot, Watch]]:
    """A bot that trades on the venues, and what it publishes."""
    config = load_config(None, settings(folder, symbols), env={})
    async with open_bot(config, venues.around, extras=Extras(services=False)) as bot:
        watch = Watch(bot, venues)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            tasks.start_soon(bot.run)
            with anyio.fail_after(READY):
                await bot.ready.wait()
            yield bot, watch
            tasks.cancel_scope.cancel()


@dataclass
class Live:
    """A campaign while it runs."""

    options: Options
    bot: Bot
    watch: Watch
    venues: Venues
    script: Script
    storm: Storm
    result: Result = field(default_factory=Result)


During = Callable[[Live], Awaitable[None]]


async def run(
    options: Options, folder: Path, during: During | None = None, after: During | None = None
) -> Result:
    """Run a campaign in ``folder``. With ``during`` it lasts until that returns, however many hedges that makes.

    ``after`` looks at the bot once everything is closed and judged.
    """
    exchanges = list(options.exchanges) or demo_exchanges(load_plugins())
    symbols = [each.symbol for each in (SYMBOLS[: options.symbols] if options.symbols else SYMBOLS)]
    errors, started = Errors(), time.monotonic()
    logging.getLogger().addHandler(errors)
    try:
        async with (
            run_venues(
                folder, exchanges, seed=options.seed, speed=options.speed, symbols=options.symbols
            ) as venues,
            running(venues, folder, symbols) as (bot, watch),
        ):
            if options.hourly:
                for symbol in symbols:
                    await venues.post("/funding", {"symbol": symbol, "interval_hours": 1})
            pairs = pairs_of(list(bot.state.accounts))
            script = Script(bot, symbols, pairs, options.seed, options.hedges, options.hold, options.sizes)
            storm = Storm(
                venues, bot, symbols, options.seed, options.every, options.only or None, options.every_recipe
            )
            live = Live(options, bot, watch, venues, script, storm)
            await _trade(live, during)
            traded = time.monotonic() - started
            await _end(live)
            await _judge(live)
            if after is not None:
                await after(live)
            if live.result.breaches:
                truth = await venues.get("/truth")
                (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    finally:
        logging.getLogger().removeHandler(errors)
    result = live.result
    result.breaches += [f"unexpected: {line}" for line in errors.lines]
    result.figures = {
        "seed": options.seed,
        "speed": options.speed,
        "hedges": {"-".join(pair): count for pair, count in sorted(script.hedged.items())},
        "ends": dict(script.over),
        "refused": dict(script.refused.most_common(8)),
        "spent_s": script.seconds(),
        "faults": dict(sorted(storm.fired.items())),
        "incidents": {
            exchange: dict(
                sorted((name, n) for (one, name), n in storm.struck.items() if one == exchange and n)
            )
            for exchange in exchanges
        },
        **result.figures,
        "trading_s": round(traded, 1),
        "wall_s": round(time.monotonic() - started, 1),
    }
    return result


async def _trade(live: Live, during: During | None) -> None:
    """The script under the storm, for as long as it takes or may take."""
    options, script = live.options, live.script

    async def progress() -> None:
        while True:
            await anyio.sleep(30)
            print(
                f"{script.hedged.total()} hedged, {len(live.bot.live_hedges())} live, {dict(script.over)}, "
                f"spent {script.seconds()}, {live.storm.fired.total()} faults, "
                f"{len(live.storm.never())} recipes have not struck",
                file=sys.stderr,
                flush=True,
            )

    async def until_over() -> None:
        if during is not None:
            await during(live)
            script.stopped = True

    async with anyio.create_task_group() as tasks:
        if options.every:
            tasks.start_soon(live.storm.run)
        if options.progress:
            tasks.start_soon(progress)
        tasks.start_soon(until_over)
        with anyio.move_on_after(options.minutes * 60) as limit:
            await script.run()
        tasks.cancel_scope.cancel()
    if limit.cancelled_caught:
        counts = {"-".join(pair): script.hedged[pair] for pair in script.pairs}
        what = "not over, with" if during is not None else "only"
        live.result.breaches.append(f"time: {what} {counts} hedges in {options.minutes:g} minutes")


async def _end(live: Live) -> None:
    """Faults off, every hedge closed."""
    bot, options = live.bot, live.options
    await live.venues.post("/faults", {"clear": True})
    await bot.pause()
    with anyio.move_on_after(options.ending):
        while hedges := bot.live_hedges():
            for hedge in hedges:
                if hedge.intent.mode is Mode.HOLDING:
                    try:
                        await bot.close_hedge(hedge.id)
                    except ConfigError:
                        continue
            await anyio.sleep(0.2)
    for hedge in bot.live_hedges():
        states = [f"{order.client_id} {order.state.value}" for order in hedge.orders]
        live.result.breaches.append(
            f"stuck: {hedge.symbol} {hedge.intent.mode.value} long {hedge.long.filled} short {hedge.short.filled} "
            f"{states} after {options.ending:.0f} s without faults"
        )


async def _settled(bot: Bot, within: float, agree: Callable[[], bool]) -> None:
    """Wait until every account was read once more and matches."""
    with anyio.move_on_after(within):
        while True:
            for reader in bot.readers.values():
                try:
                    await reader.collect_fills()
                    await reader.collect_payments()
                    await reader.comparison.reconcile()
                except (ExchangeError, StoreError):
                    continue
            if agree():
                return
            await anyio.sleep(0.5)


def monitored(naked: Mapping[str, Any]) -> dict[str, Any]:
    """The monitor's figures: ages of unhedged units in real seconds, excused time left out and reported beside."""
    ages = naked["oldest"]
    return {
        "episodes": len(ages),
        **{f"p{share * 100:g}_s": checks.percentile(ages, share) for share in (0.5, 0.99)},
        "max_s": max(ages, default=0.0),
        "worst_usd": naked["worst_usd"],
        "excused_s": naked["excused"],
    }


async def _judge(live: Live) -> None:
    """Read both sides once they had time to agree, and compare."""
    options, bot, venues, result = live.options, live.bot, live.venues, live.result
    breaches: list[str] = []
    with anyio.move_on_after(options.booking):
        while True:
            await _settled(
                bot, options.booking / 2, lambda: not any(a.halted for a in bot.state.accounts.values())
            )
            witness = await venues.witness()
            names = set(bot.state.accounts)
            document = await venues.get("/truth")
            document["accounts"] = {k: v for k, v in document["accounts"].items() if k in names}
            books = await checks.Books.read(bot.store)
            Names(books.names).put_into(document["accounts"])
            truth = checks.Truth.of(document, witness)
            breaches = [
                *checks.ledger_breaches(truth, books),
                *checks.funding_breaches(truth, books),
                *checks.fill_breaches(truth, books),
                *checks.order_breaches(truth, books),
                *checks.target_breaches(truth, books, live.watch.targets),
                *checks.outcome_breaches(truth, live.watch.over),
                *checks.position_breaches(truth, bot.live_hedges()),
            ]
            if not breaches:
                break
            await anyio.sleep(1.0)
    naked = checks.naked_legs(truth, venues.speed, live.storm.unreachable, bot.clock.time())
    figures = checks.naked_figures(naked)
    if figures["p99_s"] > options.within:
        breaches.append(f"naked: p99 of the time to flat or hedged is {figures['p99_s']} s")
    breaches += [f"invariant: {line}" for line in witness["invariants"]]
    breaches += [f"localnet: {line}" for line in witness["problems"]]
    breaches += [f"halted: {a.name}: {a.halted}" for a in bot.state.accounts.values() if a.halted]
    if options.every_recipe:
        breaches += [f"faults: {name} never struck {exchange}" for exchange, name in live.storm.never()]
    if options.certain:
        breaches += [f"doubt: {name}: {reason}" for name, reason in live.watch.doubted.items()]
    if not options.every:
        breaches += [
            f"alert without a fault: {alert}" for alert in live.watch.alerts if "does not match" in alert
        ]
    result.breaches += breaches
    orders = sum(len(account["orders"]) for account in document["accounts"].values())
    result.figures |= {
        "orders": orders,
        "fills": len(truth.trades),
        "payments": len(books.payments),
        "time_to_flat_or_hedged": figures,
        "oldest_unhedged": monitored(witness["naked"]),
        "longest": [
            f"{one.symbol} {one.seconds:.1f} s {one.notional:.0f} USD"
            for one in sorted(naked, key=lambda one: -one.reachable_seconds)[:5]
        ],
        "alerts": dict(live.watch.alerts.most_common(20)),
    }
