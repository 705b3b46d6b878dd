"""What can be traded: one linear perpetual on one exchange."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum


class Side(str, Enum):
    """The side of a leg."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self is Side.LONG else -1

    @property
    def opposite(self) -> Side:
        return Side.SHORT if self is Side.LONG else Side.LONG


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of ``step`` not above ``value``. Exact: a quotient would be rounded, perhaps upwards."""
    nearest = value // step * step
    return nearest if nearest <= value else nearest - step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of ``step`` not below ``value``."""
    nearest = value // step * step
    return nearest if nearest >= value else nearest + step


@dataclass(frozen=True, slots=True)
class Instrument:
    """One linear perpetual on one exchange. Quantities are base units, prices settle currency per base unit.

    ``symbol`` is the same on every exchange (``PEPE-USDT`` where the exchange lists ``1000PEPEUSDT``);
    ``exchange_id`` is the exchange's own name. ``max_quantity`` and ``max_market_quantity`` are the most that one limit
    or market order may ask for, where there is a bound. ``funding_cap`` and ``funding_floor`` bound the rate of one
    interval, where the exchange says so. ``multiplier`` says how many base units one exchange unit is:
    the adapter has already divided prices and multiplied quantities by it.
    """

    exchange: str
    symbol: str
    exchange_id: str
    base: str
    settle: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    funding_interval: timedelta
    max_quantity: Decimal | None = None
    max_market_quantity: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    delists_at: datetime | None = None
    funding_cap: Decimal | None = None
    funding_floor: Decimal | None = None

    def __post_init__(self) -> None:
        if self.tick <= 0 or self.lot <= 0 or self.multiplier <= 0 or self.funding_interval <= timedelta(0):
            raise ValueError(
                f"{self.exchange} {self.symbol}: tick, lot, multiplier and funding interval must be positive"
            )

    def floor_quantity(self, quantity: Decimal) -> Decimal:
        """``quantity`` rounded down to the lot."""
        return floor_to(quantity, self.lot)

    def bounded(self, rate: Decimal) -> Decimal:
        """``rate`` (fraction per interval) within the exchange's cap and floor."""
        capped = rate if self.funding_cap is None else min(rate, self.funding_cap)
        return capped if self.funding_floor is None else max(capped, self.funding_floor)

    def orderable(self, quantity: Decimal) -> bool:
        """Whether an order may ask for exactly ``quantity``, as far as lot and minimum go."""
        return quantity >= self.min_quantity and self.floor_quantity(quantity) == quantity

    def to_reduce(self, quantity: Decimal, *, whole: bool, market: bool) -> Decimal:
        """What one reduce-only order (at the market, or limited) asks for to take ``quantity`` off a position; 0 when
        no order can take so little.

        ``whole``: that is all there is. An order that reduces only takes no more than that, so it may ask for the next
        larger size that the exchange accepts; else what it asked for too much would be taken of the rest.
        """
        if quantity <= 0:
            return Decimal(0)
        wanted = ceil_to(max(quantity, self.min_quantity), self.lot) if whole else quantity
        bounds = (self.max_quantity, self.max_market_quantity if market else None)
        return self.floor_quantity(min([wanted, *(bound for bound in bounds if bound is not None)]))

    def price_down(self, price: Decimal) -> Decimal:
        return floor_to(price, self.tick)

    def price_up(self, price: Decimal) -> Decimal:
        return ceil_to(price, self.tick)

    def tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether an opening order of this size passes the exchange's minimum quantity and notional."""
        return quantity >= self.min_quantity and quantity * price >= self.min_notional


def common_lot(one: Instrument, other: Instrument) -> Decimal:
    """The smallest quantity that both lots divide: the step in which a hedge of the two can be sized."""
    a, b = one.lot, other.lot
    (p, q), (r, s) = a.as_integer_ratio(), b.as_integer_ratio()
    numerator, denominator = math.lcm(p * s, r * q), q * s
    return Decimal(numerator) / Decimal(denominator)
