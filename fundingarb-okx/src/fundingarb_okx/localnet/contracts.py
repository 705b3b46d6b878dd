"""The contracts the offline OKX lists, and the venue's habits.

Contract values, ticks and lots of the contracts named here are those OKX shows for them; everything else the model
may bring gets rules of the same shape, derived from its price. OKX bundles nothing: PEPE-USDT-SWAP is priced per PEPE
and a contract is ten million of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules

__all__ = ["FIRST_CODE", "RULES", "family", "list_instruments"]

QUOTE = "USDT"
FIRST_ID = 1_873_600_000_000_000_000
FIRST_TRADE = 1_000_000_000
FIRST_CODE = 10_458
"""``instIdCode`` of the first contract listed; the others follow."""


def _fill_id(number: int) -> str:
    return str(FIRST_TRADE + number - FIRST_ID)


RULES = VenueRules(
    settle=QUOTE,
    fees=FeeTier(maker=Decimal("0.0002"), taker=Decimal("0.0005")),
    ledger_decimals=12,
    rate_decimals=16,
    default_leverage=3,
    # "If the clOrdId is associated with multiple orders, only the latest one will be returned."
    client_ids="open",
    # a post-only order that would take is taken and cancelled with cancelSource 31
    post_only_crossing="cancel",
    reduce_only_excess="trim",
    fill_id=_fill_id,
    first_id=FIRST_ID,
)


@dataclass(frozen=True, slots=True)
class _Rules:
    value: str
    """``ctVal``: units of the base currency in a contract."""
    tick: str
    lot: str
    largest: str
    largest_market: str


_KNOWN = {
    "BTC": _Rules("0.01", "0.1", "0.01", "100000000", "12000"),
    "ETH": _Rules("0.1", "0.01", "0.01", "100000000", "20000"),
    "SOL": _Rules("1", "0.01", "0.01", "100000000", "60000"),
    "XRP": _Rules("100", "0.0001", "0.01", "100000000", "80000"),
    "DOGE": _Rules("1000", "0.00001", "0.01", "100000000", "20000"),
    "BNB": _Rules("0.01", "0.1", "1", "100000000", "50000"),
    "ADA": _Rules("100", "0.0001", "0.1", "100000000", "30000"),
    "AVAX": _Rules("1", "0.01", "0.1", "100000000", "40000"),
    "LINK": _Rules("1", "0.001", "0.1", "100000000", "40000"),
    "LTC": _Rules("1", "0.01", "0.1", "100000000", "20000"),
    "PEPE": _Rules("10000000", "0.000000001", "0.1", "100000000", "12000"),
    "WIF": _Rules("1", "0.0001", "1", "100000000", "500000"),
    "ORDI": _Rules("0.1", "0.001", "1", "100000000", "250000"),
}

_LARGE_TIERS = (
    ("5000000", "0.004", 100),
    ("20000000", "0.01", 50),
    ("60000000", "0.02", 25),
    ("150000000", "0.05", 10),
)
_SMALL_TIERS = (
    ("300000", "0.01", 50),
    ("1500000", "0.02", 20),
    ("5000000", "0.05", 10),
    ("15000000", "0.1", 5),
)
_DEEP = ("BTC", "ETH")


def _tiers(rows: Sequence[tuple[str, str, int]]) -> tuple[MarginTier, ...]:
    """OKX charges the rate of the tier a position is in on all of it: there is no deduction."""
    return tuple(MarginTier(Decimal(limit), Decimal(rate), leverage) for limit, rate, leverage in rows)


def _derived(price: float) -> _Rules:
    """Rules of a contract nobody wrote down: five digits of price, a contract worth one to ten dollars."""
    tick = Decimal(1).scaleb(math.floor(math.log10(price)) - 4)
    value = Decimal(1).scaleb(math.floor(math.log10(10 / price)))
    return _Rules(format(value, "f"), format(tick, "f"), "1", "100000000", "1000000")


def list_instruments(symbols: Sequence[ModelSymbol]) -> list[Instrument]:
    """The USDT swaps among the model's symbols."""
    found = []
    for symbol in symbols:
        if symbol.quote != QUOTE:
            continue
        rules = _KNOWN.get(symbol.base) or _derived(symbol.price)
        deep = symbol.base in _DEEP
        cap = Decimal("0.00375") if deep else Decimal("0.015")
        lot = Decimal(rules.lot)
        found.append(
            Instrument(
                id=f"{symbol.base}-{QUOTE}-SWAP",
                symbol=symbol.symbol,
                base=symbol.base,
                quote=QUOTE,
                settle=QUOTE,
                tick=Decimal(rules.tick),
                lot=lot,
                min_quantity=lot,
                max_quantity=Decimal(rules.largest),
                max_market_quantity=Decimal(rules.largest_market),
                min_notional=Decimal(0),
                funding_cap=cap,
                funding_floor=-cap,
                tiers=_tiers(_LARGE_TIERS if deep else _SMALL_TIERS),
                contract_size=Decimal(rules.value),
                max_open_orders=500,
                price_band=Decimal("0.02") if deep else Decimal("0.1"),
                listed_ms=1_611_916_828_000,
            )
        )
    return found


def family(instrument: Instrument) -> str:
    """``instFamily`` and ``uly``: what the index is called, too."""
    return f"{instrument.base}-{instrument.quote}"
