"""Settlements: what was held, what is due, which ledger row pays for which, and whose it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.make import D, T, fill, hedge, instrument

from fundingarb.domain.funding import FundingPayment, same_row
from fundingarb.domain.hedge import LegPlan
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import OrderSide
from fundingarb.domain.pnl import hedge_pnl
from fundingarb.domain.settlement import (
    Settlement,
    SettlementStatus,
    Terms,
    advance,
    expect,
    held,
    holder,
    matched,
    settlement_of,
    unexpected,
)

LONG = LegPlan(Side.LONG, "alpha", instrument("alpha"), 5)
SHORT = LegPlan(Side.SHORT, "beta", instrument("beta"), 5)
BUY, SELL = OrderSide.BUY, OrderSide.SELL
FIRST, SECOND = UUID(int=1), UUID(int=2)
HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)


def payment(
    at: datetime = T, amount: str = "-0.1", ledger_id: str = "l1", account: str = "alpha"
) -> FundingPayment:
    settlement = at.replace(minute=0, second=0, microsecond=0) if at.minute < 2 else at
    return FundingPayment(
        account, account, "BTC-USDT", settlement, D(amount), "USDT", at, ledger_id=ledger_id
    )


def row(
    at: datetime = T, status: SettlementStatus = SettlementStatus.EXPECTED, **changes: object
) -> Settlement:
    plain = Settlement(
        FIRST, "alpha", "alpha", "BTC-USDT", at, Side.LONG, D(10), at, status, rate=D("0.0001"), mark=D(100)
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


# what was held


def test_held_is_what_the_fills_before_the_settlement_add_up_to() -> None:
    fills = [
        fill("alpha", BUY, "4", "100", trade_id="1", at=T - HOUR),
        fill("alpha", BUY, "6", "100", trade_id="2", at=T - MOMENT),
        fill("alpha", SELL, "3", "100", trade_id="3", at=T),
        fill("beta", SELL, "10", "100", trade_id="1", at=T - HOUR),
    ]
    assert held(fills, LONG, T - MOMENT) == 4
    assert held(fills, LONG, T) == 10  # a fill at the settlement changes nothing for it
    assert held(fills, LONG, T + MOMENT) == 7
    assert held(fills, SHORT, T) == 10
    assert held([], LONG, T) == 0


def test_partial_fills_in_the_settlement_s_second_count_up_to_it() -> None:
    steps = (-600, -200, 0, 300)
    fills = [
        fill("alpha", BUY, "2", "100", trade_id=str(ms), at=T + timedelta(milliseconds=ms)) for ms in steps
    ]
    (found,) = expect(FIRST, LONG, fills, {T: Terms(D("0.0001"), D(100))}, T + HOUR)
    assert found.quantity == 4
    assert found.expected == D("-0.04")


def test_expected_are_the_settlements_that_passed_while_something_was_held() -> None:
    fills = [
        fill("alpha", BUY, "10", "100", trade_id="1", at=T - HOUR),
        fill("alpha", SELL, "10", "100", trade_id="2", at=T + 2 * HOUR),
    ]
    calendar = {T + n * HOUR: Terms(D("0.0001"), D(100)) for n in range(-2, 5)}
    found = expect(FIRST, LONG, fills, calendar, T + HOUR)
    assert [one.at for one in found] == [T, T + HOUR]
    found = expect(FIRST, LONG, fills, calendar, T + 9 * HOUR)
    assert [one.at for one in found] == [T, T + HOUR, T + 2 * HOUR]
    assert {one.status for one in found} == {SettlementStatus.EXPECTED}


@pytest.mark.parametrize(
    ("rate", "mark", "amount"),
    [("0.0001", "100", "-0.1"), ("0.0001", None, None), (None, "100", None), ("0", None, "0")],
)
def test_what_is_not_known_is_not_zero(rate: str | None, mark: str | None, amount: str | None) -> None:
    known = row(rate=None if rate is None else D(rate), mark=None if mark is None else D(mark))
    assert known.expected == (None if amount is None else D(amount))


# what becomes of it


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SettlementStatus.EXPECTED, SettlementStatus.BOOKED),
        (SettlementStatus.MISSING, SettlementStatus.LATE),
        (SettlementStatus.VOID, SettlementStatus.UNEXPECTED),
        (SettlementStatus.LATE, SettlementStatus.LATE),
    ],
)
def test_a_payment_ends_the_wait(before: SettlementStatus, after: SettlementStatus) -> None:
    paid = advance(row(status=before), D("-0.1"), {}, ())
    assert (paid.status, paid.amount) == (after, D("-0.1"))
    assert not paid.unpaid
    assert advance(paid, D("-0.1"), {}, ()) == paid
    corrected = advance(paid, D("-0.08"), {}, ())
    assert (corrected.status, corrected.amount) == (after, D("-0.08"))


def test_nothing_posted_is_missing_and_never_zero() -> None:
    waiting = row(status=SettlementStatus.MISSING)
    assert advance(waiting, None, {}, ()) == waiting
    assert waiting.amount is None


def test_the_rate_that_was_charged_replaces_the_announced_one() -> None:
    calendar = {T: Terms(D("0.0003"), D(90), charged=True)}
    known = advance(row(), None, calendar, calendar)
    assert (known.rate, known.mark, known.charged) == (D("0.0003"), D(100), True)
    assert advance(known, None, {T: Terms(D("0.0009"), D(90), charged=True)}, ()) == known


def test_a_settlement_that_never_was_is_void() -> None:
    """The interval became longer: the exchange's list goes on without the settlement that had been announced."""
    assert advance(row(), None, {}, [T - 8 * HOUR]).status is SettlementStatus.EXPECTED  # not that far yet
    assert advance(row(), None, {}, [T - 8 * HOUR, T + 8 * HOUR]).status is SettlementStatus.VOID
    assert (
        advance(row(), None, {}, [T + HOUR, T + 8 * HOUR]).status is SettlementStatus.EXPECTED
    )  # begins later
    assert advance(row(), None, {}, [T - 8 * HOUR, T, T + 8 * HOUR]).status is SettlementStatus.EXPECTED


