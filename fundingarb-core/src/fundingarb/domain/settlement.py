"""Expected settlements: what a hedge's legs went through, and what the exchange's ledger says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from fundingarb.domain.funding import LATE, FundingPayment, expected_payment
from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ZERO, Fill, order_side

#: A position opened this soon after a settlement may have been charged: Binance states a deviation of up to a minute.
AFTER = timedelta(minutes=1)
#: A position closed in the settlement's own second may have been: two clocks stamped the fill and the settlement.
BEFORE = timedelta(seconds=1)
#: Amounts below it are rounded away by every exchange's ledger, which then has no row (settle currency).
LEAST_AMOUNT = Decimal("1e-8")
#: A settlement noted this soon knows the mark price it was charged at; a later one only an approximation.
PROMPT = timedelta(minutes=2)


class SettlementStatus(str, Enum):
    """What became of a settlement.

    ``EXPECTED`` nothing posted yet, ``BOOKED`` paid, ``MISSING`` not posted in time (the alarm was raised), ``LATE``
    paid after that, ``UNEXPECTED`` paid although no settlement was known of, ``VOID`` nothing was due: the exchange's
    list of settlements has none at that time, or charged nothing.
    """

    EXPECTED = "EXPECTED"
    BOOKED = "BOOKED"
    MISSING = "MISSING"
    LATE = "LATE"
    UNEXPECTED = "UNEXPECTED"
    VOID = "VOID"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of one settlement of an instrument.

    ``rate`` is the fraction of mark notional: as charged where ``charged``, else as last announced. ``mark`` is the
    price then, per base unit.
    """

    rate: Decimal | None
    mark: Decimal | None = None
    charged: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settlement that a leg held a position through.

    ``quantity`` (base units) was held on ``side`` just before ``at``. ``amount`` is the sum of the ledger's rows for
    it in settle currency; None while there is none, which is never the same as 0. ``deviation`` is what the audit
    found, as a fraction of what was expected; None before the audit.
    """

    hedge_id: UUID
    exchange: str
    account: str
    symbol: str
    at: datetime
    side: Side
    quantity: Decimal
    noted_at: datetime
    status: SettlementStatus = SettlementStatus.EXPECTED
    rate: Decimal | None = None
    mark: Decimal | None = None
    charged: bool = False
    amount: Decimal | None = None
    deviation: Decimal | None = None

    @property
    def expected(self) -> Decimal | None:
        """What it should change the balance by; None while rate or mark is unknown."""
        if self.rate is None:
            return None
        if not self.rate:
            return ZERO
        return None if self.mark is None else expected_payment(self.side, self.quantity, self.mark, self.rate)

    @property
    def unpaid(self) -> bool:
        return self.status in (SettlementStatus.EXPECTED, SettlementStatus.MISSING)

    @property
    def found_deviation(self) -> Decimal | None:
        """How far the ledger is from what was expected, as a fraction of it; None while that cannot be said."""
        if self.amount is None or self.expected is None or self.noted_at - self.at > PROMPT:
            return None
        if not self.expected:
            return Decimal(1) if self.amount else ZERO
        return (self.amount - self.expected) / abs(self.expected)


def held(fills: Iterable[Fill], leg: LegPlan, at: datetime) -> Decimal:
    """Base units that ``leg`` held just before ``at``, from its ledger fills."""
    opening = order_side(leg.side, reduce=False)
    return sum(
        (
            fill.quantity if fill.side is opening else -fill.quantity
            for fill in fills
            if fill.account == leg.account and fill.at < at
        ),
        ZERO,
    )


def expect(
    hedge_id: UUID, leg: LegPlan, fills: Sequence[Fill], calendar: Mapping[datetime, Terms], now: datetime
) -> list[Settlement]:
    """The settlements of ``calendar`` that ``leg`` held a position through, oldest first."""
    found = []
    for at in sorted(calendar):
        quantity = held(fills, leg, at)
        if at <= now and quantity > 0:
            found.append(_row(hedge_id, leg, at, quantity, calendar[at], now))
    return found


def unexpected(
    hedge_id: UUID, leg: LegPlan, fills: Sequence[Fill], times: Iterable[datetime], now: datetime
) -> list[Settlement]:
    """A row for each of ``times`` at which ``leg`` was paid although no settlement of a position was known of."""
    found = [_row(hedge_id, leg, at, held(fills, leg, at), Terms(None), now) for at in sorted(times)]
    return [replace(row, status=SettlementStatus.UNEXPECTED) for row in found]


def _row(
    hedge_id: UUID, leg: LegPlan, at: datetime, quantity: Decimal, terms: Terms, now: datetime
) -> Settlement:
    return Settlement(
        hedge_id=hedge_id,
        exchange=leg.instrument.exchange,
        account=leg.account,
        symbol=leg.instrument.symbol,
        at=at,
        side=leg.side,
        quantity=quantity,
        noted_at=now,
        rate=terms.rate,
        mark=terms.mark,
        charged=terms.charged,
    )


def advance(
    row: Settlement, paid: Decimal | None, calendar: Mapping[datetime, Terms], listed: Iterable[datetime]
) -> Settlement:
    """``row`` with what is known now: ``paid`` is the sum of the ledger's rows for it, ``listed`` the settlements
    that the exchange says it charged."""
    terms = calendar.get(row.at)
    if terms is not None and terms.charged and not row.charged:
        row = replace(
            row, rate=terms.rate, charged=True, mark=row.mark if row.mark is not None else terms.mark
        )
        if row.status is SettlementStatus.UNEXPECTED:
            row = replace(row, status=SettlementStatus.BOOKED)
    if paid is not None:
        return replace(row, amount=paid, status=_paid(row)) if paid != row.amount else row
    if row.unpaid and _nothing_due(row, listed):
        return replace(row, status=SettlementStatus.VOID)
    return row


def _paid(row: Settlement) -> SettlementStatus:
    if row.status is SettlementStatus.EXPECTED:
        return SettlementStatus.BOOKED
    if row.status is SettlementStatus.MISSING:
        return SettlementStatus.LATE
    if row.status is SettlementStatus.VOID:
        return SettlementStatus.BOOKED if row.charged else SettlementStatus.UNEXPECTED
    return row.status


def _nothing_due(row: Settlement, listed: Iterable[datetime]) -> bool:
    """Whether the exchange's list says so: it charged nothing, or goes past this time without a settlement at it."""
    if row.charged:
        return row.expected is not None and abs(row.expected) < LEAST_AMOUNT
    times = list(listed)
    return bool(times) and min(times) < row.at < max(times) and row.at not in times


