"""Recorded funding and price history, as files.

A recording is a folder with ``funding_<exchange>.csv`` (or ``.csv.gz``) and optionally ``mark_1h.csv[.gz]``, or one
funding file. Columns are found by the header:

``funding_*``: ``venue, symbol, timestamp, funding_rate, interval_hours`` and optionally ``mark_price``. One row per
settlement; ``timestamp`` in unix milliseconds; ``funding_rate`` per interval, positive when longs pay; ``symbol`` is
BASE-QUOTE, ``1000PEPE-USDT`` for a contract on 1000 PEPE.
``mark_1h``: ``venue, symbol, timestamp, open`` and optionally ``close``: hourly mark prices, ``timestamp`` is the open.

dYdX is recorded as venue ``dydx_v4`` with quote USD, which is the ``dydx`` and USDT of fundingarb.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fundingarb.localnet.errors import LocalnetError, NothingRecorded

__all__ = ["RecordedRange", "Recording", "Series", "load_recording", "recorded_ranges", "split_symbol"]

HOUR = 3600.0
LONGEST = 8
"""Hours; a longer distance between two settlements is a hole in the recording."""

FUNDING_COLUMNS = ("venue", "symbol", "timestamp", "funding_rate", "interval_hours")
MARK_COLUMNS = ("venue", "symbol", "timestamp", "open")

_VENUES = {"dydx": "dydx_v4"}
_QUOTES = {"dydx": {"USD": "USDT"}}
_BUNDLE = re.compile(r"^(1000000|100000|10000|1000|1M)(?=[A-Z]{3,})")


def split_symbol(symbol: str) -> tuple[str, int]:
    """A recorded symbol as symbol of one base unit and the number of units a contract bundles."""
    found = _BUNDLE.match(symbol)
    if found is None:
        return symbol, 1
    count = 1_000_000 if found[1] == "1M" else int(found[1])
    return symbol[found.end() :], count


@dataclass(slots=True)
class Series:
    """Settlements of one symbol on one exchange, ascending. Times in unix seconds, rates per interval."""

    times: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    intervals: list[int] = field(default_factory=list)
    """Hours, as recorded."""
    marks: list[tuple[float, float]] = field(default_factory=list)
    """Time and mark price of one base unit, ascending."""
    bundle: int = 1

    def ranges(self) -> list[tuple[float, float]]:
        """Stretches without a hole: first and last settlement of each."""
        result: list[tuple[float, float]] = []
        for time in self.times:
            if result and time - result[-1][1] <= LONGEST * HOUR + 1:
                result[-1] = (result[-1][0], time)
            else:
                result.append((time, time))
        return result


@dataclass(slots=True)
class Recording:
    """Everything that was read, by exchange and symbol (of one base unit)."""

    series: dict[tuple[str, str], Series]

    def symbols(self, exchange: str) -> list[str]:
        return sorted(symbol for name, symbol in self.series if name == exchange)

    def common(self, exchanges: Sequence[str]) -> list[str]:
        """Symbols that every one of these exchanges has."""
        sets = [set(self.symbols(exchange)) for exchange in exchanges]
        return sorted(set.intersection(*sets)) if sets else []


@dataclass(frozen=True, slots=True)
class RecordedRange:
    """A stretch in which every one of the asked exchanges has all settlements of a symbol (unix seconds)."""

    symbol: str
    start: float
    end: float

    @property
    def days(self) -> float:
        return (self.end - self.start) / 86400


def recorded_ranges(recording: Recording, exchanges: Sequence[str]) -> list[RecordedRange]:
    """Common hole-free stretches of all common symbols, the longest first."""
    result: list[RecordedRange] = []
    for symbol in recording.common(exchanges):
        common = [(-math.inf, math.inf)]
        for exchange in exchanges:
            own = recording.series[exchange, symbol].ranges()
            common = [
                (max(a, c), min(b, d)) for a, b in common for c, d in own if min(b, d) - max(a, c) >= HOUR
            ]
        result.extend(RecordedRange(symbol, start, end) for start, end in common)
    return sorted(result, key=lambda one: (one.start - one.end, one.symbol, one.start))


def load_recording(
    path: Path,
    exchanges: Sequence[str],
    *,
    start: float | None = None,
    end: float | None = None,
    quotes: Iterable[str] = ("USDT",),
) -> Recording:
    """Read what is recorded of these exchanges between two times.

    Raises ``LocalnetError`` when the path has nothing of an exchange or a row does not fit the format.
    """
    wanted = frozenset(quotes)
    low, high = start if start is not None else -math.inf, end if end is not None else math.inf
    series: dict[tuple[str, str], Series] = {}
    for exchange in exchanges:
        _read_funding(_funding_file(path, exchange), exchange, series, low, high, wanted)
        if not any(name == exchange for name, _ in series):
            raise NothingRecorded(
                f"{path} has no funding of {exchange} in USDT at that time; choose another start or recording"
            )
    marks = _existing(path, "mark_1h") if path.is_dir() else None
    if marks is not None:
        _read_marks(marks, set(exchanges), series, low, high)
    for one in series.values():
        _tidy(one)
    return Recording(series)


def _existing(folder: Path, stem: str) -> Path | None:
    for suffix in (".csv", ".csv.gz"):
        candidate = folder / f"{stem}{suffix}"
        if candidate.is_file():
            return candidate
    return None


def _funding_file(path: Path, exchange: str) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise LocalnetError(
            f"there is nothing to replay at {path}; name a folder or file of recorded history"
        )
    for name in dict.fromkeys((exchange, _VENUES.get(exchange, exchange))):
        found = _existing(path, f"funding_{name}")
        if found is not None:
            return found
    raise NothingRecorded(
        f"{path} has no funding_{exchange}.csv or .csv.gz; replay exchanges that are recorded"
    )


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, list[str], dict[str, int]]]:
    """Line number, row, and the columns by name. Broken files are one-line errors."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="") as file:
            reader = csv.reader(file)
            columns = {name.strip(): number for number, name in enumerate(next(reader, []))}
            missing = [name for name in needed if name not in columns]
            if missing:
                raise LocalnetError(
                    f"{path} has no column {missing[0]!r}; it has {', '.join(columns) or 'none'}"
                )
            for row in reader:
                if row:
                    yield reader.line_num, row, columns
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise LocalnetError(f"cannot read {path}: {error}") from error


