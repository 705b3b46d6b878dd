"""``python -m tests.campaigns.storm``: every stream cut a thousand times while the bot trades.

Each connection (rates, books, account events of every exchange) is cut once it has been up for a moment, again and
again; meanwhile streams stall, frames are lost, doubled, swapped, cut in half and wrong, and REST fails and is slow. At
the end every fill has to be accounted for; the p99 of the time to flat or hedged is at most 30 s while the exchange is
reachable; reconnections must be spread (jitter) and stay within what the exchanges allow.

The waits between two attempts (first 0.25 s, then doubling; a connection that lasted 5 s starts the count again) are
divided by ``--pace``, or a thousand cuts of each stream would take an hour and a half; so is the time in which attempts
are counted. ``--pace 1`` is the real thing.
"""

from __future__ import annotations

import argparse
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
import fundingarb_binance.feeds
import fundingarb_bybit.feeds
from fundingarb.exchanges.stream import Backoff, Subscription, run_stream

FEEDS = (fundingarb.exchanges.stream, fundingarb_binance.feeds, fundingarb_bybit.feeds)
"""Modules that start streams."""
ALLOWED, PER_SECONDS = 300, 300.0
"""Connections that an address may open in so many seconds: Binance's figure, the lower one (Bybit allows 500)."""
RECIPES = (
    "frames_twice", "frames_out_of_order", "frames_malformed", "frames_lost", "account_frames_lost", "frames_wrong",
    "stall", "reads_fail", "reads_lost", "reads_slow", "slow", "lost_reply", "latency",
)  # fmt: skip


@dataclass
class Attempts:
    """When each stream ended (or could not be opened), and when it was tried again: real, monotonic seconds."""

    ended: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tried: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

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
            at for stream, tried in self.tried.items() if stream.startswith(f"{exchange}.") for at in tried
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
def paced(pace: float, attempts: Attempts) -> Iterator[None]:
    """Every stream's waits divided by ``pace``, its attempts noted."""
    usual = Backoff()
    backoff = Backoff(usual.first / pace, usual.longest / pace, usual.settled / pace)

    async def run(session: Any, subscription: Subscription, sink: Any) -> None:
        async def url() -> str:
            attempts.tried[subscription.name].append(time.monotonic())
            return await subscription.url()

        await run_stream(session, replace(subscription, url=url, backoff=backoff), Watched(sink, attempts))

    with ExitStack() as stack:
        for module in FEEDS:
            stack.enter_context(patch.object(module, "run_stream", run))
        yield


@dataclass
class Cutter:
    """Cuts every stream ``wanted`` times, each ``settled`` real seconds after it came up."""

    live: Live
    wanted: int
    settled: float
    cuts: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Until every stream was cut often enough."""
        kinds = [
            f"{name}.{kind}" for name in self.live.venues.exchanges for kind in ("rates", "books", "account")
        ]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._progress, tasks.cancel_scope)
            async with anyio.create_task_group() as cutting:
                for stream in kinds:
                    self.cuts[stream] = 0
                    cutting.start_soon(self._cut, stream)
            tasks.cancel_scope.cancel()

    async def _progress(self, _scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(30)
            print(self.cuts, file=sys.stderr, flush=True)

    async def _cut(self, stream: str) -> None:
        rng = random.Random(f"cuts/{self.live.options.seed}/{stream}")
        while self.cuts[stream] < self.wanted:
            if not self._up(stream):
                await anyio.sleep(0.01)
                continue
            await anyio.sleep(self.settled * rng.uniform(1.0, 1.1))
            self.cuts[stream] += await self.live.venues.drop(stream)
            await anyio.sleep(0.02)

    def _up(self, stream: str) -> bool:
        return any(up for name, up in self.live.bot.markets.streams.items() if name.startswith(stream))


def judge(live: Live, attempts: Attempts, pace: float, cuts: Mapping[str, int]) -> None:
    """The reconnections: spread, and within what is allowed."""
    delays, breaches = attempts.delays(), live.result.breaches
    first = Backoff().first / pace
    prompt = [delay for delay in delays if delay < 2 * first]
    spread = statistics.pstdev(prompt) / first if len(prompt) > 1 else 0.0
    if delays and min(delays) < first / 2:
        breaches.append(f"reconnect: after {min(delays):.3f} s; at least {first / 2:.3f} s are to pass")
    if spread < 0.1:
        breaches.append(f"reconnect: no jitter, the waits differ by {spread:.3f} of the first only")
    most = {name: attempts.most(name, PER_SECONDS / pace) for name in live.venues.exchanges}
    breaches += [
        f"reconnect: {count} attempts on {name} in {PER_SECONDS / pace:.0f} s; {ALLOWED} are allowed"
        for name, count in most.items()
        if count > ALLOWED
    ]
    live.result.figures |= {
        "cuts": dict(cuts),
        "reconnect_wait_s": {
            "min": round(min(delays, default=0.0), 3),
            "median": round(statistics.median(delays) if delays else 0.0, 3),
            "max": round(max(delays, default=0.0), 3),
        },
        "most_attempts": {"in_s": PER_SECONDS / pace, **most},
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
    parser.add_argument("--exchanges", default="binance,bybit", help="with commas")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args(arguments)
    options = Options(
        seed=given.seed, speed=given.speed, every=given.every, only=RECIPES, symbols=given.symbols,
        minutes=given.minutes, hedges=10**9, progress=True, exchanges=tuple(given.exchanges.split(",")),
    )  # fmt: skip
    attempts = Attempts()

    async def during(live: Live) -> None:
        cutter = Cutter(live, given.cuts, Backoff().settled / given.pace)
        await cutter.run()
        judge(live, attempts, given.pace, cutter.cuts)

    with paced(given.pace, attempts):
        result = in_folder(options, given.folder, during)
    sys.exit(conclude("storm", result))


if __name__ == "__main__":
    main()
