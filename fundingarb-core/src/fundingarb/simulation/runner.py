"""One seed, one run, one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import anyio

from fundingarb.builtin.risk import MarginAvailable
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.opportunity import EntryRules
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import ConfigError
from fundingarb.localnet.dialect import LocalnetDialect
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.rules import Instrument
from fundingarb.localnet.truth.types import Credentials
from fundingarb.simulation import market
from fundingarb.simulation.books import check_held, check_money
from fundingarb.simulation.exposure import Excuse
from fundingarb.simulation.harm import Harm
from fundingarb.simulation.monitor import Breach
from fundingarb.simulation.pairs import feasible
from fundingarb.simulation.schedule import Schedule, check, random_schedule
from fundingarb.simulation.script import Scripted
from fundingarb.simulation.tripwire import Tripwire
from fundingarb.simulation.virtual import LoopClock, TimeStandsStill, VirtualLoop
from fundingarb.simulation.world import Setup, World

BEGIN = datetime(2026, 1, 5, 7, 56, tzinfo=timezone.utc)
"""Four minutes before a settlement."""
EXCHANGES = ("alpha", "beta")
SYMBOLS = tuple(one.symbol for one in market.SYMBOLS)
LEVELS = 6
"""Levels of a book: enough to cross, cheap to make."""
LOTS = 10
"""Lots in a contract, where an exchange counts contracts."""
CALM = 150.0
"""Real seconds a run may take to become hedged or flat once nothing is wrong any more."""
BOOKS = 100.0
"""Real seconds until the last ledger row has to be booked."""
SILENCE = 8.0
"""Real seconds for which a bot that has nothing to do must send nothing."""


@dataclass(frozen=True, slots=True)
class HedgeReport:
    """What became of one hedge. ``worst_usd`` and ``worst_seconds`` are of what was unhedged.

    ``funding`` is without ``awaited`` settlements, of which the ledger has nothing yet, and ``missing`` ones,
    of which it has nothing although it is due.
    """

    id: UUID
    symbol: str
    status: str
    reason: str
    long: str
    short: str
    opened_at: datetime | None
    closed_at: datetime | None
    orders: int
    worst_usd: Decimal
    worst_seconds: float
    excused: dict[str, float]
    realized: Decimal
    funding: Decimal
    awaited: int
    missing: int
    met: dict[str, int]


@dataclass(slots=True)
class Result:
    """A run's verdict. ``digest`` is the hash of everything that happened; ``coverage`` counts (stage, fault)."""

    seed: int
    breaches: list[Breach] = field(default_factory=list)
    digest: str = ""
    events: int = 0
    hedges: list[HedgeReport] = field(default_factory=list)
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: list[tuple[float, str, str]] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    starts: int = 0
    simulated: float = 0.0
    worst_usd: Decimal = Decimal(0)
    worst_seconds: float = 0.0
    proof_seconds: float = 0.0
    ages: list[float] = field(default_factory=list)
    lines: list[str] | None = None


def schedule_of(seed: int) -> Schedule:
    """The campaign's schedule of a seed."""
    return random_schedule(seed, list(feasible()), EXCHANGES, SYMBOLS)


