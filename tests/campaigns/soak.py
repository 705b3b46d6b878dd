"""The simulated soak: ninety days, twenty symbols, faults all the time; the books stay exact and nothing grows.

    python -m tests.campaigns.soak [--days 90] [--symbols 20] [--speed 480] [--seed 0]

Time runs ``--speed`` times faster than the bot's own patience, as on a localnet at that speed. The last line is one
JSON object of figures.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter, deque
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio

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
from fundingarb.simulation.store import SimStore
from fundingarb.simulation.virtual import LoopClock, VirtualLoop
from fundingarb.simulation.world import Setup, World

DAY = 86_400.0
WARM = 0.2
"""Part of the run after which memory is first measured: caches, the day's tombstones and the interpreter's own."""
KINDS = (
    "latency", "lost_reply", "lost_request", "http_error", "unknown_error", "rate_limited", "reject", "partial_fill",
    "late_accept", "frame_lost", "frame_duplicate", "stream_disconnect", "outage", "crash", "db_before", "adl",
)  # fmt: skip
GROWTH = 0.05


def resident() -> int:
    """Bytes this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def deep_size(found: object, seen: set[int]) -> int:
    """Bytes of an object and of everything it refers to, as far as it has not been seen."""
    if id(found) in seen or isinstance(found, type):
        return 0
    seen.add(id(found))
    size = sys.getsizeof(found)
    if isinstance(found, dict):
        inner: Any = [*found.keys(), *found.values()]
    elif isinstance(found, (list, tuple, set, frozenset, deque)):
        inner = found
    else:
        names = [name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [*(getattr(found, name, None) for name in names), getattr(found, "__dict__", None)]
    return size + sum(deep_size(one, seen) for one in inner)


def bystanders(world: World) -> int:
    """Bytes of what only this test keeps, and must: the exchanges' own books and the monitor's notes of them."""
    seen: set[int] = set()
    books = [truth._core.accounts[name] for truth in world.setup.truths.values() for name in truth.accounts]
    settled = [track.settled for truth in world.setup.truths.values() for track in truth._tracks.values()]
    recent = [
        market.recent for truth in world.setup.truths.values() for market in truth._core.markets.values()
    ]
    notes = [
        world.monitor.rules.hedges, world.monitor.rules._seen, world.monitor.rules._row, world.monitor.exposures,
        world.monitor.critical, world.registry.orders, world.registry.intents, world.stages,
        *(one.sent for one in world.exchanges.values()),
    ]  # fmt: skip
    return sum(deep_size(one, seen) for one in (*books, *settled, *recent, *notes))


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


def strikes(rng: random.Random, seconds: float) -> list[Strike]:
    """About one fault every four hundred real seconds, on whoever is in reach."""
    count = max(20, round(seconds / 400))
    return [
        Strike(
            kind=(kind := rng.choice(KINDS)),
            at=rng.uniform(0, seconds),
            stage=rng.choice((None, "HEDGED")) if kind != "adl" else "HEDGED",
            exchange=None if kind == "adl" else rng.choice(EXCHANGES),
            operation="order.place"
            if kind in ("partial_fill", "late_accept")
            else rng.choice(("*", "order.*")),
            lasts=rng.choice((2.0, 10.0)),
            seconds=rng.uniform(0.3, 3.0),
            count=rng.choice((1, 3)),
        )
        for _ in range(count)
    ]


def make(asked: argparse.Namespace, clock: LoopClock, database: str) -> Setup:
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
    return Setup(
        seed=asked.seed,
        clock=clock,
        truths=truths,
        accounts={name: name for name in EXCHANGES},
        settings=settings,
        strategy=Scripted(openings(rng, names, asked.days), entry, clock.start, patience=120 * asked.speed),
        rules=(MarginAvailable(Decimal("0.9")),),
        store=lambda clock, instance: SimStore(clock, instance, database),
    )


async def soak(asked: argparse.Namespace, database: str) -> dict[str, Any]:
    clock = LoopClock(BEGIN, asked.speed)
    world = World(make(asked, clock, database))
    seconds = asked.days * DAY / asked.speed
    samples: list[tuple[int, int, int]] = []
    async with anyio.create_task_group() as tasks:
        harm = Harm(world, strikes(random.Random(f"harm/{asked.seed}"), seconds * 0.97), tasks)
        tasks.start_soon(world.beat)
        tasks.start_soon(world.live)
        for part in range(20):
            await anyio.sleep(seconds / 20)
            gc.collect()
            samples.append((resident() - bystanders(world), len(anyio.get_running_tasks()), descriptors()))
            print(f"day {asked.days * (part + 1) / 20:5.1f}: {samples[-1]}", file=sys.stderr, flush=True)
        harm.stop()
        await world.ready()
        await world.until(world.settled, 300)
        breaches = await _reckon(world)
        world.over = True
        tasks.cancel_scope.cancel()
    warm = samples[int(len(samples) * WARM)]
    growth = max(0.0, max(one[0] for one in samples[-3:]) / warm[0] - 1)
    kinds = Counter(strike.kind for strike, _at in harm.struck)
    hedges = await world.store.hedges(limit=1_000_000)
    ages = [episode.oldest for episode in world.monitor.episodes]
    return {
        "campaign": "soak",
        "days": asked.days,
        "symbols": asked.symbols,
        "hedges": len(hedges),
        "fills": sum(len(t.fills(a)) for t in world.setup.truths.values() for a in t.accounts),
        "payments": sum(len(t.funding_payments(a)) for t in world.setup.truths.values() for a in t.accounts),
        "faults": sum(kinds.values()),
        "starts": world.starts,
        "breaches": [str(breach) for breach in breaches[:5]],
        "ledger_equal": not any(breach.invariant in ("LEDGER", "I6") for breach in breaches),
        "unhedged_seconds_max": round(max(ages, default=0.0), 2),
        "memory_bytes": resident(),
        "bystanders_bytes": bystanders(world),
        "memory_growth": round(growth, 4),
        "tasks": [one[1] for one in samples[:: max(1, len(samples) // 5)]],
        "descriptors": [one[2] for one in samples[:: max(1, len(samples) // 5)]],
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
    return 1 if figures["breaches"] or figures["memory_growth"] > GROWTH or leaks else 0


if __name__ == "__main__":
    sys.exit(main())
