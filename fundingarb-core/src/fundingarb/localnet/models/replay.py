"""A market model that replays recorded funding and prices (``recording``).

Funding. Settlements happen at the recorded times with the recorded rates; intervals are the distances between them,
so interval changes happen when they really did. What a venue showed between two settlements is not recorded: the
rate shown is ``(1 - p) x just settled + p x coming``, p being the elapsed share of the interval (the settled rate is
scaled when the interval changed). Settlements that are missing in a recording happen on the interval's grid with the
rate the other exchanges have then, or 0, so that a hole never looks like a spread.

Prices. Marks are interpolated between the recorded ones. The exchange with most marks gives the path; another
exchange's marks give its distance to that path, interpolated too; without own marks it follows the path. On top of
that comes a small seeded movement, the same on all exchanges, so that resting orders meet a moving market. A symbol
without any recorded price gets a seeded path.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from fundingarb.localnet.errors import LocalnetError, NothingRecorded
from fundingarb.localnet.models.base import Funding, Liquidity, ModelSymbol, Prices, Settlement
from fundingarb.localnet.models.noise import Octaves, key_of, uniform
from fundingarb.localnet.models.recording import (
    HOUR,
    LONGEST,
    Recording,
    Series,
    interpolate,
    load_recording,
    recorded_ranges,
)
from fundingarb.localnet.models.symbols import by_name

__all__ = ["ReplayModel"]

DAY = 86400.0
BEFORE = 40 * DAY
"""History that is kept before the start."""
MAJORS = frozenset(("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE"))
SINGLES = 5
"""Symbols that only one exchange has which are listed nevertheless."""
FARTHEST = 0.01
"""A recorded mark farther than this from the other exchange's is not believed."""


class _Schedule:
    """Settlements of one symbol on one exchange without holes: times, rates per interval, intervals in hours."""

    __slots__ = ("intervals", "rates", "times")

    def __init__(self, series: Series, others: Sequence[Series], until: float) -> None:
        self.times: list[float] = []
        self.rates: list[float] = []
        self.intervals: list[int] = []
        for number, time in enumerate(series.times):
            recorded = series.intervals[number]
            if not self.times:
                self._add(time, series.rates[number], recorded)
                continue
            self._fill(time, others)
            gap = max(1, round((time - self.times[-1]) / HOUR))
            self._add(time, series.rates[number], gap)
        self._fill(until, others)

    def _add(self, time: float, rate: float, hours: int) -> None:
        self.times.append(time)
        self.rates.append(rate)
        self.intervals.append(hours)

    def _fill(self, until: float, others: Sequence[Series]) -> None:
        """Settlements of a hole before ``until``, on the grid of the last interval."""
        if until - self.times[-1] <= LONGEST * HOUR + 1:
            return
        hours = self.intervals[-1] if self.intervals[-1] in (1, 2, 4, 8) else LONGEST
        while until - self.times[-1] > hours * HOUR + 1:
            time = (math.floor(self.times[-1] / (hours * HOUR)) + 1) * hours * HOUR
            self._add(time, _borrowed(others, time) * hours, hours)

    def next(self, time: float) -> int:
        """Index of the first settlement after ``time``; one past the end when there is none."""
        return bisect_right(self.times, time)


def _borrowed(others: Sequence[Series], time: float) -> float:
    """Mean hourly rate of other exchanges around a time; 0 when none has one."""
    rates = []
    for series in others:
        index = bisect_right(series.times, time - 1)
        if index < len(series.times) and series.times[index] - time <= LONGEST * HOUR:
            rates.append(series.rates[index] / series.intervals[index])
    return sum(rates) / len(rates) if rates else 0.0


