"""Funding: rates with their interval and settlement time, the settlement calendar, ledger payments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from fundingarb.domain.instrument import Instrument, Side

HOUR = timedelta(hours=1)
#: A ledger may post a settlement late; this far back it is read again (failure model, fault 24).
LATE = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class FundingRate:
    """One funding rate as an exchange announced it.

    ``rate`` is the fraction of mark notional paid at ``next_settlement``; positive means longs pay shorts.
    ``interval`` is the time between settlements. ``mark`` and ``index`` are prices per base unit, where known.
    """

    instrument: Instrument
    rate: Decimal
    interval: timedelta
    next_settlement: datetime
    at: datetime
    mark: Decimal | None = None
    index: Decimal | None = None
    predicted: Decimal | None = None

    def __post_init__(self) -> None:
        if self.interval <= timedelta(0):
            raise ValueError(
                f"{self.instrument.exchange} {self.instrument.symbol}: interval must be positive"
            )

    @property
    def hourly(self) -> Decimal:
        """Rate per hour, the only form in which two exchanges may be compared."""
        return self.rate * 3600 / Decimal(int(self.interval.total_seconds()))

    @property
    def eight_hour(self) -> Decimal:
        """The 8-hour equivalent, the figure thresholds use."""
        return self.hourly * 8

    @property
    def annual(self) -> Decimal:
        """Simple annual rate (8,760 hours, no compounding)."""
        return self.hourly * 8760


@dataclass(frozen=True, slots=True)
class SettledRate:
    """A rate that was charged: ``rate`` per ``interval`` at ``settled_at``."""

    exchange: str
    symbol: str
    rate: Decimal
    settled_at: datetime
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One funding row of an exchange's ledger.

    ``amount`` is what the balance changed by, in settle currency: positive received, negative paid.
    Booked once per (exchange, account, symbol, settlement); ``settlement`` is snapped to the settlement grid.
    ``ledger_id`` is the exchange's own name of the row, the same whenever it is read; empty where there is none.
    """

    exchange: str
    account: str
    symbol: str
    settlement: datetime
    amount: Decimal
    currency: str
    at: datetime
    rate: Decimal | None = None
    ledger_id: str = ""


def settlements(rate: FundingRate, until: datetime) -> Iterator[datetime]:
    """Every settlement of ``rate``'s instrument from its next one up to and including ``until``."""
    at = rate.next_settlement
    while at <= until:
        yield at
        at += rate.interval


def snap(at: datetime, grid: timedelta = HOUR, slack: timedelta = timedelta(minutes=2)) -> datetime:
    """The settlement a ledger row belongs to: the nearest full hour when within ``slack``, else ``at`` itself."""
    seconds = at.timestamp()
    step = grid.total_seconds()
    nearest = round(seconds / step) * step
    if abs(seconds - nearest) > slack.total_seconds():
        return at
    return datetime.fromtimestamp(nearest, at.tzinfo)


def same_row(one: FundingPayment, other: FundingPayment) -> bool:
    """Whether two payments of one (exchange, account, symbol, settlement) are one ledger row that was read twice.

    They are when they have one id, or one time and one amount, or when an id is wanting. What differs in id and in
    time or amount is a second entry of the exchange's ledger (a correction): it moved the balance, so it is booked.
    """
    if not one.ledger_id or not other.ledger_id or one.ledger_id == other.ledger_id:
        return True
    return (one.at, one.amount) == (other.at, other.amount)


def expected_payment(side: Side, quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What one settlement changes the balance by: ``-side * quantity * mark * rate`` (a long pays a positive rate).

    Source: the exchanges' funding pages; used for expectation and audit only, booked money is the ledger's.
    """
    return -side.sign * quantity * mark * rate
