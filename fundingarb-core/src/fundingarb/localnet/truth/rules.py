"""What a venue's documentation fixes: contract rules, fees, margin tiers and its habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from fundingarb.localnet.truth.types import MarginMode

__all__ = ["FeeTier", "Instrument", "MarginTier", "VenueRules"]


@dataclass(frozen=True, slots=True)
class MarginTier:
    """Up to ``max_value`` of position notional: maintenance rate, highest leverage, and the deduction that makes
    maintenance margin continuous between tiers (maintenance = value x rate - deduction)."""

    max_value: Decimal
    maintenance_rate: Decimal
    max_leverage: int
    deduction: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Fractions of notional. A negative maker fee is a rebate."""

    maker: Decimal
    taker: Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One linear perpetual with the venue's own rules.

    Native price = index price of one base unit x ``multiplier`` (1000 for 1000PEPE).
    Notional in the settle asset = native price x quantity x ``contract_size``.
    Base units = quantity x ``contract_size`` x ``multiplier``.
    """

    id: str
    """The exchange's own name: BTCUSDT, BTC-USDT-SWAP, BTC-USD."""
    symbol: str
    """The model's name, the same on every exchange: BTC-USDT."""
    base: str
    quote: str
    settle: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    max_market_quantity: Decimal
    min_notional: Decimal
    """0 where the venue has none. Not asked of reduce-only orders."""
    funding_cap: Decimal
    """Highest rate per interval; the floor is usually its negative."""
    funding_floor: Decimal
    tiers: tuple[MarginTier, ...]
    """Ascending in ``max_value``."""
    contract_size: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    max_open_orders: int = 200
    price_band: Decimal = Decimal("0.05")
    """A limit price may be this fraction worse than the mark (buy above, sell below) before it is refused."""
    listed_ms: int = 1_569_398_400_000
    trading: bool = True

    @property
    def max_leverage(self) -> int:
        return self.tiers[0].max_leverage


def _decimal_id(number: int) -> str:
    return str(number)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """How the venue behaves where venues differ. A dialect fills this in from its exchange's documentation."""

    settle: str = "USDT"
    fees: FeeTier = FeeTier(Decimal("0.0002"), Decimal("0.0005"))
    ledger_decimals: int = 8
    """Places to which realised profit, fees and funding are rounded; the rounded row is the balance change."""
    rounding: str = ROUND_HALF_UP
    rate_decimals: int = 8
    """Places of a published funding rate."""
    mark_decimals: int | None = None
    """Places of mark and index prices; None: as many as the tick has."""
    funding_interval_hours: int | None = None
    """An interval that every contract of the venue has for good (1 on dYdX); None takes the model's."""
    funding_price: Literal["mark", "index"] = "mark"
    """Price of the funding payment; ``index`` is dYdX's oracle price."""
    funding_delay: float = 1.0
    """Simulated seconds between a settlement and its ledger rows. Who holds at the settlement pays."""
    default_leverage: int = 20
    default_margin_mode: MarginMode = MarginMode.CROSS
    hedge_mode: bool = False
    """Position mode of a fresh account."""
    client_ids: Literal["open", "always"] = "open"
    """Client ids must be unique among open orders only (Binance), or among all the account ever used."""
    post_only_crossing: Literal["refuse", "cancel"] = "refuse"
    """A post-only order that would take: error at once, or taken and cancelled by the venue (Bybit)."""
    reduce_only_excess: Literal["trim", "refuse"] = "trim"
    """A reduce-only order larger than the position is cut to it, or refused."""
    mark_unrealized_margin: bool = True
    """Unrealised profit of cross positions counts as available margin."""
    liquidation_fee: Decimal = Decimal("0.0125")
    """Fraction of the liquidated notional, never more than what is left."""
    order_id: Callable[[int], str] = _decimal_id
    """Makes an order id from a number that counts up; must be deterministic and unique."""
    fill_id: Callable[[int], str] = _decimal_id
    first_id: int = 1
    """Where the order and fill numbers start."""
