"""The contracts the offline Bybit lists, and the venue's habits.

Ticks, lots and limits of the contracts named here are those Bybit shows for them; everything else the model may
bring gets rules of the same shape, derived from its price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules
from fundingarb_bybit.localnet.wire import decimals_of, identifier

__all__ = ["RULES", "list_instruments", "price_decimals", "quantity_decimals", "symbol_number"]

QUOTE = "USDT"


def _order_id(number: int) -> str:
    return identifier("order", number)


def _fill_id(number: int) -> str:
    return identifier("execution", number)


RULES = VenueRules(
    settle=QUOTE,
    fees=FeeTier(maker=Decimal("0.0002"), taker=Decimal("0.00055")),
    ledger_decimals=8,
    rate_decimals=8,
    default_leverage=10,
    # orderLinkId of futures and perpetuals is "always unique".
    client_ids="always",
    # "If the order would be filled immediately when submitted, it will be cancelled."
    post_only_crossing="cancel",
    reduce_only_excess="trim",
    order_id=_order_id,
    fill_id=_fill_id,
    first_id=1,
)


@dataclass(frozen=True, slots=True)
class _Rules:
    tick: str
    lot: str
    largest: str
    largest_market: str


_KNOWN = {
    "BTCUSDT": _Rules("0.1", "0.001", "1190", "500"),
    "ETHUSDT": _Rules("0.01", "0.01", "7240", "4100"),
    "SOLUSDT": _Rules("0.01", "0.1", "79770", "15950"),
    "XRPUSDT": _Rules("0.0001", "0.1", "9830000", "1960000"),
    "DOGEUSDT": _Rules("0.00001", "1", "46080000", "9200000"),
    "BNBUSDT": _Rules("0.1", "0.01", "6650", "1330"),
    "ADAUSDT": _Rules("0.0001", "1", "10000000", "2000000"),
    "AVAXUSDT": _Rules("0.001", "0.1", "160000", "32000"),
    "LINKUSDT": _Rules("0.001", "0.1", "270000", "54000"),
    "LTCUSDT": _Rules("0.01", "0.1", "36900", "7300"),
    "1000PEPEUSDT": _Rules("0.0000001", "100", "170000000", "34000000"),
}

_LARGE_TIERS = (
    ("2000000", "0.005", 100),
    ("10000000", "0.01", 50),
    ("30000000", "0.02", 25),
    ("60000000", "0.05", 10),
    ("120000000", "0.1", 5),
)
_SMALL_TIERS = (
    ("200000", "0.01", 50),
    ("1000000", "0.02", 25),
    ("3000000", "0.04", 12),
    ("10000000", "0.1", 5),
)
_DEEP = ("BTC", "ETH")


def _tiers(rows: Sequence[tuple[str, str, int]]) -> tuple[MarginTier, ...]:
    tiers: list[MarginTier] = []
    below = rate_below = deduction = Decimal(0)
    for limit, rate, leverage in rows:
        deduction += below * (Decimal(rate) - rate_below)
        tiers.append(MarginTier(Decimal(limit), Decimal(rate), leverage, deduction))
        below, rate_below = Decimal(limit), Decimal(rate)
    return tuple(tiers)


def _derived(price: float) -> _Rules:
    """Rules of a contract nobody wrote down: five digits of price, a lot worth at most five dollars."""
    tick = Decimal(1).scaleb(math.floor(math.log10(price)) - 4)
    lot = Decimal(1).scaleb(math.floor(math.log10(5 / price)))
    largest = (Decimal(5_000_000) / Decimal(repr(price)) // lot) * lot
    market = (largest / 5 // lot) * lot
    return _Rules(format(tick, "f"), format(lot, "f"), format(largest, "f"), format(market, "f"))


def list_instruments(symbols: Sequence[ModelSymbol]) -> list[Instrument]:
    """The USDT perpetuals among the model's symbols."""
    found = []
    for symbol in symbols:
        if symbol.quote != QUOTE:
            continue
        bundle = str(symbol.multiplier) if symbol.multiplier > 1 else ""
        base = f"{bundle}{symbol.base}"
        name = f"{base}{QUOTE}"
        rules = _KNOWN.get(name) or _derived(symbol.price * symbol.multiplier)
        deep = symbol.base in _DEEP
        cap = Decimal("0.005") if deep else Decimal("0.02")
        lot = Decimal(rules.lot)
        found.append(
            Instrument(
                id=name,
                symbol=symbol.symbol,
                base=base,
                quote=QUOTE,
                settle=QUOTE,
                tick=Decimal(rules.tick),
                lot=lot,
                min_quantity=lot,
                max_quantity=Decimal(rules.largest),
                max_market_quantity=Decimal(rules.largest_market),
                min_notional=Decimal(5),
                funding_cap=cap,
                funding_floor=-cap,
                tiers=_tiers(_LARGE_TIERS if deep else _SMALL_TIERS),
                multiplier=Decimal(symbol.multiplier),
                max_open_orders=500,
                price_band=Decimal("0.02") if deep else Decimal("0.1"),
                listed_ms=1_585_526_400_000,
            )
        )
    return found


@lru_cache(maxsize=64)
def _price_scale(tick: Decimal) -> int:
    places = decimals_of(tick)
    return max(places, 2) if tick >= Decimal("0.1") else places


def price_decimals(instrument: Instrument) -> int:
    """Bybit's ``priceScale``: the places of the tick, at least two for prices with a tick of a tenth or more."""
    return _price_scale(instrument.tick)


@lru_cache(maxsize=64)
def _places(step: Decimal) -> int:
    return decimals_of(step)


def quantity_decimals(instrument: Instrument) -> int:
    """Places of a quantity, those of the lot."""
    return _places(instrument.lot)


def symbol_number(instrument: Instrument) -> int:
    """A ``symbolId`` that depends on nothing but the name."""
    return int.from_bytes(instrument.id.encode(), "big") % 9973 + 1