def test_a_charge_of_nothing_leaves_no_row_to_wait_for() -> None:
    calendar = {T: Terms(D(0), D(100), charged=True)}
    nothing = advance(row(status=SettlementStatus.MISSING), None, calendar, calendar)
    assert nothing.status is SettlementStatus.VOID
    assert advance(nothing, D("0.01"), calendar, calendar).status is SettlementStatus.BOOKED


@pytest.mark.parametrize(
    ("amount", "found"), [("-0.1", "0"), ("-0.11", "-0.1"), ("-0.08", "0.2"), ("0.1", "2"), ("0", "1")]
)
def test_deviation_is_a_fraction_of_what_was_expected(amount: str, found: str) -> None:
    assert row(amount=D(amount)).found_deviation == D(found)


def test_no_deviation_without_something_to_compare() -> None:
    assert row().found_deviation is None
    assert row(amount=D(1), mark=None).found_deviation is None
    assert row(amount=D(1), noted_at=T + HOUR).found_deviation is None  # its mark is only today's
    assert row(amount=D(1), rate=D(0)).found_deviation == 1
    assert row(amount=D(0), rate=D(0)).found_deviation == 0


# which ledger row pays for which settlement


def test_a_row_posted_late_under_its_own_time_is_for_the_settlement_before_it() -> None:
    late = payment(T + timedelta(minutes=20))
    assert late.settlement == T + timedelta(minutes=20)
    assert matched([T], [late]) == {T: [late]}
    assert settlement_of(late, [row(T), row(T - 8 * HOUR)]) == row(T)
    paid = row(T, SettlementStatus.BOOKED, amount=D("-0.1"))
    assert settlement_of(late, [paid, row(T - 8 * HOUR)]) == row(T - 8 * HOUR)
    assert settlement_of(late, [paid]) == paid  # a correction
    assert settlement_of(late, []) is None
    assert settlement_of(payment(T), [row(T - 8 * HOUR)]) is None  # an hour of its own
    assert settlement_of(late, [row(T - timedelta(hours=49))]) is None


def test_a_second_row_of_a_settlement_is_a_correction() -> None:
    one, other = payment(T, "-0.1", "l1"), payment(T + timedelta(seconds=40), "0.02", "l2")
    assert not same_row(one, other)
    assert matched([T], [one, other]) == {T: [one, other]}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"ledger_id": "l2"}, True),  # the id is not stable: the row is
        ({"ledger_id": "", "amount": D(7)}, True),  # nothing tells them apart: once per settlement
        ({"at": T + HOUR, "amount": D(7)}, True),  # the id says it
        ({"ledger_id": "l2", "amount": D(7)}, False),
        ({"ledger_id": "l2", "at": T + MOMENT}, False),
    ],
)
def test_when_two_rows_are_one(changes: dict[str, object], same: bool) -> None:
    assert same_row(payment(), replace(payment(), **changes)) is same  # type: ignore[arg-type]


