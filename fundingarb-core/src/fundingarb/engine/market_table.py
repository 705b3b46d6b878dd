"""The rate table: one row per instrument, computed when asked for, and which rows have changed since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache

from fundingarb.domain.market import LAST_SECOND
from fundingarb.domain.opportunity import DecayToMedian, RateForecast
from fundingarb.engine.markets import Markets
from fundingarb.engine.state import BotState
from fundingarb.ports.rows import MarketRow, MarketRows, SpreadRow

HOURS_8 = 8.0
HOURS_YEAR = 8760.0

#: What a row is made of: rate, settlement, interval, mark, staleness.
_Seen = tuple[float | None, float | None, float, float | None, bool]


@dataclass
class MarketTable:
    """Looks at the rate book's columns when somebody asks; nothing is kept up to date for nobody.

    Asking costs about a microsecond per instrument that has not changed, a few for each that has.
    """

    state: BotState
    markets: Markets
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _version: dict[tuple[str, str], int] = field(default_factory=dict)
    _gone: dict[tuple[str, str], int] = field(default_factory=dict)
    _cursor: int = 0

    def rows(self, since: int, forecast: RateForecast, limit: int | None = None) -> MarketRows:
        """The rows that have changed after ``since`` (0: all), at most ``limit``: those that changed first."""
        self._look()
        wanted = sorted((version, key) for key, version in self._version.items() if version > since)
        cursor = self._cursor
        if limit is not None and len(wanted) > limit:
            wanted = wanted[:limit]
            cursor = wanted[-1][0]
        ages = {exchange: self.markets.age(exchange) for exchange in {key[0] for _, key in wanted}}
        shown = {exchange: None if age == float("inf") else age for exchange, age in ages.items()}
        decay = _Decay(forecast)
        return MarketRows(
            cursor=cursor,
            rows=tuple([self._row(key, shown[key[0]], decay) for _, key in wanted]),
            spreads=tuple(self._spreads(dict.fromkeys(key[1] for _, key in wanted))),
            gone=tuple(key for key, version in self._gone.items() if since < version <= cursor),
        )

    def _look(self) -> None:
        """Note which instruments differ from the last look."""
        markets, book, seen = self.markets, self.markets.book, self._seen
        now = markets.clock.time()
        silent = {
            exchange: exchange in self.state.down or markets.age(exchange) > markets.stale_after
            for exchange in {exchange for exchange, _ in markets.instruments}
        }
        for key in markets.instruments:
            row = book.row(*key)
            if row is None:
                continue
            settlement = known(book.next_settlement[row])
            stale = silent[key[0]] or settlement is None or settlement <= now
            current = (known(book.rate[row]), settlement, book.interval[row], known(book.mark[row]), stale)
            if seen.get(key) != current:
                self._cursor += 1
                seen[key], self._version[key] = current, self._cursor
                self._gone.pop(key, None)
        for key in [key for key in seen if key not in markets.instruments]:
            del seen[key], self._version[key]
            self._cursor += 1
            self._gone[key] = self._cursor

    def _row(self, key: tuple[str, str], age: float | None, decay: _Decay) -> MarketRow:
        rate, settlement, interval, mark, stale = self._seen[key]
        hours = interval / 3600.0
        next_settlement = None if settlement is None else moment(settlement)
        if rate is None:
            return MarketRow(*key, None, None, None, hours, next_settlement, None, mark, age, stale)
        hourly = rate / hours
        predicted = self._predicted(key, rate, hours, decay)
        return MarketRow(
            *key,
            rate,
            hourly * HOURS_8,
            hourly * HOURS_YEAR,
            hours,
            next_settlement,
            predicted,
            mark,
            age,
            stale,
        )

    def _predicted(self, key: tuple[str, str], rate: float, hours: float, decay: _Decay) -> float | None:
        """As ``DecayToMedian.expected`` for the settlement after the coming one, in floats; None of other forecasts."""
        part = decay.over(hours)
        if part is None:
            return None
        median = float(self.markets.median_hourly(*key)) * hours
        expected = median + (rate - median) * part
        instrument = self.markets.instruments[key]
        if instrument.funding_cap is not None:
            expected = min(expected, float(instrument.funding_cap))
        if instrument.funding_floor is not None:
            expected = max(expected, float(instrument.funding_floor))
        return expected

    def _spreads(self, symbols: Iterable[str]) -> Iterable[SpreadRow]:
        book = self.markets.book
        for symbol in symbols:
            best = book.best(symbol)
            if best is not None:
                long, short = best
                spread = book.spread(long, short)
                yield SpreadRow(
                    symbol,
                    book.instrument(long).exchange,
                    book.instrument(short).exchange,
                    spread * HOURS_8,
                    spread * HOURS_YEAR,
                )


class _Decay:
    """What is left of a rate's distance to its median after so many hours; None of a forecast that is another."""

    def __init__(self, forecast: RateForecast) -> None:
        self._half = forecast.half_life.total_seconds() if isinstance(forecast, DecayToMedian) else None
        self._known: dict[float, float] = {}

    def over(self, hours: float) -> float | None:
        if self._half is None:
            return None
        found = self._known.get(hours)
        if found is None:
            found = self._known[hours] = 0.5 ** (hours * 3600.0 / self._half)
        return found


def known(value: float) -> float | None:
    """``value``, None for the NaN that stands for nothing in the columns, and for what is no time or price."""
    return value if -LAST_SECOND < value < LAST_SECOND else None


@lru_cache(maxsize=1024)
def moment(seconds: float) -> datetime:
    """Unix ``seconds`` as a time; the same few settlements stand in thousands of rows."""
    return datetime.fromtimestamp(max(seconds, 0.0), timezone.utc)