class _PricePath:
    """Index of one symbol and each exchange's ratio to it."""

    def __init__(self, seed: int, symbol: str, series: dict[str, Series]) -> None:
        self._ratios: dict[str, list[tuple[float, float]]] = {}
        base = max(series, key=lambda name: (len(series[name].marks), name))
        points = list(series[base].marks)
        for name in sorted(series):
            if name != base:
                points = _patched(points, series[name].marks)
        self.recorded = bool(points)
        known = by_name(symbol)
        self._points = points or [(0.0, known.price if known is not None else 1.0)]
        slowest, amplitude = (HOUR, 2.5e-4) if points else (8 * DAY, 0.05)
        self._motion = Octaves(
            key_of(seed, "motion", symbol), fastest=8, slowest=slowest, amplitude=amplitude
        )
        for name, own in series.items():
            if name != base and own.marks:
                self._ratios[name] = [
                    (time, 1 + min(FARTHEST, max(-FARTHEST, mark / interpolate(self._points, time) - 1)))
                    for time, mark in own.marks
                ]
        self._last: tuple[float, float] = (math.nan, 0.0)

    def index(self, time: float) -> float:
        if self._last[0] != time:
            self._last = (time, interpolate(self._points, time) * math.exp(self._motion(time)))
        return self._last[1]

    def ratio(self, exchange: str, time: float) -> float:
        points = self._ratios.get(exchange)
        return interpolate(points, time) if points else 1.0