strays = st.builds(
    payment,
    st.integers(0, 40).map(lambda n: T + n * timedelta(minutes=31)),
    st.sampled_from(["-0.1", "0.2", "0.05"]),
    st.integers(0, 99).map(str),
)


@given(st.lists(strays, max_size=12, unique_by=lambda one: one.ledger_id), st.randoms())
def test_matching_keeps_every_row_once_in_whatever_order_they_are_read(
    payments: list[FundingPayment], random: object
) -> None:
    times = [T + n * 8 * HOUR for n in range(3)]
    found = matched(times, payments)
    assert sorted(one.ledger_id for some in found.values() for one in some) == sorted(
        one.ledger_id for one in payments
    )
    shuffled = list(payments)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert matched(times, shuffled) == found


# whose it is


def lived(opened: datetime, closed: datetime | None, hedge_id: UUID, quantity: str = "10"):  # type: ignore[no-untyped-def]
    fills = [fill("alpha", BUY, quantity, "100", trade_id=f"{hedge_id}in", at=opened)]
    if closed is not None:
        fills.append(fill("alpha", SELL, quantity, "100", trade_id=f"{hedge_id}out", at=closed))
    return hedge_id, LONG, fills


def test_a_payment_is_the_hedge_s_that_held_the_position_then() -> None:
    early, late = lived(T - HOUR, T + HOUR, FIRST), lived(T + 2 * HOUR, None, SECOND)
    assert holder([early, late], T) == FIRST
    assert holder([early, late], T + 3 * HOUR) == SECOND
    assert holder([early, late], T - 2 * HOUR) is None
    assert holder([early, late], T + timedelta(minutes=90)) is None  # somebody else's position
    assert holder([], T) is None


@pytest.mark.parametrize(
    ("closed", "opened", "owner"),
    [
        (200, 400, FIRST),  # held at the settlement, whatever follows in its second
        (-400, -200, SECOND),
        (-200, 300, FIRST),  # neither: the nearer
        (-300, 200, SECOND),
        (-200, 200, SECOND),  # as near: exchanges are late rather than early
        (0, 500, FIRST),
        (-2000, 30_000, SECOND),  # within the minute that Binance may be late
        (-2000, 90_000, None),
    ],
)
def test_two_hedges_followed_each_other_around_a_settlement(
    closed: int, opened: int, owner: UUID | None
) -> None:
    first = lived(T - HOUR, T + timedelta(milliseconds=closed), FIRST)
    second = lived(T + timedelta(milliseconds=opened), None, SECOND)
    assert holder([first, second], T) == owner
    assert holder([second, first], T) == owner


def test_of_two_that_held_a_position_the_larger_has_it() -> None:
    assert holder([lived(T - HOUR, None, FIRST, "1"), lived(T - HOUR, None, SECOND, "9")], T) == SECOND


def test_what_was_not_expected_is_marked_so() -> None:
    _, _, fills = lived(T - HOUR, None, FIRST)
    (found,) = unexpected(FIRST, LONG, fills, [T], T + HOUR)
    assert (found.status, found.quantity, found.rate) == (SettlementStatus.UNEXPECTED, D(10), None)


# in the account of a hedge


def test_what_is_missing_is_said_and_left_out_of_the_result() -> None:
    made = hedge()
    rows = [
        row(T, SettlementStatus.BOOKED, amount=D("-0.1")),
        row(T + 8 * HOUR, SettlementStatus.MISSING),
        row(T + 16 * HOUR),
        row(T + 24 * HOUR, SettlementStatus.VOID),
        replace(row(T, SettlementStatus.MISSING), account="beta", side=Side.SHORT),
    ]
    pnl = hedge_pnl(made, [], [payment(T)], rows)
    assert pnl.realized == pnl.funding == D("-0.1")
    assert (pnl.missing, pnl.awaited) == (2, 1)
    assert (pnl.long.missing, pnl.long.awaited, pnl.long.outstanding) == (1, 1, D("-0.2"))
    assert (pnl.short.missing, pnl.short.outstanding) == (1, D("0.1"))
    assert pnl.outstanding == D("-0.1")
    unknown = hedge_pnl(made, [], [payment(T)], [*rows, row(T + 32 * HOUR, mark=None)])
    assert unknown.outstanding is None
    nothing = hedge_pnl(made, [], [payment(T)])
    assert (nothing.missing, nothing.awaited, nothing.outstanding) == (0, 0, Decimal(0))
