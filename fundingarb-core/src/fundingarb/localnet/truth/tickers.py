"""The last 24 hours and candles, computed from the model on a fixed grid."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal

from fundingarb.localnet.models.noise import key_of, uniform
from fundingarb.localnet.truth.market import Market
from fundingarb.localnet.truth.views import Candle, TickerView

__all__ = ["Tickers"]

SAMPLE = 1800.0
"""Seconds between the points of which the 24-hour figures are made."""
DAY = 86400.0
CANDLE_POINTS = 8


class Tickers:
    """24-hour figures and candles of one market."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._samples: dict[int, float] = {}
        self._factor = 1.0
        self._window: tuple[int, float, float, float] | None = None
        self._key = key_of("last", market.exchange, market.instrument.id)

    def _day(self, now: float) -> tuple[float, float, float]:
        """Open, high and low of the last 24 hours."""
        index = math.floor(now / SAMPLE)
        if self._factor != self._market.factor:
            self._samples.clear()
            self._window, self._factor = None, self._market.factor
        if self._window is None or self._window[0] != index:
            first = index - round(DAY / SAMPLE) + 1
            self._samples = {k: v for k, v in self._samples.items() if k >= first}
            for number in range(first, index + 1):
                if number not in self._samples:
                    self._samples[number] = self._market.raw_prices(number * SAMPLE).mid
            values = list(self._samples.values())
            self._window = (index, self._samples[first], max(values), min(values))
        mid = self._market.prices(now).mid
        _, first_price, high, low = self._window
        return first_price, max(high, mid), min(low, mid)

    def view(self, now: float) -> TickerView:
        market = self._market
        instrument = market.instrument
        book = market.book(now, 1)
        tick, lot = instrument.tick, instrument.lot
        none = (Decimal(0), Decimal(0))
        bid = book.bids[0] if book.bids else none
        ask = book.asks[0] if book.asks else none
        step = math.floor(now / market.model.grid)
        buy = uniform(self._key, step) < 0.5
        last = (ask if buy else bid)[0] or market.mark(now)
        quantity = lot * max(1, round(float(bid[1] / lot) * 0.1 * (0.2 + uniform(self._key, -step))))
        if market.recent and market.recent[-1].time_ms >= math.floor(now) * 1000:
            last, quantity = market.recent[-1].price, market.recent[-1].quantity
        opened, high, low = self._day(now)
        shape = market.model.liquidity(market.exchange, instrument.symbol, now)
        turnover = Decimal(round(shape.flow * shape.flow_value * 1.65 * 2 * DAY))
        volume = lot * round(turnover / (instrument.contract_size * max(last, tick)) / lot)
        return TickerView(
            instrument=instrument.id,
            time_ms=round(now * 1000),
            bid=bid,
            ask=ask,
            last=last,
            last_quantity=quantity,
            mark=market.mark(now),
            index=market.index(now),
            open_24h=tick * round(opened / float(tick)),
            high_24h=max(last, tick * round(high / float(tick))),
            low_24h=min(last, tick * round(low / float(tick))),
            volume_24h=volume,
            turnover_24h=turnover,
            open_interest=lot * round(volume / 2 / lot),
        )

    def candles(
        self, seconds: int, start_ms: int, end_ms: int, kind: Literal["last", "mark", "index"]
    ) -> list[Candle]:
        """Candles that open in [start, end); each from a few points of the model."""
        first = -(-start_ms // (seconds * 1000))
        rows = []
        for number in range(first, -(-end_ms // (seconds * 1000))):
            at = number * seconds
            last = min(at + seconds, end_ms / 1000)
            points = [at + (last - at) * n / CANDLE_POINTS for n in range(CANDLE_POINTS + 1)]
            values = [self._price(point, kind) for point in points]
            rows.append(
                Candle(
                    at * 1000,
                    values[0],
                    max(values),
                    min(values),
                    values[-1],
                    self._volume(at, seconds) if kind == "last" else Decimal(0),
                )
            )
        return rows

    def _price(self, at: float, kind: Literal["last", "mark", "index"]) -> Decimal:
        prices = self._market.raw_prices(self._market.grid_time(at))
        if kind == "mark":
            return self._market.as_mark(prices.mark)
        if kind == "index":
            return self._market.as_mark(prices.index)
        tick = self._market.instrument.tick
        return tick * round(prices.mid / float(tick))

    def _volume(self, at: float, seconds: int) -> Decimal:
        market = self._market
        shape = market.model.liquidity(market.exchange, market.instrument.symbol, at)
        value = shape.flow * shape.flow_value * 1.65 * 2 * seconds
        price = market.raw_prices(at).mid * float(market.instrument.lot * market.instrument.contract_size)
        return market.instrument.lot * round(value / price)
