"""``python -m tests.campaigns.storm``: every stream cut a thousand times while the bot trades.

Each connection (rates, books, account events of every exchange) is cut once it has been up for a moment, again and
again, until the bot has seen it end so often; meanwhile streams stall, frames are lost, doubled, swapped, cut in half
and wrong, and REST fails and is slow. At the end every fill has to be accounted for; the p99 of the time to flat or
hedged is at most 30 s while the exchange is reachable; reconnections must be spread (jitter) and stay within what the
exchanges allow.

The waits between two attempts (first 0.25 s, then doubling; a connection that lasted 5 s starts the count again) are
divided by ``--pace``, or a thousand cuts of each stream would take an hour and a half; so is the time in which attempts
are counted, but for OKX, whose adapter keeps to OKX's limit by the clock. ``--pace 1`` is the real thing.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import sys
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
from tests.campaigns.campaign import conclude, in_folder
from tests.campaigns.wire.run import Live, Options

import fundingarb.exchanges.stream
from fundingarb.exchanges.stream import Backoff, Subscription, run_stream

KINDS = ("rates", "books", "account")
"""Streams of every exchange."""
ALLOWED: Mapping[str, tuple[int, float]] = {"binance": (300, 300.0), "bybit": (500, 300.0), "okx": (3, 1.0)}
"""Connections that an address may open, in how many seconds. dYdX's indexer documents no such limit."""
CUTS_PER_HEDGE = 200
"""Every pair has to be hedged once at least in so many cuts, or nothing was traded meanwhile."""
COUNTING = ("okx",)
"""Exchanges whose adapter itself counts its connections, in real seconds at any pace."""
RECIPES = (
    "frames_twice", "frames_out_of_order", "frames_malformed", "frames_lost", "account_frames_lost", "frames_wrong",
    "stall", "reads_fail", "reads_lost", "reads_slow", "slow", "lost_reply", "latency",
)  # fmt: skip


@dataclass
class Attempts:
    """When each stream ended (or could not be opened), and when it was tried again: real, monotonic seconds."""

    ended: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tried: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When the address was known and a connection was asked for."""

    def ends(self, stream: str) -> int:
        """How often ``binance.books`` and the like ended; of several connections, the one that did least often."""
        return min((len(self.ended[name]) for name in self.tried if name.startswith(stream)), default=0)

    def delays(self) -> list[float]:
        """Every wait between the end of a connection and the next attempt."""
        found = []
        for stream, ends in self.ended.items():
            tried = self.tried[stream]
            for end in ends:
                place = bisect_right(tried, end)
                if place < len(tried):
                    found.append(tried[place] - end)
        return found

    def most(self, exchange: str, seconds: float) -> int:
        """The most attempts of an exchange's streams within any ``seconds``."""
        times = sorted(
            at for stream, opened in self.opened.items() if stream.startswith(f"{exchange}.") for at in opened
        )
        return max(
            (number + 1 - bisect_left(times, at - seconds) for number, at in enumerate(times)), default=0
        )


class Watched:
    """A sink that notes ends of connections and passes everything on."""

    def __init__(self, sink: Any, attempts: Attempts) -> None:
        self._sink, self._attempts = sink, attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def disconnected(self, stream: str, reason: str) -> None:
        self._attempts.ended[stream].append(time.monotonic())
        self._sink.disconnected(stream, reason)


@contextmanager
def paced(pace: float, attempts: Attempts, exchanges: Sequence[str]) -> Iterator[None]:
    """Every stream's waits divided by ``pace``, its attempts noted."""
    usual = Backoff()
    backoff = Backoff(usual.first / pace, usual.longest / pace, usual.settled / pace)

    async def run(session: Any, subscription: Subscription, sink: Any) -> None:
        async def url() -> str:
            attempts.tried[subscription.name].append(time.monotonic())
            address = await subscription.url()
            attempts.opened[subscription.name].append(time.monotonic())
            return address

        await run_stream(session, replace(subscription, url=url, backoff=backoff), Watched(sink, attempts))

    feeds = [importlib.import_module(f"fundingarb_{exchange}.feeds") for exchange in exchanges]
    with ExitStack() as stack:
        for module in (fundingarb.exchanges.stream, *feeds):
            stack.enter_context(patch.object(module, "run_stream", run))
        yield


