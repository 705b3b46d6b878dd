"""A cheap market: prices wander smoothly, funding is constant, books are deep enough. A function of seed and time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from fundingarb.localnet.models.base import Funding, Liquidity, ModelSymbol, Prices, Settlement
from fundingarb.localnet.models.noise import key_of, uniform
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules

HOUR = 3600.0
SYMBOLS = (
    ModelSymbol("BTC-USDT", "BTC", "USDT", 94_000.0, major=True),
    ModelSymbol("SOL-USDT", "SOL", "USDT", 186.0),
    ModelSymbol("DOGE-USDT", "DOGE", "USDT", 0.318),
)
TIERS = (
    MarginTier(Decimal(200_000), Decimal("0.01"), 50),
    MarginTier(Decimal(2_000_000), Decimal("0.025"), 20, Decimal(3_000)),
    MarginTier(Decimal(50_000_000), Decimal("0.1"), 5, Decimal(153_000)),
)


class WavyModel:
    """Implements ``MarketModel``. Each price is a few slow waves; each exchange adds a small basis of its own.

    Funding is settled every ``interval_hours`` (``intervals``: of single exchanges) and differs between the exchanges
    by some basis points an hour. It keeps its sign, or changes it every ``turns`` hours (twenty minutes after the
    hour), so that hedges come to an end.
    """

    def __init__(
        self,
        seed: int,
        exchanges: Sequence[str],
        symbols: Sequence[ModelSymbol] = SYMBOLS,
        *,
        start: float,
        interval_hours: int = 1,
        grid: float = 1.0,
        turns: float | None = None,
        intervals: Mapping[str, int] | None = None,
    ) -> None:
        self._turns = turns
        self._symbols = tuple(symbols)
        self._start = start
        self._intervals = dict.fromkeys(exchanges, interval_hours) | dict(intervals or {})
        self._grid = grid
        self._price = {one.symbol: one.price for one in self._symbols}
        self._waves: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        self._rate: dict[tuple[str, str], float] = {}
        self._shape: dict[tuple[str, str], Liquidity] = {}
        for one in self._symbols:
            self._waves["", one.symbol] = _waves(key_of(seed, one.symbol), 0.004, (45, 210, 900))
            for number, exchange in enumerate(exchanges):
                key = key_of(seed, exchange, one.symbol)
                self._waves[exchange, one.symbol] = _waves(key, 0.0001, (20, 130))
                self._rate[exchange, one.symbol] = (0.0001 + 0.0004 * uniform(key, 9)) * (1 if number else -1)
                depth = 30_000 * (0.5 + uniform(key, 10))
                self._shape[exchange, one.symbol] = Liquidity(1e-4, 1e-4, depth, 1.1, 0.8, 6_000.0)

    @property
    def symbols(self) -> Sequence[ModelSymbol]:
        return self._symbols

    @property
    def start(self) -> float:
        return self._start

    @property
    def end(self) -> float | None:
        return None

    @property
    def grid(self) -> float:
        return self._grid

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        return self._symbols

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        index = self._price[symbol] * (1 + _at(self._waves["", symbol], time))
        basis = _at(self._waves[exchange, symbol], time)
        return Prices(index, index * (1 + 0.5 * basis), index * (1 + basis))

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity:
        return self._shape[exchange, symbol]

    def funding(self, exchange: str, symbol: str, time: float) -> Funding:
        hours = self._intervals[exchange]
        next_time = (math.floor(time / (hours * HOUR)) + 1) * hours * HOUR
        return Funding(self._rate_at(exchange, symbol, time), hours, next_time)

    def _rate_at(self, exchange: str, symbol: str, time: float) -> float:
        """Per interval; the sign turns where that was asked for."""
        rate = self._rate[exchange, symbol] * self._intervals[exchange]
        if self._turns is not None and math.floor((time / HOUR - 1 / 3) / self._turns) % 2:
            return -rate
        return rate

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        hours = self._intervals[exchange]
        length = hours * HOUR
        numbers = range(math.floor(start / length) + 1, math.floor(end / length) + 1)
        return [
            Settlement(n * length, self._rate_at(exchange, symbol, n * length - 1), hours) for n in numbers
        ]


def _waves(key: int, size: float, periods: Sequence[float]) -> list[tuple[float, float, float]]:
    """(amplitude, radians per second, phase) of each wave."""
    return [
        (
            size * (0.3 + uniform(key, n)),
            math.tau / period / (0.7 + 0.6 * uniform(key, n + 20)),
            uniform(key, n + 40) * math.tau,
        )
        for n, period in enumerate(periods)
    ]


def _at(waves: list[tuple[float, float, float]], time: float) -> float:
    return sum(size * math.sin(speed * time + phase) for size, speed, phase in waves)


def contract(
    symbol: ModelSymbol, *, coarse: bool = False, multiplier: int = 1, lots: int | None = None
) -> Instrument:
    """A contract with tick and lot that suit its price; a ``coarse`` one has five times the lot and a higher minimum.

    ``multiplier`` base units make one contract, as 1000PEPE does; or quantities are contracts of so many ``lots``.
    """
    price = Decimal(repr(symbol.price)) * multiplier
    magnitude = price.adjusted()
    lot = Decimal(1).scaleb(min(0, -magnitude)) if magnitude > -2 else Decimal(1)
    lot = lot * 5 if coarse else lot
    size = Decimal(1)
    if lots is not None:
        size, lot = lot * lots, Decimal(1) / lots
    return Instrument(
        id=f"{multiplier if multiplier > 1 else ''}{symbol.base}{symbol.quote}",
        symbol=symbol.symbol,
        base=symbol.base,
        quote=symbol.quote,
        settle=symbol.quote,
        tick=Decimal(1).scaleb(magnitude - 4),
        lot=lot,
        min_quantity=lot,
        max_quantity=Decimal(100_000_000),
        max_market_quantity=Decimal(10_000_000),
        min_notional=Decimal(50) if coarse else Decimal(5),
        funding_cap=Decimal("0.02"),
        funding_floor=Decimal("-0.02"),
        tiers=TIERS,
        multiplier=Decimal(multiplier),
        contract_size=size,
    )


def rules(*, always_unique: bool, funding_delay: float) -> VenueRules:
    """A venue's habits: are client order ids unique for good, after how many seconds funding rows are posted."""
    return VenueRules(
        fees=FeeTier(Decimal("0.0002"), Decimal("0.0005")),
        mark_decimals=8,
        client_ids="always" if always_unique else "open",
        post_only_crossing="cancel" if always_unique else "refuse",
        funding_delay=funding_delay,
    )
