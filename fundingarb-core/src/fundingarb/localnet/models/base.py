"""What a market model is: prices, liquidity and funding as functions of time, for several exchanges at once.

Models speak floats in base units of the symbol (a 1000PEPE contract is priced as 1 PEPE here) and know nothing of
native ids, ticks or lots. They are pure functions of their construction arguments and of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Funding", "Liquidity", "MarketModel", "ModelSymbol", "Prices", "Settlement"]


@dataclass(frozen=True, slots=True)
class ModelSymbol:
    """A market of the model, the same on every exchange."""

    symbol: str
    """BASE-QUOTE of one base unit: BTC-USDT, PEPE-USDT."""
    base: str
    quote: str
    price: float
    """Typical price of one base unit, to derive ticks and lots from."""
    multiplier: int = 1
    """How many base units the usual listing bundles (1000 for PEPE: exchanges list 1000PEPEUSDT)."""
    major: bool = False


@dataclass(slots=True)
class Prices:
    """Per base unit. ``mid`` is the middle of the venue's own book, ``mark`` its mark price."""

    index: float
    mark: float
    mid: float


@dataclass(slots=True)
class Liquidity:
    """Shape of a venue's book and its flow.

    ``half_spread`` and ``step`` (distance between levels) are fractions of the mid; ``touch`` is the value resting
    on the best level in quote units, and each level further out holds ``growth`` times the one before.
    ``flow`` is the number of taker orders per simulated second and side, ``flow_value`` their median value.
    """

    half_spread: float
    step: float
    touch: float
    growth: float
    flow: float
    flow_value: float


@dataclass(slots=True)
class Funding:
    """``rate`` is per interval, as it is shown at the time asked for; ``next_time`` the settlement it is for."""

    rate: float
    interval_hours: int
    next_time: float


@dataclass(slots=True)
class Settlement:
    """A settlement at ``time`` with its final rate per interval."""

    time: float
    rate: float
    interval_hours: int


class MarketModel(Protocol):
    """Prices and funding of several exchanges."""

    @property
    def symbols(self) -> Sequence[ModelSymbol]:
        """All symbols, in a fixed order."""

    @property
    def start(self) -> float:
        """Simulated time the model suggests to start at (unix seconds)."""

    @property
    def end(self) -> float | None:
        """Where the model ends; None goes on for good."""

    @property
    def grid(self) -> float:
        """Seconds between two points at which prices may change."""

    def listed(self, exchange: str) -> Sequence[ModelSymbol]:
        """The symbols this exchange has, a subset of ``symbols`` in the same order."""

    def prices(self, exchange: str, symbol: str, time: float) -> Prices: ...

    def liquidity(self, exchange: str, symbol: str, time: float) -> Liquidity: ...

    def funding(self, exchange: str, symbol: str, time: float) -> Funding: ...

    def settlements(self, exchange: str, symbol: str, start: float, end: float) -> Sequence[Settlement]:
        """Settlements in (start, end], ascending. ``funding`` right before one shows its final rate."""
