"""The simulated soak: ninety days, twenty symbols, a fault an hour; the books stay exact and the program does not grow.

    python -m tests.campaigns.soak [--days 90] [--symbols 20] [--speed 480] [--seed 0]

Time runs ``--speed`` times faster than the bot's own patience, as on a localnet at that speed. Growth is that of what
the program itself holds (``footprint``): the exchanges' ledgers and the monitor's notes grow with every trade, have to,
and are reported beside it. The last line is one JSON object of figures.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from tests.campaigns import footprint

from fundingarb.builtin.risk import MarginAvailable
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.opportunity import EntryRules
from fundingarb.engine.view import TradingSettings
from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials
from fundingarb.simulation import market
from fundingarb.simulation.books import check_held, check_money
from fundingarb.simulation.harm import Harm
from fundingarb.simulation.runner import BEGIN, EXCHANGES, LEVELS
from fundingarb.simulation.schedule import Opening, Strike
from fundingarb.simulation.script import Scripted
from fundingarb.simulation.stages import Stage
from fundingarb.simulation.store import SimStore
from fundingarb.simulation.virtual import LoopClock, VirtualLoop
from fundingarb.simulation.world import Setup, World

DAY = 86_400.0
PARTS = 20
"""Samples of a run."""
KINDS = (
    "latency", "lost_reply", "lost_request", "http_error", "unknown_error", "rate_limited", "reject", "partial_fill",
    "late_accept", "frame_lost", "frame_duplicate", "stream_disconnect", "outage", "crash", "db_before", "db_after",
    "adl", "liquidation", "by_hand",
)  # fmt: skip
HOUR = 3600.0
STAGES = (Stage.A_INTENT, Stage.A_OPEN, Stage.B_INTENT, Stage.CLOSE_INTENT, Stage.CLOSE_ONE)
TAKES = ("adl", "liquidation", "by_hand")
"""Faults that take away what is held."""
GROWTH = 0.05


def resident() -> int:
    """Bytes this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def symbols(count: int) -> list[ModelSymbol]:
    """Made-up markets of very different prices."""
    return [
        ModelSymbol(f"S{n:02}-USDT", f"S{n:02}", "USDT", 3.7 * 10 ** (n % 6 - 2), major=n < 2)
        for n in range(count)
    ]


def openings(rng: random.Random, names: list[str], days: float) -> list[Opening]:
    """Every symbol is opened about every other day, for some hours."""
    found = []
    for name in names:
        at = rng.uniform(0, DAY)
        while at < (days - 1) * DAY:
            long, short = rng.sample(EXCHANGES, 2)
            hold = rng.uniform(2, 20) * 3600
            found.append(Opening(at, name, long, short, rng.choice((500.0, 2_000.0)), hold))
            at += hold + rng.uniform(0.5, 2) * DAY
    return sorted(found, key=lambda one: one.at)


def strike(rng: random.Random, kinds: Sequence[str]) -> Strike:
    """A fault of a kind, with figures that suit it."""
    return Strike(
        kind=(kind := rng.choice(kinds)),
        leg="held" if kind in TAKES else rng.choice(("first", "second")),
        operation="order.place" if kind in ("partial_fill", "late_accept") else rng.choice(("*", "order.*")),
        lasts=rng.choice((2.0, 10.0)),
        seconds=rng.uniform(0.3, 3.0),
        count=rng.choice((1, 3)),
    )


def aimed(rng: random.Random, planned: Sequence[Opening], speed: float) -> list[Strike]:
    """One for every other hedge, while its orders are on their way."""
    kinds = [kind for kind in KINDS if kind not in TAKES]
    return [
        replace(strike(rng, kinds), stage=rng.choice(STAGES).value, symbol=one.symbol, at=one.at / speed)
        for one in planned
        if rng.random() < 0.5
    ]


async def strike_hourly(world: World, harm: Harm, rng: random.Random) -> None:
    """One an hour (simulated) on one of the hedges that are open then."""
    while not harm.stopped:
        await anyio.sleep(rng.expovariate(1.0) * HOUR / world.clock.speed)
        held = [] if world.bot is None else list(world.bot.live_hedges())
        if held and not harm.stopped:
            harm.strike(strike(rng, KINDS), rng.choice(held))


def make(asked: argparse.Namespace, clock: LoopClock, database: str) -> tuple[Setup, list[Opening]]:
    listed = symbols(asked.symbols)
    names = [one.symbol for one in listed]
    start = clock.start.timestamp()
    rng = random.Random(f"soak/{asked.seed}")
    model = market.WavyModel(asked.seed, EXCHANGES, listed, start=start, interval_hours=8, grid=60.0)
    truths = {}
    for number, name in enumerate(EXCHANGES):
        contracts = [market.contract(one, coarse=bool(number)) for one in listed]
        rules = market.rules(always_unique=bool(number), funding_delay=30.0 + 600.0 * number)
        truth = Exchange(name, rules, contracts, model, start=start, seed=asked.seed, levels=LEVELS)
        truth.add_account(name, Credentials(f"key-{name}", "secret"), Decimal(1_000_000))
        truths[name] = truth
    entry = EntryRules(horizon=timedelta(hours=24), min_net_usd=Decimal(-(10**6)))
    settings = TradingSettings(
        symbols=names,
        rules=entry,
        policy=ExecutionPolicy(),
        fill_timeout=timedelta(seconds=30 * asked.speed),
        settlement_guard=timedelta(seconds=60),
        tolerances={},
        default_tolerance=Decimal(-1),
        leverages={},
        instance="s0ak",
    )
    planned = openings(rng, names, asked.days)
    setup = Setup(
        seed=asked.seed,
        clock=clock,
        truths=truths,
        accounts={name: name for name in EXCHANGES},
        settings=settings,
        strategy=Scripted(planned, entry, clock.start, patience=120 * asked.speed),
        rules=(MarginAvailable(Decimal("0.9")),),
        store=lambda clock, instance: SimStore(clock, instance, database),
    )
    return setup, planned


