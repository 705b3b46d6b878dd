"""The contracts Binance lists for the model's symbols: filters, precisions, leverage brackets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules
from fundingarb_binance.localnet.numbers import decimals_of

__all__ = ["FUNDING_HOURS", "Listing", "listings", "rules"]

FUNDING_HOURS = 8
"""Interval of a contract that was never adjusted; ``fundingInfo`` lists the others."""

Bracket = tuple[int, str, int]
"""Cap of the notional, maintenance margin ratio, highest leverage."""

_BTC: tuple[Bracket, ...] = (
    (300_000, "0.004", 125),
    (800_000, "0.005", 100),
    (3_000_000, "0.0065", 75),
    (12_000_000, "0.01", 50),
    (70_000_000, "0.02", 25),
    (100_000_000, "0.025", 20),
    (230_000_000, "0.05", 10),
    (480_000_000, "0.1", 5),
    (600_000_000, "0.125", 4),
    (800_000_000, "0.15", 3),
    (1_200_000_000, "0.25", 2),
    (1_800_000_000, "0.5", 1),
)
_MAJOR: tuple[Bracket, ...] = (
    (50_000, "0.005", 100),
    (500_000, "0.0065", 75),
    (1_000_000, "0.01", 50),
    (5_000_000, "0.02", 25),
    (10_000_000, "0.025", 20),
    (30_000_000, "0.05", 10),
    (50_000_000, "0.1", 5),
    (80_000_000, "0.125", 4),
    (100_000_000, "0.25", 2),
    (150_000_000, "0.5", 1),
)
_OTHER: tuple[Bracket, ...] = (
    (10_000, "0.01", 75),
    (50_000, "0.015", 50),
    (200_000, "0.02", 25),
    (500_000, "0.025", 20),
    (1_500_000, "0.05", 10),
    (3_000_000, "0.1", 5),
    (4_000_000, "0.125", 4),
    (8_000_000, "0.25", 2),
    (12_000_000, "0.5", 1),
)

_FILTERS: dict[str, tuple[str, str, int, str]] = {
    # listed base: tick, lot, price precision, least notional
    "BTC": ("0.10", "0.001", 2, "100"),
    "ETH": ("0.01", "0.001", 2, "20"),
    "BNB": ("0.010", "0.01", 3, "5"),
    "SOL": ("0.0100", "0.01", 4, "5"),
    "XRP": ("0.0001", "0.1", 4, "5"),
    "DOGE": ("0.000010", "1", 6, "5"),
    "ADA": ("0.00010", "1", 5, "5"),
    "LTC": ("0.01", "0.001", 2, "20"),
    "LINK": ("0.001", "0.01", 3, "20"),
    "AVAX": ("0.0010", "1", 4, "5"),
    "DOT": ("0.001", "0.1", 3, "5"),
    "TRX": ("0.00001", "1", 5, "5"),
    "1000PEPE": ("0.0000001", "1", 7, "5"),
    "1000SHIB": ("0.000001", "1", 6, "5"),
    "1000BONK": ("0.000001", "1", 6, "5"),
    "SUI": ("0.000100", "0.1", 6, "5"),
    "ARB": ("0.000100", "0.1", 6, "5"),
    "NEAR": ("0.001", "1", 4, "5"),
}
"""As on the exchange where the contract is well known; the rest is derived from the price."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A contract and what only Binance says of it."""

    instrument: Instrument
    price_precision: int
    quantity_precision: int
    min_price: Decimal
    max_price: Decimal

    @property
    def id(self) -> str:
        return self.instrument.id


def rules() -> VenueRules:
    """Binance's habits: ids, fees of VIP 0, eight decimals in the ledger and in mark prices."""
    return VenueRules(
        settle="USDT",
        fees=FeeTier(maker=Decimal("0.0002"), taker=Decimal("0.0005")),
        ledger_decimals=8,
        mark_decimals=8,
        rate_decimals=8,
        funding_price="mark",
        default_leverage=20,
        client_ids="open",
        post_only_crossing="refuse",
        reduce_only_excess="trim",
        order_id=lambda number: str(8_389_000_000_000 + number),
        fill_id=lambda number: str(6_100_000_000 + number),
    )


def listings(symbols: Sequence[ModelSymbol]) -> list[Listing]:
    """USDT-margined contracts only; contracts on tiny units are listed as bundles (1000PEPEUSDT)."""
    return [_listing(symbol) for symbol in symbols if symbol.quote == "USDT"]


def _listing(symbol: ModelSymbol) -> Listing:
    base = symbol.base if symbol.multiplier == 1 else f"{symbol.multiplier}{symbol.base}"
    price = symbol.price * symbol.multiplier
    tick_text, lot_text, precision, least = _FILTERS.get(base) or _derived(price)
    tick, lot = Decimal(tick_text), Decimal(lot_text)
    brackets = _BTC if base in ("BTC", "ETH") else _MAJOR if symbol.major else _OTHER
    # The largest order is worth some ten million; market orders are held to a fifth of that.
    largest = max(1000, math.floor(20_000_000 / price / float(lot))) * lot
    major = base in ("BTC", "ETH")
    cap = Decimal("0.003") if major else Decimal("0.02")
    instrument = Instrument(
        id=f"{base}{symbol.quote}",
        symbol=symbol.symbol,
        base=base,
        quote=symbol.quote,
        settle=symbol.quote,
        tick=tick,
        lot=lot,
        min_quantity=lot,
        max_quantity=largest,
        max_market_quantity=(largest / 5).quantize(lot),
        min_notional=Decimal(least),
        funding_cap=cap,
        funding_floor=-cap,
        tiers=tuple(_tiers(brackets)),
        multiplier=Decimal(symbol.multiplier),
        max_open_orders=200,
        price_band=Decimal("0.05") if major else Decimal("0.15"),
    )
    highest = tick * math.ceil(price * 40 / float(tick))
    lowest = tick * max(1, math.floor(price / 200 / float(tick)))
    return Listing(instrument, precision, decimals_of(lot), lowest, highest)


def _derived(price: float) -> tuple[str, str, int, str]:
    """Filters for a contract the table does not have: about five digits of price, lots worth up to a dollar."""
    places = max(0, 4 - math.floor(math.log10(price)))
    tick = Decimal(1).scaleb(-places)
    lot = Decimal(1).scaleb(min(0, -math.floor(math.log10(price))))
    return f"{tick:f}", f"{lot:f}", places, "5"


def _tiers(brackets: Iterable[Bracket]) -> Iterable[MarginTier]:
    floor, ratio, deduction = Decimal(0), Decimal(0), Decimal(0)
    for cap, text, leverage in brackets:
        deduction += floor * (Decimal(text) - ratio)
        ratio = Decimal(text)
        yield MarginTier(Decimal(cap), ratio, leverage, deduction)
        floor = Decimal(cap)
