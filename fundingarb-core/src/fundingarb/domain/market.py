"""Market state: the rate book with its incremental best legs, and order books with depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from fundingarb.domain.funding import FundingRate
from fundingarb.domain.instrument import Instrument

NAN = math.nan
INFINITY = math.inf
#: Unix seconds that a ``datetime`` can hold end here (the year 10000).
LAST_SECOND = 253_402_300_800.0


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Bids (best first) and asks (best first) as (price, base quantity) pairs, seen at ``at``."""

    exchange: str
    symbol: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    at: datetime

    @property
    def bid(self) -> Decimal | None:
        return self.bids[0][0] if self.bids else None

    @property
    def ask(self) -> Decimal | None:
        return self.asks[0][0] if self.asks else None

    @property
    def mid(self) -> Decimal | None:
        """Half-way between best bid and best ask; None when a side is empty or the book is crossed."""
        if not self.bids or not self.asks or self.bids[0][0] >= self.asks[0][0]:
            return None
        return (self.bids[0][0] + self.asks[0][0]) / 2


class RateBook:
    """The newest funding rate of every instrument, kept in columns, and per symbol the best leg to be long and short.

    ``update`` is the hot path: plain floats into lists, no object per tick. The row with the highest hourly rate is the
    best short, the one with the lowest the best long; both are maintained incrementally. ``take_changed`` hands over
    the symbols whose rate, settlement or interval moved since it was last called.
    """

    __slots__ = (
        "_best_long",
        "_best_short",
        "_changed",
        "_instruments",
        "_row_symbol",
        "_rows",
        "_symbol_rows",
        "_symbols",
        "at",
        "hourly",
        "index",
        "interval",
        "mark",
        "next_settlement",
        "rate",
        "seen",
    )

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments: list[Instrument] = []
        self._rows: dict[tuple[str, str], int] = {}
        self._row_symbol: list[int] = []
        self._symbols: dict[str, int] = {}
        self._symbol_rows: list[list[int]] = []
        self._best_long: list[int] = []
        self._best_short: list[int] = []
        self._changed: set[int] = set()
        self.rate: list[float] = []
        self.hourly: list[float] = []
        self.interval: list[float] = []
        self.next_settlement: list[float] = []
        self.mark: list[float] = []
        self.index: list[float] = []
        self.at: list[float] = []
        self.seen: dict[str, float] = {}
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Instrument) -> int:
        """The row of ``instrument``; a new row is without a rate until the first ``update``."""
        key = (instrument.exchange, instrument.symbol)
        row = self._rows.get(key)
        if row is not None:
            self._instruments[row] = instrument
            return row
        row = len(self._instruments)
        self._rows[key] = row
        self._instruments.append(instrument)
        symbol = self._symbols.setdefault(instrument.symbol, len(self._symbols))
        if symbol == len(self._symbol_rows):
            self._symbol_rows.append([])
            self._best_long.append(-1)
            self._best_short.append(-1)
        self._symbol_rows[symbol].append(row)
        self._row_symbol.append(symbol)
        for column in (self.rate, self.hourly, self.next_settlement, self.mark, self.index, self.at):
            column.append(NAN)
        self.interval.append(instrument.funding_interval.total_seconds())
        return row

    def row(self, exchange: str, symbol: str) -> int | None:
        return self._rows.get((exchange, symbol))

    def update(self, row: int, rate: float, next_settlement: float, at: float, interval: float = 0.0) -> None:
        """Take a new rate for ``row``: fraction per interval, unix seconds, unix seconds, seconds (0 = unchanged).

        A rate or an interval that is no finite number is ignored together with the rest of its message.
        """
        intervals, hourlies = self.interval, self.hourly
        seconds = interval or intervals[row]
        hourly = rate / seconds * 3600.0
        if hourly - hourly != 0.0 or not 0.0 < seconds < INFINITY:  # NaN or infinite
            return
        self.at[row] = at
        previous = hourlies[row]
        if previous == hourly and next_settlement == self.next_settlement[row] and seconds == intervals[row]:
            return
        self.rate[row] = rate
        self.next_settlement[row] = next_settlement
        intervals[row] = seconds
        hourlies[row] = hourly
        symbol = self._row_symbol[row]
        self._changed.add(symbol)
        shorts, longs = self._best_short, self._best_long
        high, low = shorts[symbol], longs[symbol]
        if high < 0:
            shorts[symbol] = longs[symbol] = row
            return
        if row == high:
            if hourly < previous:
                shorts[symbol] = self._highest(symbol, row)
        elif hourly > hourlies[high]:
            shorts[symbol] = row
        if row == low:
            if hourly > previous:
                longs[symbol] = self._lowest(symbol, row)
        elif hourly < hourlies[low]:
            longs[symbol] = row

    def update_many(self, rows: Iterable[int], rates: Iterable[float], at: float) -> None:
        """``update`` for the rows of one frame, whose settlements and intervals are in their columns already.

        Every row counts as changed. The same as calling ``update`` for each, written out, since a frame has hundreds:
        local names, no calls, and the case of two exchanges per symbol without a scan.
        """
        intervals, hourlies, symbols, symbol_rows = (
            self.interval,
            self.hourly,
            self._row_symbol,
            self._symbol_rows,
        )
        rate_column, at_column = self.rate, self.at
        longs, shorts, changed = self._best_long, self._best_short, self._changed.add
        for row, rate in zip(rows, rates, strict=True):
            hourly = rate / intervals[row] * 3600.0
            if hourly - hourly != 0.0:  # NaN or infinite
                continue
            rate_column[row] = rate
            at_column[row] = at
            symbol = symbols[row]
            changed(symbol)
            previous = hourlies[row]
            if previous == hourly:
                continue
            hourlies[row] = hourly
            among = symbol_rows[symbol]
            if len(among) == 2:
                one, other = among
                if hourlies[one] > hourlies[other]:
                    shorts[symbol], longs[symbol] = one, other
                    continue
                if hourlies[one] < hourlies[other]:
                    shorts[symbol], longs[symbol] = other, one
                    continue
            high, low = shorts[symbol], longs[symbol]
            if high < 0:
                shorts[symbol] = longs[symbol] = row
            elif (row == high and hourly < previous) or (row == low and hourly > previous):
                self._rescan(symbol)
            elif hourly > hourlies[high]:
                shorts[symbol] = row
            elif hourly < hourlies[low]:
                longs[symbol] = row

    def update_price(self, row: int, mark: float, index: float = NAN) -> None:
        """Take a new mark price (and index price, where the message has one) per base unit."""
        if mark == mark:
            self.mark[row] = mark
        if index == index:
            self.index[row] = index

    def frame(self, exchange: str, at: float) -> None:
        """Note that ``exchange`` was heard at ``at``, whether or not anything changed."""
        self.seen[exchange] = at

    def forget(self, exchange: str, symbol: str) -> None:
        """Drop the rate of an instrument that is not listed any more."""
        row = self._rows.get((exchange, symbol))
        if row is not None and self.hourly[row] == self.hourly[row]:
            self.rate[row] = self.hourly[row] = self.next_settlement[row] = NAN
            number = self._row_symbol[row]
            self._changed.add(number)
            self._rescan(number)

    def _rescan(self, symbol: int) -> None:
        hourlies = self.hourly
        known = next((row for row in self._symbol_rows[symbol] if hourlies[row] == hourlies[row]), -1)
        self._best_short[symbol] = known if known < 0 else self._highest(symbol, known)
        self._best_long[symbol] = known if known < 0 else self._lowest(symbol, known)

    def _highest(self, symbol: int, best: int) -> int:
        """The row with the highest rate; ``best`` is one with a rate, taken when none is higher."""
        hourlies = self.hourly
        most = hourlies[best]
        for row in self._symbol_rows[symbol]:
            if hourlies[row] > most:
                best, most = row, hourlies[row]
        return best

    def _lowest(self, symbol: int, best: int) -> int:
        hourlies = self.hourly
        least = hourlies[best]
        for row in self._symbol_rows[symbol]:
            if hourlies[row] < least:
                best, least = row, hourlies[row]
        return best

    def best(self, symbol: str) -> tuple[int, int] | None:
        """(row to be long on, row to be short on), None while fewer than two exchanges have a rate."""
        number = self._symbols.get(symbol)
        if number is None:
            return None
        long, short = self._best_long[number], self._best_short[number]
        if long < 0 or long == short:
            return None
        return long, short

    def pairs(self, symbol: str, least: float) -> list[tuple[int, int]]:
        """Every (row to be long on, row to be short on) with a spread of at least ``least`` per hour, highest first."""
        number = self._symbols.get(symbol)
        if number is None:
            return []
        hourly = self.hourly
        rows = [row for row in self._symbol_rows[number] if hourly[row] == hourly[row]]
        found = [(hourly[low] - hourly[high], low, high) for low in rows for high in rows]
        return [(low, high) for gap, low, high in sorted(found) if -gap >= least and low != high]

    def spread(self, long_row: int, short_row: int) -> float:
        """Short leg's rate minus long leg's rate, per hour; NaN while one is unknown."""
        return self.hourly[short_row] - self.hourly[long_row]

    def take_changed(self) -> list[str]:
        """Symbols that changed since the last call, in the order they were added."""
        if not self._changed:
            return []
        names = list(self._symbols)
        changed = [names[number] for number in sorted(self._changed)]
        self._changed.clear()
        return changed

    @property
    def symbols(self) -> Sequence[str]:
        return list(self._symbols)

    def instrument(self, row: int) -> Instrument:
        return self._instruments[row]

    def rows(self, symbol: str) -> Sequence[int]:
        number = self._symbols.get(symbol)
        return [] if number is None else list(self._symbol_rows[number])

    def get(self, exchange: str, symbol: str) -> FundingRate | None:
        """The rate as a value, None while unknown."""
        row = self._rows.get((exchange, symbol))
        return None if row is None else self.value(row)

    def value(self, row: int) -> FundingRate | None:
        """The rate of ``row`` as a value; None while it, its settlement or its time is unknown or impossible."""
        times = (self.next_settlement[row], self.at[row])
        if self.rate[row] != self.rate[row] or not all(0.0 < at < LAST_SECOND for at in times):
            return None
        mark, index = self.mark[row], self.index[row]
        return FundingRate(
            instrument=self._instruments[row],
            rate=Decimal(repr(self.rate[row])),
            interval=timedelta(seconds=self.interval[row]),
            next_settlement=datetime.fromtimestamp(self.next_settlement[row], timezone.utc),
            at=datetime.fromtimestamp(self.at[row], timezone.utc),
            mark=Decimal(repr(mark)) if mark == mark else None,
            index=Decimal(repr(index)) if index == index else None,
        )