def default_setup(
    schedule: Schedule, clock: LoopClock, like: Mapping[str, LocalnetDialect] | None = None
) -> Setup:
    """Two exchanges with different habits, three symbols, and the schedule's openings.

    ``like``: what an exchange lists, its rules and fees are those of this dialect.
    """
    values = schedule.settings
    seed, start = schedule.seed, clock.start.timestamp()
    counted = bool(values.get("contracts"))
    intervals = {EXCHANGES[1]: 8} if counted else {}
    model = market.WavyModel(seed, EXCHANGES, start=start, intervals=intervals)
    truths = {}
    for number, name in enumerate(EXCHANGES):
        lots = LOTS if number and counted else None
        contracts = [market.contract(one, coarse=bool(number), lots=lots) for one in market.SYMBOLS]
        rules = market.rules(always_unique=bool(number), funding_delay=1.0 + 20.0 * number)
        if like is not None:
            contracts, rules = list(like[name].instruments(market.SYMBOLS)), like[name].rules
        truth = Exchange(name, rules, contracts, model, start=start, seed=seed, levels=LEVELS)
        balance = Decimal(str(values.get("balance", 100_000)))
        truth.add_account(name, Credentials(f"key-{name}", "secret"), balance)
        truths[name] = truth
    entry = EntryRules(horizon=timedelta(hours=2), min_net_usd=Decimal(-(10**6)))
    settings = TradingSettings(
        symbols=SYMBOLS,
        rules=entry,
        policy=ExecutionPolicy(post_only=bool(values.get("post_only"))),
        fill_timeout=timedelta(seconds=values.get("fill_timeout", 15.0)),
        settlement_guard=timedelta(seconds=5),
        tolerances={},
        default_tolerance=Decimal(-1),
        leverages={},
        default_leverage=int(values.get("leverage", 5)),
        cooldown=timedelta(seconds=30),
        retry_pause=timedelta(seconds=5),
        instance="s1mu",
    )
    return Setup(
        seed=seed,
        clock=clock,
        truths=truths,
        accounts={name: name for name in EXCHANGES},
        settings=settings,
        strategy=Scripted(schedule.openings, entry, clock.start),
        rules=(MarginAvailable(Decimal("0.9")), Tripwire()),
        lags={"alpha": (0.2, 0.1), "beta": (1.2, 0.4)},
        windows={"alpha": 4.0, "beta": 3.0},
        blocks={"alpha": values.get("block", 0.0)},
    )


SetupFactory: TypeAlias = "Callable[[Schedule, LoopClock], Setup | AbstractAsyncContextManager[Setup]]"


def simulate(
    schedule: Schedule,
    setup: SetupFactory = default_setup,
    *,
    clock: LoopClock | None = None,
    lines: bool = False,
) -> Result:
    """Run ``schedule`` on a virtual loop of its own. ``lines`` keeps everything that happened, readable."""
    backend: dict[str, Any] = {"loop_factory": VirtualLoop}
    clock = clock or LoopClock(BEGIN)
    try:
        return anyio.run(_simulate, schedule, setup, clock, lines, backend="asyncio", backend_options=backend)
    except TimeStandsStill as error:
        return Result(schedule.seed, [Breach("RUNAWAY", clock.start, str(error))])


async def _simulate(schedule: Schedule, setup: SetupFactory, clock: LoopClock, lines: bool) -> Result:
    made = setup(schedule, clock)
    if isinstance(made, Setup):
        return await _run(schedule, made, lines)
    async with made as opened:
        return await _run(schedule, opened, lines)


async def _run(schedule: Schedule, setup: Setup, lines: bool) -> Result:
    check(schedule, list(setup.truths), setup.accounts, {one.symbol for one in _listed(setup)})
    world = World(setup)
    if lines:
        world.trace.lines = []
    result = Result(schedule.seed)
    async with anyio.create_task_group() as tasks:
        harm = Harm(world, schedule.strikes, tasks)
        tasks.start_soon(world.beat)
        tasks.start_soon(world.live)
        await anyio.sleep(schedule.seconds)
        harm.stop()
        await _reckon(world, schedule)
        world.over = True
        tasks.cancel_scope.cancel()
    await _report(world, harm, result)
    await world.store.close()
    return result


def _listed(setup: Setup) -> Iterator[Instrument]:
    for truth in setup.truths.values():
        yield from truth.instruments.values()