@dataclass
class Cutter:
    """Cuts every stream, each ``settled`` real seconds after it came up, until it ended ``wanted`` times by that."""

    live: Live
    attempts: Attempts
    wanted: int
    settled: float
    cuts: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Until every stream was cut often enough."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._progress)
            async with anyio.create_task_group() as cutting:
                for stream in streams(self.live):
                    self.cuts[stream] = 0
                    cutting.start_soon(self._cut, stream)
            tasks.cancel_scope.cancel()

    async def _progress(self) -> None:
        while True:
            await anyio.sleep(30)
            print(self.cuts, file=sys.stderr, flush=True)

    async def _cut(self, stream: str) -> None:
        rng = random.Random(f"cuts/{self.live.options.seed}/{stream}")
        while min(self.cuts[stream], self.attempts.ends(stream)) < self.wanted:
            if not self._up(stream):
                await anyio.sleep(0.01)
                continue
            await anyio.sleep(self.settled * rng.uniform(1.0, 1.1))
            self.cuts[stream] += await self.live.venues.drop(stream) > 0
            await anyio.sleep(0.02)

    def _up(self, stream: str) -> bool:
        return any(up for name, up in self.live.bot.markets.streams.items() if name.startswith(stream))


def streams(live: Live) -> list[str]:
    """``binance.rates`` and so on, for every exchange."""
    return [f"{exchange}.{kind}" for exchange in live.venues.exchanges for kind in KINDS]


def judge(live: Live, attempts: Attempts, pace: float, wanted: int, cuts: Mapping[str, int]) -> None:
    """Every stream was cut often enough, every pair traded meanwhile; reconnections are spread and not too many."""
    delays, breaches = attempts.delays(), live.result.breaches
    first = Backoff().first / pace
    prompt = [delay for delay in delays if delay < 2 * first]
    spread = statistics.pstdev(prompt) / first if len(prompt) > 1 else 0.0
    for stream in streams(live):
        if min(cuts.get(stream, 0), attempts.ends(stream)) < wanted:
            breaches.append(
                f"cuts: {stream} was cut {cuts.get(stream, 0)} times and ended {attempts.ends(stream)} times; "
                f"{wanted} are wanted"
            )
    for pair in live.script.pairs:
        if live.script.hedged[pair] < wanted // CUTS_PER_HEDGE:
            breaches.append(f"trading: only {live.script.hedged[pair]} hedges of {'-'.join(pair)} meanwhile")
    if delays and min(delays) < first / 2:
        breaches.append(f"reconnect: after {min(delays):.3f} s; at least {first / 2:.3f} s are to pass")
    if spread < 0.1:
        breaches.append(f"reconnect: no jitter, the waits differ by {spread:.3f} of the first only")
    most = {}
    for name in live.venues.exchanges:
        allowed, seconds = ALLOWED.get(name, (None, 300.0))
        seconds = seconds if name in COUNTING else seconds / pace
        most[name] = {"in_s": seconds, "attempts": attempts.most(name, seconds)}
        if allowed is not None and most[name]["attempts"] > allowed:
            breaches.append(f"reconnect: {most[name]} on {name}; {allowed} are allowed")
    live.result.figures |= {
        "cuts": dict(cuts),
        "ends": {stream: attempts.ends(stream) for stream in streams(live)},
        "reconnect_wait_s": {
            "min": round(min(delays, default=0.0), 3),
            "median": round(statistics.median(delays) if delays else 0.0, 3),
            "max": round(max(delays, default=0.0), 3),
        },
        "most_attempts": most,
        "pace": pace,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="of every stream")
    parser.add_argument("--pace", type=float, default=10.0, help="waits between attempts are divided by this")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=1.0, help="real seconds between faults; 0: only cuts")
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--exchanges", default="binance,bybit,okx,dydx", help="with commas")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args(arguments)
    options = Options(
        seed=given.seed, speed=given.speed, every=given.every, only=RECIPES, symbols=given.symbols,
        minutes=given.minutes, hedges=10**9, progress=True, exchanges=tuple(given.exchanges.split(",")),
        every_recipe=given.every > 0 and given.cuts >= 500,
    )  # fmt: skip
    attempts = Attempts()

    async def during(live: Live) -> None:
        cutter = Cutter(live, attempts, given.cuts, Backoff().settled / given.pace)
        await cutter.run()
        judge(live, attempts, given.pace, given.cuts, cutter.cuts)

    with paced(given.pace, attempts, options.exchanges):
        result = in_folder(options, given.folder, during)
    sys.exit(conclude("storm", result))


if __name__ == "__main__":
    main()
