"""One instrument's market: prices, book, taker flow and funding, from the model and from what was overridden.

Floats and integers (ticks, lots) inside; ``Decimal`` only where something leaves. The book is not stored: it is a
function of the model at a grid time, minus what was taken lately, plus the accounts' resting orders.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from fundingarb.localnet.models.base import Liquidity, MarketModel, Prices
from fundingarb.localnet.models.noise import key_of, normal, uniform
from fundingarb.localnet.numbers import decimals_of
from fundingarb.localnet.truth.money import from_float
from fundingarb.localnet.truth.rules import Instrument, VenueRules
from fundingarb.localnet.truth.types import Order, Side
from fundingarb.localnet.truth.views import BookView, Trade

__all__ = ["FlowOrder", "Market", "MarketLevel"]

LEVELS = 60
"""Levels per side that a model book has, unless somebody wants it cheaper."""
REFILL = 5.0
"""Simulated seconds after which liquidity that was taken is back."""
SHUFFLE = 10.0
"""Simulated seconds for which the size of a level stays as it is."""


class MarketLevel(NamedTuple):
    """A level of the book without the accounts' own orders."""

    ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class FlowOrder:
    """A taker order of the market itself: ``lots`` at market, by ``side``."""

    side: Side
    lots: int


class Market:
    """See the module."""

    def __init__(
        self,
        exchange: str,
        instrument: Instrument,
        rules: VenueRules,
        model: MarketModel,
        seed: int,
        levels: int = LEVELS,
    ) -> None:
        self.exchange = exchange
        self.instrument = instrument
        self.rules = rules
        self.model = model
        self.depth_levels = levels
        self.resting: dict[str, Order] = {}
        self.queue: dict[str, int] = {}
        """Lots of the market ahead of a resting order at its price."""
        self.recent: deque[Trade] = deque(maxlen=1000)
        """Trades in which an account took part."""
        self.factor = 1.0
        self.spread: float | None = None
        self.depth = 1.0
        self.fixed: dict[Side, list[MarketLevel]] = {}
        self.halted = False
        """Nothing is traded for now: no book, no flow, no orders taken."""
        self._symbol = instrument.symbol
        self._tick = float(instrument.tick)
        self._lot = float(instrument.lot)
        self._multiplier = float(instrument.multiplier)
        self._lot_value = float(instrument.lot * instrument.contract_size)
        self._mark_decimals = (
            rules.mark_decimals if rules.mark_decimals is not None else decimals_of(instrument.tick)
        )
        self._size_key = key_of(seed, "size", exchange, instrument.symbol)
        self._flow_keys = {
            side: key_of(seed, "flow", exchange, instrument.symbol, side.value) for side in Side
        }
        self._taken: dict[tuple[Side, int], tuple[int, float]] = {}
        self._prices: tuple[float, Prices] | None = None
        self._levels: tuple[object, dict[Side, list[MarketLevel]]] | None = None
        self._changes = 0
        self._version = 0
        self._view: tuple[object, BookView] | None = None

    # -- prices ----------------------------------------------------------------------------------------------

    def grid_time(self, time: float) -> float:
        """The last point at which prices changed."""
        grid = self.model.grid
        return math.floor(time / grid) * grid

    def prices(self, time: float) -> Prices:
        """Native prices at a time, overrides included."""
        at = self.grid_time(time)
        if self._prices is not None and self._prices[0] == at:
            return self._prices[1]
        found = self.raw_prices(at)
        self._prices = (at, found)
        return found

    def raw_prices(self, at: float) -> Prices:
        """Native prices at a grid point, not remembered."""
        base = self.model.prices(self.exchange, self._symbol, at)
        scale = self._multiplier * self.factor
        return Prices(base.index * scale, base.mark * scale, base.mid * scale)

    def mark(self, time: float) -> Decimal:
        return self.as_mark(self.prices(time).mark)

    def index(self, time: float) -> Decimal:
        return self.as_mark(self.prices(time).index)

    def as_mark(self, value: float) -> Decimal:
        """A mark or index price with the places the venue publishes."""
        return from_float(value, self._mark_decimals)

    def funding_price(self, time: float) -> Decimal:
        """What funding is paid on: the mark, or the index where the venue says so."""
        return self.mark(time) if self.rules.funding_price == "mark" else self.index(time)

    # -- overrides -------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Forget what was computed; the next book is a new version."""
        self._prices = None
        self._changes += 1

    def scale_price(self, factor: float) -> None:
        self.factor *= factor
        self.changed()

    def fix_side(self, side: Side, levels: Sequence[tuple[Decimal, Decimal]] | None) -> None:
        """Freeze the resting side BUY (bids) or SELL (asks)."""
        if levels is None:
            self.fixed.pop(side, None)
        else:
            rows = [MarketLevel(self.ticks(price), self.lots(quantity)) for price, quantity in levels]
            rows.sort(key=lambda level: level.ticks, reverse=side is Side.BUY)
            self.fixed[side] = [level for level in rows if level.lots > 0]
        self._taken = {key: value for key, value in self._taken.items() if key[0] is not side}
        self.changed()

    @property
    def trading(self) -> bool:
        return self.instrument.trading and not self.halted

    def clear(self) -> None:
        self.halted = False
        self.factor, self.spread, self.depth = 1.0, None, 1.0
        self.fixed.clear()
        self._taken.clear()
        self.changed()

    # -- units -----------------------------------------------------------------------------------------------

    def ticks(self, price: Decimal) -> int:
        return int(price / self.instrument.tick)

    def lots(self, quantity: Decimal) -> int:
        return int(quantity / self.instrument.lot)

    def price_of(self, ticks: int) -> Decimal:
        return self.instrument.tick * ticks

    def quantity_of(self, lots: int) -> Decimal:
        return self.instrument.lot * lots

    # -- book ------------------------------------------------------------------------------------------------

    def levels(self, side: Side, time: float) -> list[MarketLevel]:
        """What the market itself rests on a side (BUY = bids), best first, after what was taken."""
        at = self.grid_time(time)
        self._refill(time)
        key = (at, self._changes)
        if self._levels is None or self._levels[0] != key:
            self._levels = (key, self._compute(at))
        return self._levels[1][side]

    def _compute(self, at: float) -> dict[Side, list[MarketLevel]]:
        if self.halted:
            return {side: [] for side in Side}
        shape = self.model.liquidity(self.exchange, self._symbol, at)
        mid = self.prices(at).mid
        best_bid, best_ask = self._touch(mid, shape)
        result: dict[Side, list[MarketLevel]] = {}
        step = max(1, round(mid * shape.step / self._tick))
        for side, best, direction in ((Side.BUY, best_bid, -1), (Side.SELL, best_ask, 1)):
            fixed = self.fixed.get(side)
            result[side] = (
                list(fixed) if fixed is not None else self._ladder(side, best, direction * step, at, shape)
            )
        if self._taken:
            for (side, ticks), (taken, _until) in self._taken.items():
                result[side] = [
                    MarketLevel(level.ticks, level.lots - taken) if level.ticks == ticks else level
                    for level in result[side]
                    if level.ticks != ticks or level.lots > taken
                ]
        return result

    def _touch(self, mid: float, shape: Liquidity) -> tuple[int, int]:
        half = shape.half_spread if self.spread is None else self.spread
        bid = math.floor(mid * (1 - half) / self._tick)
        ask = math.ceil(mid * (1 + half) / self._tick)
        bid = max(1, bid)
        return bid, max(ask, bid + 1)

    def _ladder(self, side: Side, best: int, step: int, at: float, shape: Liquidity) -> list[MarketLevel]:
        bucket = int(at // SHUFFLE)
        value = shape.touch * self.depth
        per_lot = self._lot_value * self._tick
        rows = []
        ticks = best
        for _ in range(self.depth_levels):
            if ticks <= 0:
                break
            luck = 0.6 + 0.8 * uniform(self._size_key, (ticks << 24) ^ bucket ^ (side is Side.BUY))
            rows.append(MarketLevel(ticks, max(1, int(value * luck / (per_lot * ticks)))))
            value *= shape.growth
            # the second level sits on the lattice of the step, so that levels stay put while the touch moves
            ticks = (ticks // step) * step + step if step > 0 else -((-ticks // step) * step) + step
        return rows

    def take(self, side: Side, ticks: int, lots: int, time: float) -> None:
        """Liquidity of the market that a taker consumed; it comes back after a while (not on a frozen side)."""
        fixed = self.fixed.get(side)
        if fixed is not None:
            rows = [MarketLevel(row.ticks, row.lots - lots) if row.ticks == ticks else row for row in fixed]
            self.fixed[side] = [row for row in rows if row.lots > 0]
        else:
            before = self._taken.get((side, ticks), (0, 0.0))[0]
            self._taken[side, ticks] = (before + lots, time + REFILL)
        self._changes += 1

    def _refill(self, time: float) -> None:
        if not self._taken:
            return
        left = {key: value for key, value in self._taken.items() if value[1] > time}
        if len(left) != len(self._taken):
            self._taken = left
            self._changes += 1

    def best(self, side: Side, time: float) -> int | None:
        """Ticks of the best level of the market itself."""
        self._refill(time)
        if not self._taken and not self.fixed and not self.halted:
            # the common case needs no book
            at = self.grid_time(time)
            shape = self.model.liquidity(self.exchange, self._symbol, at)
            return self._touch(self.prices(at).mid, shape)[side is Side.SELL]
        levels = self.levels(side, time)
        return levels[0].ticks if levels else None

    def book(self, time: float, depth: int) -> BookView:
        """The public book, with the accounts' orders in it. A new version whenever anything in it may differ."""
        self._refill(time)
        key = (self.grid_time(time), self._changes)
        if self._view is None or self._view[0] != key:
            bids, asks = self._side_view(Side.BUY, time), self._side_view(Side.SELL, time)
            old = self._view[1] if self._view is not None else None
            if old is None or old.bids != bids or old.asks != asks:
                self._version += 1
            view = BookView(self.instrument.id, self._version, round(time * 1000), bids, asks)
            # _side_view may have refilled levels: take the key as it is now
            self._view = ((self.grid_time(time), self._changes), view)
        full = self._view[1]
        if depth >= len(full.bids) and depth >= len(full.asks):
            return full
        return BookView(full.instrument, full.version, full.time_ms, full.bids[:depth], full.asks[:depth])

    def _side_view(self, side: Side, time: float) -> tuple[tuple[Decimal, Decimal], ...]:
        total: dict[int, int] = {level.ticks: level.lots for level in self.levels(side, time)}
        for order in self.resting.values():
            if order.side is side and order.price is not None:
                ticks = self.ticks(order.price)
                total[ticks] = total.get(ticks, 0) + self.lots(order.remaining)
        rows = sorted(total.items(), reverse=side is Side.BUY)
        tick, lot = self.instrument.tick, self.instrument.lot
        return tuple((tick * ticks, lot * lots) for ticks, lots in rows)

    # -- resting orders and flow -----------------------------------------------------------------------------

    def add(self, order: Order, time: float) -> None:
        """Rest an order behind what the market shows at its price."""
        self.resting[order.id] = order
        if order.price is not None:
            ticks = self.ticks(order.price)
            ahead = [level.lots for level in self.levels(order.side, time) if level.ticks == ticks]
            self.queue[order.id] = ahead[0] if ahead else 0
        self._changes += 1

    def remove(self, order: Order) -> None:
        if self.resting.pop(order.id, None) is not None:
            self.queue.pop(order.id, None)
            self._changes += 1

    def touched(self) -> None:
        """A resting order changed its quantity."""
        self._changes += 1

    def flow(self, step: int, time: float) -> list[FlowOrder]:
        """The market's own taker orders of a grid step: a function of seed and step alone."""
        shape = self.model.liquidity(self.exchange, self._symbol, time)
        chance = min(1.0, shape.flow * self.model.grid)
        result = []
        for side, key in self._flow_keys.items():
            if uniform(key, step * 2) < chance:
                value = shape.flow_value * self.depth * math.exp(normal(key, step * 2 + 1))
                per_lot = self._lot_value * self.prices(time).mid
                result.append(FlowOrder(side, max(1, round(value / per_lot))))
        return result

    def public_trades(self, time: float, limit: int) -> list[Trade]:
        """The newest trades, ascending: the market's own flow at its touch, and what accounts traded."""
        grid = self.model.grid
        step = math.floor(time / grid)
        found: list[Trade] = []
        for number in range(step, step - max(60, 20 * limit), -1):
            at = number * grid
            for order in self.flow(number, at):
                bid, ask = self._touch(
                    self.raw_prices(at).mid, self.model.liquidity(self.exchange, self._symbol, at)
                )
                ticks = ask if order.side is Side.BUY else bid
                found.append(
                    Trade(
                        str(number * 2 + (order.side is Side.BUY)),
                        round(at * 1000),
                        order.side,
                        self.price_of(ticks),
                        self.quantity_of(order.lots),
                    )
                )
            if len(found) >= limit:
                break
        found.extend(self.recent)
        found.sort(key=lambda trade: trade.time_ms)
        return found[-limit:]
