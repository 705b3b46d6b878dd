"""What the truth tells its subscribers, in the order in which it happened.

Account events never merge or drop. For one fill they come as ``OrderChanged`` (with the fill) followed by
``AccountChanged`` (balances and positions after it), so a dialect can render either the pair Binance sends or the
three separate messages of Bybit and OKX.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fundingarb.localnet.truth.types import (
    Cause,
    Fill,
    FundingPayment,
    LedgerRow,
    Order,
    Position,
    Reason,
    Side,
)

__all__ = [
    "AccountChanged",
    "AccountEvent",
    "BalanceChange",
    "Event",
    "FundingPaid",
    "FundingSettled",
    "IntervalChanged",
    "Liquidated",
    "OrderChanged",
    "PublicEvent",
    "PublicTrade",
    "SettingsChanged",
]

Execution = Literal["NEW", "TRADE", "CANCELED", "EXPIRED", "REJECTED", "AMENDED"]


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order was taken, filled in part or whole, amended, or ended. ``order`` is its state after that."""

    sequence: int
    time_ms: int
    order: Order
    execution: Execution
    fill: Fill | None = None
    reason: Reason | None = None

    @property
    def account(self) -> str:
        return self.order.account


@dataclass(frozen=True, slots=True)
class BalanceChange:
    asset: str
    wallet: Decimal
    """After the change."""
    change: Decimal
    """Sum of the rows behind this event."""


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Balances and positions that one thing changed; either tuple may be empty."""

    sequence: int
    time_ms: int
    account: str
    cause: Cause
    balances: tuple[BalanceChange, ...]
    positions: tuple[Position, ...]
    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """One position's funding was posted; the ``AccountChanged`` of the account comes right after."""

    sequence: int
    time_ms: int
    payment: FundingPayment

    @property
    def account(self) -> str:
        return self.payment.account


@dataclass(frozen=True, slots=True)
class Liquidated:
    """The venue closed (part of) a position by force; the fills came before."""

    sequence: int
    time_ms: int
    account: str
    instrument: str
    side: Side
    """Side of the closing order."""
    quantity: Decimal
    price: Decimal
    kind: Literal["liquidation", "adl"]


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Leverage, margin mode or position mode of an account changed. Empty instrument: account-wide."""

    sequence: int
    time_ms: int
    account: str
    setting: Literal["leverage", "margin_mode", "position_mode"]
    instrument: str
    value: str


@dataclass(frozen=True, slots=True)
class FundingSettled:
    """Public: an instrument settled with this final rate."""

    sequence: int
    time_ms: int
    instrument: str
    rate: Decimal
    price: Decimal
    interval_hours: int
    settlement_ms: int


@dataclass(frozen=True, slots=True)
class IntervalChanged:
    """Public: the funding interval of an instrument changed; ``next_settlement_ms`` already follows the new one."""

    sequence: int
    time_ms: int
    instrument: str
    interval_hours: int
    next_settlement_ms: int


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """Public: a trade that involved an order of one of the accounts."""

    sequence: int
    time_ms: int
    instrument: str
    side: Side
    """Side of the taker."""
    price: Decimal
    quantity: Decimal
    id: str


AccountEvent = OrderChanged | AccountChanged | FundingPaid | Liquidated | SettingsChanged
PublicEvent = FundingSettled | IntervalChanged | PublicTrade
Event = AccountEvent | PublicEvent
