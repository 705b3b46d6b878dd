"""What happened: immutable events, committed to the store first and published on the bus afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, OrderRecord
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import Fill
from fundingarb.domain.settlement import Settlement


class Severity(str, Enum):
    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should read. ``title`` is one line, ``lines`` the details below it."""

    severity: Severity
    title: str
    lines: tuple[str, ...]
    at: datetime
    hedge_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far ``alert`` is on its way to one sink; None while the sink has not taken it."""

    alert: Alert
    sink: str
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class HedgeChanged:
    """A hedge's intent or progress changed."""

    hedge: Hedge
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderChanged:
    order: OrderRecord
    at: datetime


@dataclass(frozen=True, slots=True)
class FillBooked:
    """A ledger fill was booked; ``hedge_id`` None for one that belongs to no hedge of ours."""

    fill: Fill
    hedge_id: UUID | None


@dataclass(frozen=True, slots=True)
class PaymentBooked:
    """A funding payment was booked; ``hedge_id`` None for one that belongs to no hedge of ours."""

    payment: FundingPayment
    hedge_id: UUID | None


@dataclass(frozen=True, slots=True)
class SettlementChanged:
    """A settlement of a hedge was noted, booked, found missing, or turned up after all."""

    settlement: Settlement
    at: datetime


@dataclass(frozen=True, slots=True)
class CandidateRefused:
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class IntervalChanged:
    """An instrument's funding interval changed; open hedges on it are valued anew."""

    exchange: str
    symbol: str
    before_hours: Decimal
    after_hours: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class StreamChanged:
    """A stream came up (``connected``) or went down (``reason`` says why)."""

    exchange: str
    stream: str
    connected: bool
    reason: str
    at: datetime


# fmt: off
Event: TypeAlias = (
    Alert | HedgeChanged | OrderChanged | FillBooked | PaymentBooked | SettlementChanged
    | CandidateRefused | IntervalChanged | StreamChanged
)
# fmt: on