async def _reckon(world: World, schedule: Schedule) -> None:
    """Nothing is wrong any more: everything has to end hedged or flat, the books in order, a restart in silence."""
    strategy = world.setup.strategy
    if isinstance(strategy, Scripted):
        strategy.stopped = True
    await world.ready()
    settled = await world.until(world.settled, CALM)
    bot = world.bot
    if schedule.close_at_end and bot is not None:
        bot.deeds.entries(False)
        for hedge in list(bot.live_hedges()):
            try:
                bot.deeds.close(hedge.id)
            except ConfigError:
                continue
        settled &= await world.until(
            lambda: world.settled() and not (world.bot and world.bot.live_hedges()), CALM
        )
    if not settled:
        told = ", ".join(
            f"{hedge.symbol} {hedge.intent.mode.value}" for hedge in world.hedges() if hedge.live
        )
        text = f"{CALM:.0f} s after everything was right again there is still something under way: {told}"
        world.monitor.breaches.append(Breach("END", world.clock.now(), text))
    await _books(world)
    if schedule.restart_at_end:
        await _restart_in_silence(world)
    now = world.clock.now()
    truths = world.setup.truths
    if world.monitor.killed_at is not None and world.monitor.flat_at is None:
        world.monitor.breaches.append(Breach("I7", now, "long after the kill not everything is flat"))
    world.monitor.breaches += check_held(truths, world.hedges(), now, world.monitor.beside)
    for name in world.monitor.rules.missing_rows():
        world.monitor.breaches.append(
            Breach("I2", now, f"{name} was sent while the database was down and never got into it")
        )


async def _books(world: World) -> None:
    """Wait for the ledgers to be booked, to the last row; what is missing then is a breach."""
    end = world.clock.monotonic() + BOOKS
    found: list[Breach] = []
    while world.clock.monotonic() < end:
        for exchange in world.exchanges.values():
            exchange.sync()
        fills, payments = await world.store.fills(), await world.store.payments()
        found = check_money(world.setup.truths, fills, payments, world.clock.now())
        if not found:
            return
        await anyio.sleep(3.0)
    world.monitor.breaches += found


async def _restart_in_silence(world: World) -> None:
    """I5: what starts with nothing to do sends nothing."""
    strategy = world.setup.strategy
    if isinstance(strategy, Scripted):
        strategy.asleep = True
    world.monitor.silence("although there was nothing to do")
    await world.crash(0.5)
    await world.ready()
    await anyio.sleep(SILENCE)
    world.monitor.silence(None)


async def _report(world: World, harm: Harm, result: Result) -> None:
    monitor = world.monitor
    result.breaches = list(monitor.breaches)
    result.digest, result.events = world.trace.digest, world.trace.count
    result.coverage, result.starts = harm.coverage.hits, world.starts
    result.waiting = [(strike.kind, strike.stage or "") for strike in harm.waiting]
    result.struck = [(round(at, 3), strike.kind, strike.stage or "") for strike, at in harm.struck]
    result.simulated = world.clock.monotonic() * world.clock.speed
    result.lines = world.trace.lines
    for episode in monitor.episodes:
        result.ages.append(episode.oldest)
        result.worst_usd = max(result.worst_usd, episode.worst_usd)
        result.worst_seconds = max(result.worst_seconds, episode.oldest)
        result.proof_seconds = max(result.proof_seconds, episode.excused.get(Excuse.PROOF, 0.0))
    for hedge in await world.store.hedges():
        result.hedges.append(await _hedge_report(world, harm, hedge))
    result.hedges.reverse()


async def _hedge_report(world: World, harm: Harm, hedge: Hedge) -> HedgeReport:
    pnl = hedge_pnl(
        hedge,
        await world.store.fills(hedge.id),
        await world.store.payments(hedge.id),
        await world.store.settlements(hedge.id),
    )
    mine = [one for one in world.monitor.episodes if one.hedge_id == hedge.id]
    excused: dict[str, float] = {}
    for episode in mine:
        for excuse, seconds in episode.excused.items():
            excused[excuse.value] = round(excused.get(excuse.value, 0.0) + seconds, 3)
    intent = hedge.intent
    return HedgeReport(
        id=hedge.id,
        symbol=hedge.symbol,
        status=hedge.status.value,
        reason=intent.close_reason.value if intent.close_reason else "",
        long=intent.long.account,
        short=intent.short.account,
        opened_at=intent.opened_at,
        closed_at=intent.closed_at,
        orders=len(hedge.orders),
        worst_usd=max((one.worst_usd for one in mine), default=Decimal(0)),
        worst_seconds=max((one.oldest for one in mine), default=0.0),
        excused=excused,
        realized=pnl.realized,
        funding=pnl.funding,
        awaited=pnl.awaited,
        missing=pnl.missing,
        met=dict(harm.coverage.met.get(hedge.id, {})),
    )