def matched(
    times: Iterable[datetime], payments: Iterable[FundingPayment]
) -> dict[datetime, list[FundingPayment]]:
    """Which of one leg's settlements each payment is for; the same whatever order the payments are in.

    A row that bears no settlement's time (posted late, at the time of posting) is for the latest settlement before it
    that nothing else paid, else (a correction) for the latest one that was paid.
    """
    found: dict[datetime, list[FundingPayment]] = {at: [] for at in times}
    strays = []
    for payment in sorted(payments, key=lambda row: (row.settlement, row.at, row.ledger_id)):
        if payment.settlement in found or on_grid(payment.settlement):
            found.setdefault(payment.settlement, []).append(payment)
        else:
            strays.append(payment)
    for payment in strays:
        earlier = [at for at in found if timedelta(0) <= payment.settlement - at <= LATE]
        unpaid = [at for at in earlier if not found[at]]
        found.setdefault(max(unpaid or earlier, default=payment.settlement), []).append(payment)
    return found


def on_grid(at: datetime) -> bool:
    """Whether ``at`` is the full hour of a settlement, and not merely when a row was posted."""
    return not (at.minute or at.second or at.microsecond)


def settlement_of(payment: FundingPayment, rows: Iterable[Settlement]) -> Settlement | None:
    """The settlement, of one account and symbol, that a newly read payment is for; None when none is known."""
    known = {row.at: row for row in rows}
    if payment.settlement in known or on_grid(payment.settlement):
        return known.get(payment.settlement)
    earlier = [at for at in known if timedelta(0) <= payment.settlement - at <= LATE]
    unpaid = [at for at in earlier if known[at].unpaid]
    return known.get(max(unpaid or earlier, default=payment.settlement))


def holder(candidates: Iterable[tuple[UUID, LegPlan, Sequence[Fill]]], at: datetime) -> UUID | None:
    """The hedge that a settlement at ``at`` belongs to: the one whose leg held most just before it.

    When none did, the one that traded nearest to it, within ``BEFORE`` and ``AFTER``: an exchange may charge a position
    that was closed or opened in the settlement's own second. Of two as near, the later. None when no hedge was near:
    the position was not ours.
    """
    best: tuple[Decimal, timedelta, bool] | None = None
    found = None
    for hedge_id, leg, fills in candidates:
        own = [fill for fill in fills if fill.account == leg.account]
        quantity = held(own, leg, at)
        if quantity > 0:
            rank = (quantity, timedelta(0), False)
        else:
            near = [fill.at for fill in own if -BEFORE <= fill.at - at <= AFTER]
            if not near:
                continue
            nearest = min(near, key=lambda moment: (abs(moment - at), moment < at))
            rank = (ZERO, -abs(nearest - at), nearest >= at)
        if best is None or rank > best:
            best, found = rank, hedge_id
    return found