@dataclass(frozen=True, slots=True)
class Sample:
    """The process, or the program in it, at one moment. Sizes in bytes."""

    program: int
    world: int
    resident: int
    tasks: int
    descriptors: int


def sample(world: World) -> Sample:
    gc.collect()
    own = footprint.program(world).total()
    around = footprint.surroundings(world)
    return Sample(own, around, resident(), len(anyio.get_running_tasks()), descriptors())


async def soak(asked: argparse.Namespace, database: str) -> dict[str, Any]:
    clock = LoopClock(BEGIN, asked.speed)
    setup, planned = make(asked, clock, database)
    world = World(setup)
    seconds = asked.days * DAY / asked.speed
    rng = random.Random(f"harm/{asked.seed}")
    samples: list[Sample] = []
    async with anyio.create_task_group() as tasks:
        harm = Harm(world, aimed(rng, planned, asked.speed), tasks)
        tasks.start_soon(world.beat)
        tasks.start_soon(world.live)
        tasks.start_soon(strike_hourly, world, harm, rng)
        for part in range(PARTS):
            await anyio.sleep(seconds / PARTS)
            await world.ready()
            samples.append(sample(world))
            print(f"day {asked.days * (part + 1) / PARTS:5.1f}: {samples[-1]}", file=sys.stderr, flush=True)
        harm.stop()
        await world.ready()
        await world.until(world.settled, 300)
        breaches = await _reckon(world)
        world.over = True
        tasks.cancel_scope.cancel()
    return {**_figures(asked, world, harm, breaches), **_growth(samples)} | {
        "hedges": len(await world.store.hedges(limit=1_000_000))
    }


def _figures(asked: argparse.Namespace, world: World, harm: Harm, breaches: list[Any]) -> dict[str, Any]:
    kinds = Counter(strike.kind for strike, _at in harm.struck)
    ages = [episode.oldest for episode in world.monitor.episodes]
    truths = world.setup.truths.values()
    return {
        "campaign": "soak",
        "days": asked.days,
        "symbols": asked.symbols,
        "fills": sum(len(truth.fills(account)) for truth in truths for account in truth.accounts),
        "payments": sum(
            len(truth.funding_payments(account)) for truth in truths for account in truth.accounts
        ),
        "faults": sum(kinds.values()),
        "faults_per_hour": round(sum(kinds.values()) / asked.days / 24, 2),
        "hits": harm.coverage.hits.total(),
        "starts": world.starts,
        "breaches": [str(breach) for breach in breaches[:5]],
        "ledger_equal": not any(breach.invariant in ("LEDGER", "I6") for breach in breaches),
        "unhedged_seconds_max": round(max(ages, default=0.0), 2),
    }


def _growth(samples: list[Sample]) -> dict[str, Any]:
    """How much more the program held in the last quarter than in the one after it was warm, each at its median."""
    warm, last = samples[PARTS // 4 : PARTS // 2], samples[-PARTS // 4 :]
    before, after = (statistics.median(one.program for one in part) for part in (warm, last))
    spread = samples[:: PARTS // 5]
    return {
        "program_bytes": [one.program for one in spread],
        "program_growth": round(after / before - 1, 4),
        "world_bytes": [one.world for one in spread],
        "resident_bytes": [one.resident for one in spread],
        "tasks": [one.tasks for one in spread],
        "descriptors": [one.descriptors for one in spread],
    }


async def _reckon(world: World) -> list[Any]:
    """The breaches so far, and those of the books and of what is held."""
    found: list[Any] = []
    for _ in range(100):
        fills, payments = await world.store.fills(), await world.store.payments()
        found = check_money(world.setup.truths, fills, payments, world.clock.now())
        if not found:
            break
        await anyio.sleep(3.0)
    return [
        *world.monitor.breaches,
        *found,
        *check_held(world.setup.truths, world.hedges(), world.clock.now()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=90.0)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--speed", type=float, default=480.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    begun = time.monotonic()
    backend = {"loop_factory": VirtualLoop}
    with tempfile.TemporaryDirectory(prefix="fundingarb-soak-") as folder:
        url = f"sqlite:///{folder}/soak.db"
        figures = anyio.run(soak, asked, url, backend="asyncio", backend_options=backend)
    figures["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(figures))
    leaks = max(figures["tasks"][-2:]) > max(figures["tasks"][:3]) * 1.5 or figures["descriptors"][-1] > (
        figures["descriptors"][0] + 2
    )
    return 1 if figures["breaches"] or figures["program_growth"] > GROWTH or leaks else 0


if __name__ == "__main__":
    sys.exit(main())
