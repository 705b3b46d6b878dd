"""The perpetuals the offline dYdX lists, how the chain counts in them, and the venue's habits.

Resolutions and ticks of the markets named here are those of dYdX; everything else the model may bring is derived from
its price as new markets of dYdX are.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.models.base import ModelSymbol
from fundingarb.localnet.truth.rules import FeeTier, Instrument, MarginTier, VenueRules

__all__ = [
    "CHAIN_ID",
    "EXPONENT",
    "NAMESPACE",
    "RULES",
    "STEP_QUANTUMS",
    "Perpetual",
    "list_instruments",
    "order_uuid",
    "perpetuals",
    "subaccount_uuid",
]

CHAIN_ID = "dydx-localnet-1"
"""No other network has it: what is signed for the localnet is worth nothing elsewhere."""
NAMESPACE = uuid.UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")
"""Namespace of the indexer's ids."""
QUOTE = "USDT"
"""The model's quote; dYdX quotes in USD and settles in USDC."""
EXPONENT = -9
"""``quantumConversionExponent`` of every market."""
STEP_DIGITS = 6
STEP_QUANTUMS = 10**STEP_DIGITS
"""``stepBaseQuantums`` of every market."""


def subaccount_uuid(address: str, number: int) -> str:
    """The indexer's id of a subaccount."""
    return str(uuid.uuid5(NAMESPACE, f"{address}-{number}"))


def order_uuid(subaccount: str, client_id: int, clob_pair: int, flags: int) -> str:
    """The indexer's id of an order; ``subaccount`` is ``subaccount_uuid``."""
    return str(uuid.uuid5(NAMESPACE, f"{subaccount}-{client_id}-{clob_pair}-{flags}"))


def _fill_id(number: int) -> str:
    return str(uuid.uuid5(NAMESPACE, f"fill-{number}"))


def _order_id(number: int) -> str:
    """Only orders that nobody placed (liquidations) are named so."""
    return str(uuid.uuid5(NAMESPACE, f"liquidation-{number}"))


RULES = VenueRules(
    settle="USDC",
    fees=FeeTier(maker=Decimal("0.0001"), taker=Decimal("0.0005")),
    ledger_decimals=6,
    rate_decimals=10,
    mark_decimals=10,
    funding_interval_hours=1,
    # The oracle price is what the truth calls the mark: margin, profit and funding are all reckoned with it.
    funding_price="mark",
    # There is no leverage to set: the market's initial margin fraction holds.
    default_leverage=1000,
    client_ids="open",
    post_only_crossing="cancel",
    reduce_only_excess="trim",
    liquidation_fee=Decimal("0.015"),
    order_id=_order_id,
    fill_id=_fill_id,
)


@dataclass(frozen=True, slots=True)
class _Known:
    clob_pair: int
    resolution: int
    """``atomicResolution``: a quantum is 10 to this power of the base asset."""
    subticks_per_tick: int


_KNOWN = {
    "BTC": _Known(0, -10, 100_000),
    "ETH": _Known(1, -9, 100_000),
    "LINK": _Known(2, -6, 1_000_000),
    "SOL": _Known(5, -7, 1_000_000),
    "AVAX": _Known(7, -7, 1_000_000),
    "DOGE": _Known(10, -4, 1_000_000),
    "XRP": _Known(28, -5, 1_000_000),
}
_FIRST_OTHER = 100
_MARGIN = {"BTC": ("0.012", 50), "ETH": ("0.012", 50), "SOL": ("0.03", 20)}
"""Maintenance margin fraction, and the leverage that the initial one allows. The others: 5 % and 10."""


def _derived(price: float) -> _Known:
    """A step worth one to ten dollars, and five digits of price."""
    return _Known(-1, -6 - math.floor(math.log10(price)), 100_000)


@dataclass(frozen=True, slots=True)
class Perpetual:
    """A market in the chain's own units."""

    instrument: Instrument
    clob_pair: int
    resolution: int
    subticks_per_tick: int

    @property
    def ticker(self) -> str:
        return self.instrument.id

    def quantity(self, quantums: int) -> Decimal:
        """Base units."""
        return Decimal(quantums).scaleb(self.resolution)

    def price(self, subticks: int) -> Decimal:
        """USD for one base unit."""
        return Decimal(subticks).scaleb(EXPONENT - 6 - self.resolution)

    @property
    def initial_margin(self) -> Decimal:
        return Decimal(1) / self.instrument.max_leverage

    @property
    def maintenance_margin(self) -> Decimal:
        return self.instrument.tiers[0].maintenance_rate


def list_instruments(symbols: Sequence[ModelSymbol]) -> list[Instrument]:
    """BASE-USD for every symbol of the model, in single base units (no bundles of a thousand here)."""
    found = []
    for symbol in symbols:
        if symbol.quote != QUOTE:
            continue
        known = _KNOWN.get(symbol.base) or _derived(symbol.price)
        lot = Decimal(STEP_QUANTUMS).scaleb(known.resolution)
        rate, leverage = _MARGIN.get(symbol.base, ("0.05", 10))
        maintenance = Decimal(rate)
        # "600 % of initial minus maintenance margin" for eight hours
        cap = 6 * (Decimal(1) / leverage - maintenance) / 8
        found.append(
            Instrument(
                id=f"{symbol.base}-USD",
                symbol=symbol.symbol,
                base=symbol.base,
                quote="USD",
                settle="USDC",
                tick=Decimal(known.subticks_per_tick).scaleb(EXPONENT - 6 - known.resolution),
                lot=lot,
                min_quantity=lot,
                max_quantity=Decimal(10) ** 15,
                max_market_quantity=Decimal(10) ** 15,
                min_notional=Decimal(0),
                funding_cap=cap,
                funding_floor=-cap,
                tiers=(MarginTier(Decimal(10) ** 12, maintenance, leverage),),
                max_open_orders=1000,
                price_band=Decimal(10) ** 9,
                listed_ms=1_698_278_400_000,
            )
        )
    return found


def perpetuals(instruments: Mapping[str, Instrument]) -> list[Perpetual]:
    """The markets behind the instruments that ``list_instruments`` made."""
    found, other = [], _FIRST_OTHER
    for instrument in instruments.values():
        known = _KNOWN.get(instrument.base)
        resolution = instrument.lot.adjusted() - STEP_DIGITS
        subticks = int(instrument.tick.scaleb(resolution - EXPONENT + 6))
        found.append(Perpetual(instrument, known.clob_pair if known else other, resolution, subticks))
        other += known is None
    return found
