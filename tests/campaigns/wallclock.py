"""``python -m tests.campaigns.wallclock --minutes 60``: a soak in wall-clock time through the production adapters.

Trades on all four exchanges with faults on for as long as it is told to, every pair of them in turn; from half an hour
on every fault recipe has to have struck every exchange. The end is judged like a campaign's: the ledger equals the
exchanges' exactly. Memory, tasks and file descriptors of the bot's process are measured: after a warm-up (a third of
the time) memory may grow by less than 5 %, and at the end, with nothing open, there must be no more tasks and
descriptors than before the first trade.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from tests.campaigns import footprint
from tests.campaigns.campaign import conclude, in_folder
from tests.campaigns.wire.run import Live, Options

GROWTH = 0.05
#: Real seconds after which idle connections have been closed: what is left then is a leak.
IDLE = 30.0
#: Connections to each exchange that may be open or not at the moment of counting, and tasks that serve them.
SLACK = 4


@dataclass(frozen=True)
class Sample:
    """One look at this process: resident bytes, asyncio tasks, open descriptors."""

    at: float
    rss: int
    tasks: int
    descriptors: int


def sample() -> Sample:
    """Linux only: ``/proc`` says what there is."""
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Sample(time.monotonic(), rss, len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")))


@dataclass
class Meter:
    """Samples taken every ``every`` real seconds."""

    every: float = 5.0
    samples: list[Sample] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            self.samples.append(sample())
            await anyio.sleep(self.every)

    def growth(self) -> tuple[float, int, int]:
        """(share, before, after): the median memory right after the warm-up against that of the end."""
        rest = [one.rss for one in self.samples[len(self.samples) // 3 :]]
        part = max(1, len(rest) // 5)
        before, after = int(statistics.median(rest[:part])), int(statistics.median(rest[-part:]))
        return after / before - 1, before, after


def objects(live: Live) -> Counter[str]:
    """Bytes by type of all that the bot refers to: what grows there is kept by the program, not by an allocator."""
    return footprint.weigh([live.bot], footprint.WORLD)


async def quiet() -> Sample:
    """What there is once idle connections are closed."""
    await anyio.sleep(IDLE)
    gc.collect()
    return sample()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to trade, in real minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=2.0, help="real seconds between faults")
    parser.add_argument("--symbols", type=int, default=12)
    parser.add_argument("--exchanges", default="binance,bybit,okx,dydx", help="with commas")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args(arguments)
    options = Options(
        seed=given.seed, speed=given.speed, every=given.every, symbols=given.symbols, hold=(0.0, 20.0),
        minutes=given.minutes + 10, hedges=10**9, progress=True,
        exchanges=tuple(given.exchanges.split(",")), every_recipe=given.every > 0 and given.minutes >= 30,
    )  # fmt: skip
    meter = Meter()

    held: list[Counter[str]] = []

    async def during(live: Live) -> None:
        with anyio.move_on_after(given.minutes * 20):
            await meter.run()
        held.append(objects(live))
        with anyio.move_on_after(given.minutes * 40):
            await meter.run()
        held.append(objects(live))

    async def after(live: Live) -> None:
        start, end = meter.samples[0], await quiet()
        slack = SLACK * len(options.exchanges)
        growth, before, late = meter.growth()
        breaches = live.result.breaches
        if growth >= GROWTH:
            breaches.append(f"memory: grew by {growth:.1%} after the warm-up")
        if end.tasks > start.tasks + slack:
            breaches.append(f"tasks: {start.tasks} before the first trade, {end.tasks} after the last")
        if end.descriptors > start.descriptors + slack:
            breaches.append(
                f"descriptors: {start.descriptors} before the first trade, {end.descriptors} after the last"
            )
        live.result.figures |= {
            "minutes": given.minutes,
            "rss_mb": {"warm": round(before / 2**20, 1), "end": round(late / 2**20, 1)},
            "rss_growth": round(growth, 4),
            "objects_mb": [round(each.total() / 2**20, 2) for each in held],
            "objects_grown_kb": {
                name: size // 1024 for name, size in (held[-1] - held[0]).most_common(6) if size >= 1024
            },
            "tasks": {"start": start.tasks, "end": end.tasks},
            "descriptors": {"start": start.descriptors, "end": end.descriptors},
        }

    sys.exit(conclude("wall-clock soak", in_folder(options, given.folder, during, after)))


if __name__ == "__main__":
    main()
