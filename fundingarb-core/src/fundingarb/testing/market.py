"""A localnet market that does what a test says: one price, one rate, a fixed book, no flow unless asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fundingarb.localnet.models.base import Funding, Liquidity, ModelSymbol, Prices, Settlement

BTC = ModelSymbol("BTC-USDT", "BTC", "USDT", 1000.0)
START = 1_767_598_680.0
"""2026-01-05 07:38 UTC, 22 minutes before a time at which every interval settles."""


@dataclass
class StillModel:
    """Implements ``MarketModel``. ``price`` (or ``priced``, by symbol) and ``rate`` may be changed as the test goes."""

    price: float = 1000.0
    index_price: float | None = None
    rate: float = 0.0001
    interval: int = 8
    flow: float = 0.0
    flow_value: float = 1000.0
    half_spread: float = 0.001
    touch: float = 10_000.0
    path: Callable[[float], float] | None = None
    priced: Mapping[str, float] = field(default_factory=dict)
    symbols: Sequence[ModelSymbol] = field(default_factory=lambda: [BTC])
    start: float = START
    end: float | None = None
    grid: float = 1.0

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        return self.symbols

    def prices(self, exchange: str, symbol: str, time: float) -> Prices:
        price = self.path(time) if self.path is not None else self.priced.get(symbol, self.price)
        return Prices(self.index_price or price, price, price)

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity:
        return Liquidity(self.half_spread, 0.001, self.touch, 1.0, self.flow, self.flow_value)

    def funding(self, exchange: str, symbol: str, time: float) -> Funding:
        length = self.interval * 3600
        return Funding(self.rate, self.interval, (math.floor(time / length) + 1) * length)

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        length = self.interval * 3600
        first, last = math.floor(start / length) + 1, math.floor(end / length)
        return [Settlement(n * length, self.rate, self.interval) for n in range(first, last + 1)]