def _read_funding(
    path: Path,
    exchange: str,
    series: dict[tuple[str, str], Series],
    low: float,
    high: float,
    quotes: frozenset[str],
) -> None:
    venues = (exchange, _VENUES.get(exchange, exchange))
    renamed = _QUOTES.get(exchange, {})
    names: dict[str, tuple[str, int] | None] = {}
    number = 1
    try:
        for line, row, columns in _rows(path, FUNDING_COLUMNS):
            number = line
            time = float(row[columns["timestamp"]]) / 1000
            if not low <= time <= high or row[columns["venue"]] not in venues:
                continue
            raw = row[columns["symbol"]]
            if raw not in names:
                names[raw] = _model_name(raw, renamed, quotes)
            name = names[raw]
            if name is None:
                continue
            rate = float(row[columns["funding_rate"]])
            if not math.isfinite(rate):
                raise ValueError(f"rate {row[columns['funding_rate']]!r}")
            symbol, bundle = name
            one = series.setdefault((exchange, symbol), Series(bundle=bundle))
            one.times.append(time)
            one.rates.append(rate)
            one.intervals.append(int(float(row[columns["interval_hours"]] or LONGEST)))
            mark = row[columns["mark_price"]] if "mark_price" in columns else ""
            if mark:
                one.marks.append((time, float(mark) / bundle))
    except (ValueError, IndexError) as error:
        raise LocalnetError(f"{path} line {number}: not a settlement ({error})") from error


def _model_name(raw: str, renamed: dict[str, str], quotes: frozenset[str]) -> tuple[str, int] | None:
    """Symbol of one base unit and bundle; None when its quote is not wanted."""
    base, _, quote = raw.rpartition("-")
    quote = renamed.get(quote, quote)
    if not base or quote not in quotes:
        return None
    return split_symbol(f"{base}-{quote}")


def _read_marks(
    path: Path, exchanges: set[str], series: dict[tuple[str, str], Series], low: float, high: float
) -> None:
    names = {_VENUES.get(exchange, exchange): exchange for exchange in exchanges}
    names.update({exchange: exchange for exchange in exchanges})
    number = 1
    try:
        for line, row, columns in _rows(path, MARK_COLUMNS):
            number = line
            exchange = names.get(row[columns["venue"]])
            if exchange is None:
                continue
            time = float(row[columns["timestamp"]]) / 1000
            if not low <= time <= high:
                continue
            symbol, bundle = split_symbol(row[columns["symbol"]])
            one = series.get((exchange, symbol))
            if one is not None:
                one.marks.append((time, float(row[columns["open"]]) / bundle))
    except (ValueError, IndexError) as error:
        raise LocalnetError(f"{path} line {number}: not a mark price ({error})") from error


def _tidy(one: Series) -> None:
    """Ascending, without double times; marks that are not positive dropped."""
    order = sorted(range(len(one.times)), key=one.times.__getitem__)
    kept = [n for k, n in enumerate(order) if k == 0 or one.times[order[k - 1]] != one.times[n]]
    one.times = [one.times[n] for n in kept]
    one.rates = [one.rates[n] for n in kept]
    one.intervals = [max(1, one.intervals[n]) for n in kept]
    marks = sorted(dict(one.marks).items())
    one.marks = [(time, mark) for time, mark in marks if mark > 0 and math.isfinite(mark)]


def interpolate(points: Sequence[tuple[float, float]], time: float) -> float:
    """Linear between points, constant outside. ``points`` ascend and are not empty."""
    index = bisect_left(points, (time, -math.inf))
    if index == 0:
        return points[0][1]
    if index == len(points):
        return points[-1][1]
    (left, a), (right, b) = points[index - 1], points[index]
    return a + (b - a) * (time - left) / (right - left)
