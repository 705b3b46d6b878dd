"""What the truth shows of its markets. Prices and quantities are native."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.truth.types import Side

__all__ = ["BookView", "Candle", "FundingView", "Level", "SettledRate", "TickerView", "Trade"]

Level = tuple[Decimal, Decimal]
"""Price and quantity."""


@dataclass(frozen=True, slots=True)
class BookView:
    """The book at one version. Bids descend, asks ascend; a version number is never given to two different books."""

    instrument: str
    version: int
    time_ms: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class FundingView:
    """Funding as the venue shows it now."""

    instrument: str
    rate: Decimal
    """Running rate of the coming settlement, per interval; final only at the settlement."""
    interval_hours: int
    next_ms: int
    """The coming settlement."""
    last_rate: Decimal
    """Rate of the last settlement."""
    last_ms: int
    cap: Decimal
    floor: Decimal


@dataclass(frozen=True, slots=True)
class SettledRate:
    """A past settlement."""

    instrument: str
    time_ms: int
    rate: Decimal
    interval_hours: int
    price: Decimal
    """Mark price (or index, by the venue's rule) at the settlement."""


@dataclass(frozen=True, slots=True)
class TickerView:
    """Newest prices and the last 24 hours."""

    instrument: str
    time_ms: int
    bid: Level
    ask: Level
    last: Decimal
    last_quantity: Decimal
    mark: Decimal
    index: Decimal
    open_24h: Decimal
    high_24h: Decimal
    low_24h: Decimal
    volume_24h: Decimal
    """Native quantity."""
    turnover_24h: Decimal
    """Settle asset."""
    open_interest: Decimal
    """Native quantity."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade."""

    id: str
    time_ms: int
    side: Side
    """Side of the taker."""
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Candle:
    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """Native quantity; 0 for mark and index candles."""