def _patched(
    points: list[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """``points`` with another exchange's where it has none within half a day."""
    if not points:
        return list(other)
    times = [time for time, _ in points]
    extra = []
    for time, price in other:
        index = bisect_right(times, time)
        near = [abs(times[n] - time) for n in (index - 1, index) if 0 <= n < len(times)]
        if min(near) > DAY / 2:
            extra.append((time, price))
    return sorted([*points, *extra])


class ReplayModel:
    """See the module. ``load`` reads the files."""

    def __init__(
        self, recording: Recording, exchanges: Sequence[str], *, start: float, seed: int = 0
    ) -> None:
        self._exchanges = tuple(sorted(exchanges))
        self._start = start
        live = {key: one for key, one in recording.series.items() if _alive(one, start)}
        names = self._choose({symbol for _, symbol in live}, live)
        last = max((one.times[-1] for (_, symbol), one in live.items() if symbol in names), default=start)
        self._end = last
        self._schedules: dict[tuple[str, str], _Schedule] = {}
        self._paths: dict[str, _PricePath] = {}
        self._basis: dict[tuple[str, str], Octaves] = {}
        self._liquidity: dict[tuple[str, str], Liquidity] = {}
        symbols = []
        for symbol in sorted(names):
            here = {name: live[name, symbol] for name in self._exchanges if (name, symbol) in live}
            path = self._paths[symbol] = _PricePath(seed, symbol, here)
            base, _, quote = symbol.rpartition("-")
            major = base in MAJORS
            bundle = max(one.bundle for one in here.values())
            symbols.append(
                ModelSymbol(symbol, base, quote, path.index(start), multiplier=bundle, major=major)
            )
            for name, one in here.items():
                others = [other for key, other in here.items() if key != name]
                self._schedules[name, symbol] = _Schedule(one, others, last + DAY)
                self._basis[name, symbol] = Octaves(
                    key_of(seed, "basis", name, symbol), fastest=40, slowest=2 * HOUR, amplitude=0.4e-4
                )
                self._liquidity[name, symbol] = _liquidity(seed, name, symbol, major)
        self._symbols = tuple(symbols)

    def _choose(self, names: set[str], live: dict[tuple[str, str], Series]) -> set[str]:
        """Symbols that at least two exchanges have, and a few of the others."""
        counts = {symbol: sum((name, symbol) in live for name in self._exchanges) for symbol in names}
        shared = {symbol for symbol, count in counts.items() if count > 1}
        if len(self._exchanges) == 1:
            return names
        singles = sorted(names - shared, key=lambda symbol: (by_name(symbol) is None, symbol))
        return shared | set(singles[:SINGLES])

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        exchanges: Sequence[str],
        start: float | None = None,
        seed: int = 0,
    ) -> ReplayModel:
        """Read the recording at ``path``. Without ``start``: ten days before the end of what is common to all.

        Raises ``LocalnetError`` when there is nothing to replay.
        """
        low = start - BEFORE if start is not None else None
        recording = load_recording(path, exchanges, start=low)
        if start is None:
            start = default_start(recording, exchanges)
        model = cls(recording, exchanges, start=start, seed=seed)
        for exchange in exchanges:
            if not model.listed(exchange):
                raise NothingRecorded(
                    f"{path} has no funding of {exchange} at the start asked for; choose another start"
                )
        return model

    @property
    def symbols(self) -> Sequence[ModelSymbol]:
        return self._symbols

    @property
    def start(self) -> float:
        return self._start

    @property
    def end(self) -> float | None:
        return self._end

    @property
    def grid(self) -> float:
        return 1.0

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        return [one for one in self._symbols if (exchange, one.symbol) in self._schedules]

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        path = self._paths[symbol]
        index = path.index(time)
        mark = index * path.ratio(exchange, time)
        return Prices(index, mark, mark * (1 + self._basis[exchange, symbol](time)))

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity:
        return self._liquidity[exchange, symbol]

    def funding(self, exchange: str, symbol: str, time: float) -> Funding:
        schedule = self._schedules[exchange, symbol]
        index = schedule.next(time)
        if index == len(schedule.times):
            # past the end of the recording: the market goes on without funding
            hours = schedule.intervals[-1] if schedule.intervals[-1] in (1, 2, 4, 8) else LONGEST
            return Funding(0.0, hours, (math.floor(time / (hours * HOUR)) + 1) * hours * HOUR)
        hours = schedule.intervals[index]
        coming, length = schedule.rates[index], hours * HOUR
        if index == 0:
            # what settled before the recording began is not known; the coming rate stands in for it
            back = math.ceil((schedule.times[0] - time) / length) - 1
            return Funding(coming, hours, schedule.times[0] - max(0, back) * length)
        settled = schedule.rates[index - 1] * hours / schedule.intervals[index - 1]
        begun = schedule.times[index - 1]
        part = (time - begun) / (schedule.times[index] - begun)
        return Funding((1 - part) * settled + part * coming, hours, schedule.times[index])

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        schedule = self._schedules[exchange, symbol]
        first, last = schedule.next(start), schedule.next(end)
        return [
            Settlement(schedule.times[n], schedule.rates[n], schedule.intervals[n])
            for n in range(first, last)
        ]


def _alive(series: Series, start: float) -> bool:
    """Whether it was traded at the start: a settlement within a day after it, and one at most two days before."""
    index = bisect_right(series.times, start)
    if index == len(series.times) or series.times[index] > start + DAY:
        return False
    return index > 0 or series.times[0] <= start + 8 * HOUR


def _liquidity(seed: int, exchange: str, symbol: str, major: bool) -> Liquidity:
    scale = 0.7 + 0.6 * uniform(key_of(seed, "depth", exchange, symbol), 0)
    if major:
        return Liquidity(0.5e-4, 0.8e-4, 60_000 * scale, 1.09, 0.9, 20_000 * scale)
    return Liquidity(1.2e-4, 1.2e-4, 16_000 * scale, 1.12, 0.7, 5_000 * scale)


def default_start(recording: Recording, exchanges: Sequence[str]) -> float:
    """Ten days before the end of the newest common stretch, 22 minutes before a settlement of every interval."""
    ranges = [one for one in recorded_ranges(recording, exchanges) if one.days >= 1]
    if not ranges:
        raise LocalnetError(f"no symbol is recorded on all of {', '.join(exchanges)} at the same time")
    newest = max(ranges, key=lambda one: (one.end, one.days))
    start = max(newest.start, newest.end - 10 * DAY)
    return (math.floor(start / (8 * HOUR)) + 1) * 8 * HOUR - 22 * 60
