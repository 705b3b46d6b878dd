"""Where in recorded history a demo is worth watching: a start at which default hedges open, are paid, and close.

This only picks a moment to begin at; whether the bot trades there is decided by the bot, on the replayed exchanges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import combinations
from pathlib import Path

from fundingarb.domain.opportunity import EntryRules
from fundingarb.errors import ConfigError
from fundingarb.localnet.errors import NothingRecorded
from fundingarb.localnet.models.recording import Recording, Series, load_recording
from fundingarb.localnet.models.replay import ReplayModel

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LEAD = 22 * MINUTE
ROUND_TRIP = 0.0027
"""Four taker fees and the spreads of two order books, as a fraction of notional: what a hedge has to earn at least."""
LONGEST = 3 * DAY
OTHERS = 6


@dataclass(frozen=True, slots=True)
class Episode:
    """A hedge that the recorded rates suggest: settled at ``opens`` for the first time, inverted at ``closes``."""

    symbol: str
    opens: float
    closes: float


@dataclass(frozen=True, slots=True)
class Start:
    """``at`` is where to begin, ``span`` how long until the hedges asked for should be closed.

    ``symbols`` are theirs, followed by some in which nothing is to be had.
    """

    at: datetime
    span: timedelta
    symbols: tuple[str, ...]


def recorded(path: Path, exchanges: Sequence[str], start: datetime | None = None) -> list[str]:
    """Those of ``exchanges`` that have something recorded, at ``start`` if given.

    Raises ``ConfigError`` when there are not two, ``LocalnetError`` when one is recorded in a way that cannot be read.
    """
    found = []
    for exchange in exchanges:
        try:
            if start is None:
                load_recording(path, [exchange])
            else:
                ReplayModel.load(path, exchanges=[exchange], start=start.timestamp())
        except NothingRecorded:
            continue
        found.append(exchange)
    if len(found) < 2:
        raise ConfigError(
            f"{path} has {' and '.join(found) or 'nothing'} of {', '.join(exchanges)}"
            f"{f' at {start:%Y-%m-%d %H:%M}' if start else ''}; two are needed, choose another start or recording"
        )
    return found


def pick_start(path: Path, exchanges: Sequence[str], hedges: int) -> Start:
    """The start after which ``hedges`` hedges close soonest.

    Raises ``ConfigError`` when the recording has no such moment.
    """
    recording = load_recording(path, exchanges)
    starting: dict[float, dict[str, Episode]] = defaultdict(dict)
    for episode in episodes(recording, exchanges, EntryRules()):
        known = starting[episode.opens].get(episode.symbol)
        if known is None or episode.closes < known.closes:
            starting[episode.opens][episode.symbol] = episode
    best: tuple[float, float] | None = None
    for opens, found in starting.items():
        ends = sorted(episode.closes for episode in found.values())
        if len(ends) >= hedges and (best is None or ends[hedges - 1] - opens < best[0]):
            best = (ends[hedges - 1] - opens, opens)
    if best is None:
        raise ConfigError(
            f"{path} has no moment at which {hedges} hedges would open together and close within three days; "
            "ask for fewer --cycles, or say where to begin with --from"
        )
    span, opens = best
    found = starting[opens]
    chosen = sorted(found, key=lambda symbol: found[symbol].closes)[:hedges]
    others = [symbol for symbol in quiet(recording, exchanges, opens) if symbol not in found][:OTHERS]
    at = datetime.fromtimestamp(opens - LEAD, timezone.utc)
    return Start(at, timedelta(seconds=span + LEAD), (*chosen, *others))


def quiet(recording: Recording, exchanges: Sequence[str], time: float) -> list[str]:
    """Symbols that every exchange has at ``time``, those with the least spread there first."""

    def spread(symbol: str) -> float:
        rates = [shown(recording.series[exchange, symbol], time) for exchange in exchanges]
        return max(rates) - min(rates)

    there = [
        symbol
        for symbol in recording.common(exchanges)
        if all(_covered(recording.series[exchange, symbol], time) for exchange in exchanges)
    ]
    return sorted(there, key=spread)


def episodes(recording: Recording, exchanges: Sequence[str], rules: EntryRules) -> Iterator[Episode]:
    """Every settlement at which a pair of exchanges looks worth a hedge, with the time at which it has inverted."""
    for one, other in combinations(exchanges, 2):
        for symbol in recording.common([one, other]):
            yield from _episodes(
                symbol, recording.series[one, symbol], recording.series[other, symbol], rules
            )


def _episodes(symbol: str, one: Series, other: Series, rules: EntryRules) -> Iterator[Episode]:
    tolerance = 0.0001
    for number, settled in enumerate(one.times):
        decision = settled - 18 * MINUTE
        if number == 0 or not (_covered(one, decision) and _covered(other, decision)):
            continue
        spread = shown(one, decision) - shown(other, decision)
        sign = 1.0 if spread > 0 else -1.0
        first = abs(spread) * one.intervals[number]
        if abs(spread) * 8 < float(rules.min_spread_base) or first * 1.2 < ROUND_TRIP:
            continue
        time = settled + 5 * MINUTE
        while time < settled + LONGEST and _covered(one, time) and _covered(other, time):
            if sign * (shown(one, time) - shown(other, time)) * 8 < -tolerance:
                yield Episode(symbol, settled, time)
                break
            time += 5 * MINUTE


def _covered(series: Series, time: float) -> bool:
    """Recorded without a hole around ``time``."""
    index = bisect_right(series.times, time)
    return 0 < index < len(series.times) and series.times[index] - series.times[index - 1] <= 8 * HOUR + 1


def shown(series: Series, time: float) -> float:
    """The rate per hour on display: it moves from the settled one to the coming one as the interval passes."""
    index = bisect_right(series.times, time)
    begun, ends = series.times[index - 1], series.times[index]
    part = (time - begun) / (ends - begun)
    settled, coming = (series.rates[n] / series.intervals[n] for n in (index - 1, index))
    return (1 - part) * settled + part * coming
