"""The default market: seeded, endless, and worth trading now and then.

Majors fund quietly every eight hours. A few "hot" symbols fund every hour or every four and have crowding episodes
(``crowding``), the first of which is under way when the localnet starts. Everything is a function of seed, symbol,
exchange and time, so nothing depends on how often or in which order it is asked.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from fundingarb.localnet.models.base import Funding, Liquidity, ModelSymbol, Prices, Settlement
from fundingarb.localnet.models.crowding import HOUR, Crowding
from fundingarb.localnet.models.noise import Octaves, key_of, uniform
from fundingarb.localnet.models.symbols import DEFAULT_SYMBOLS

__all__ = ["DEFAULT_START", "SeededModel"]

DEFAULT_START = 1_767_598_680.0
"""2026-01-05 07:38 UTC, 22 minutes before a time at which every interval settles."""
DAY = 86400.0


class _Market:
    """One symbol on one exchange."""

    __slots__ = ("basis", "drift", "interval", "liquidity", "wobble")

    def __init__(self, seed: int, exchange: str, symbol: ModelSymbol, interval: int) -> None:
        def key(purpose: str) -> int:
            return key_of(seed, purpose, exchange, symbol.symbol)

        self.interval = interval
        size = 0.6e-4 if symbol.major else 1.2e-4
        self.basis = Octaves(key("basis"), fastest=40, slowest=4 * HOUR, amplitude=size)
        self.drift = Octaves(key("funding"), fastest=6 * HOUR, slowest=4 * DAY, amplitude=0.15e-4)
        self.wobble = Octaves(key("wobble"), fastest=120, slowest=HOUR, amplitude=0.6)
        scale = 0.7 + 0.6 * uniform(key("depth"), 0)
        if symbol.major:
            self.liquidity = Liquidity(0.5e-4, 0.8e-4, 60_000 * scale, 1.09, 0.9, 20_000 * scale)
        else:
            self.liquidity = Liquidity(1.2e-4, 1.2e-4, 16_000 * scale, 1.12, 0.7, 5_000 * scale)


class SeededModel:
    """See the module. ``exchanges`` are the names of the exchanges that take part, in any order."""

    def __init__(
        self,
        seed: int = 0,
        *,
        exchanges: Sequence[str],
        symbols: Sequence[ModelSymbol] = DEFAULT_SYMBOLS,
        start: float = DEFAULT_START,
    ) -> None:
        self._seed = seed
        self._symbols = tuple(symbols)
        self._exchanges = tuple(sorted(exchanges))
        self._start = start
        self._by_name = {one.symbol: one for one in self._symbols}
        self._paths = {
            one.symbol: Octaves(
                key_of(seed, "price", one.symbol),
                fastest=8,
                slowest=8 * DAY,
                amplitude=0.025 if one.major else 0.05,
            )
            for one in self._symbols
        }
        self._mood = {
            one.symbol: Octaves(
                key_of(seed, "mood", one.symbol), fastest=12 * HOUR, slowest=6 * DAY, amplitude=0.5e-4
            )
            for one in self._symbols
        }
        self._crowding: dict[str, Crowding] = {}
        intervals = self._plan()
        self._markets = {
            (exchange, one.symbol): _Market(seed, exchange, one, intervals[exchange, one.symbol])
            for exchange in self._exchanges
            for one in self._symbols
        }

    def _plan(self) -> dict[tuple[str, str], int]:
        """Which symbols are hot, from when, and everyone's interval."""
        rng = random.Random(f"plan/{self._seed}")
        minor = [one.symbol for one in self._symbols if not one.major]
        rng.shuffle(minor)
        anchor = math.floor(self._start / HOUR) + 1
        intervals = {
            (exchange, one.symbol): 8 if one.major or rng.random() < 0.5 else 4
            for one in self._symbols
            for exchange in self._exchanges
        }
        # An hourly market per exchange, two at least, one of them from the first settlement on; then one that settles
        # every four hours. The first crowds are handed round, so that every exchange is the rich one of one of them.
        hourly = max(2, len(self._exchanges))
        plans = [(anchor + (rng.randint(0, 1) if number else 0), 1) for number in range(hourly)]
        plans.append((-(-anchor // 4) * 4, 4))
        order = list(self._exchanges)
        rng.shuffle(order)
        for number, (symbol, (first, step)) in enumerate(zip(minor, plans, strict=False)):
            turned = [order[(number + n) % len(order)] for n in range(len(order))]
            self._crowding[symbol] = Crowding(self._seed, symbol, turned, first=first, step=step)
            for exchange in self._exchanges:
                intervals[exchange, symbol] = step
        return intervals

    # -- what a model answers --------------------------------------------------------------------------------

    @property
    def symbols(self) -> Sequence[ModelSymbol]:
        return self._symbols

    @property
    def hot(self) -> Sequence[str]:
        """Symbols with crowding episodes, the earliest first."""
        return tuple(self._crowding)

    @property
    def start(self) -> float:
        return self._start

    @property
    def end(self) -> float | None:
        return None

    @property
    def grid(self) -> float:
        return 1.0

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        return self._symbols if exchange in self._exchanges else ()

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        index = self._by_name[symbol].price * math.exp(self._paths[symbol](time))
        basis = self._markets[exchange, symbol].basis(time)
        return Prices(index, index * (1 + 0.7 * basis), index * (1 + basis))

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity:
        return self._markets[exchange, symbol].liquidity

    def funding(self, exchange: str, symbol: str, time: float) -> Funding:
        market = self._markets[exchange, symbol]
        length = market.interval * HOUR
        next_time = (math.floor(time / length) + 1) * length
        final = self._final(exchange, symbol, next_time)
        left = (next_time - time) / length
        room = 0.15 * abs(final) + 0.1e-4 * market.interval / 8
        return Funding(final + left * room * market.wobble(time), market.interval, next_time)

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        interval = self._markets[exchange, symbol].interval
        length = interval * HOUR
        first, last = math.floor(start / length) + 1, math.floor(end / length)
        return [
            Settlement(number * length, self._final(exchange, symbol, number * length), interval)
            for number in range(first, last + 1)
        ]

    def _final(self, exchange: str, symbol: str, time: float) -> float:
        """The rate of the settlement at ``time``, per interval."""
        market = self._markets[exchange, symbol]
        crowding = self._crowding.get(symbol)
        hourly = crowding.rate(exchange, time / HOUR) if crowding is not None else None
        if hourly is not None:
            return hourly * market.interval
        # 1 bp per 8 hours is what most exchanges charge when nothing happens
        eight_hours = 0.8e-4 + self._mood[symbol](time) + market.drift(time)
        return min(max(eight_hours, -3e-4), 4e-4) * market.interval / 8
