"""Funding: who pays, how much, and on which side of the boundary."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from tests.localnet.still import BOUNDARY, Desk, StillModel
from tests.localnet.toy import RULES

from fundingarb.localnet.truth.events import AccountChanged, FundingPaid, FundingSettled, IntervalChanged
from fundingarb.localnet.truth.types import Cause, LedgerKind, PositionSide

HOUR = 3600


def funding(desk: Desk, account: str = "a") -> list[Decimal]:
    return [row.amount for row in desk.exchange.ledger(account, kinds=[LedgerKind.FUNDING_FEE])]


@pytest.mark.parametrize(
    ("rate", "side", "expected"),
    [
        (0.0001, "BUY", "-0.2"),
        (0.0001, "SELL", "0.2"),
        (-0.0003, "BUY", "0.6"),
        (-0.0003, "SELL", "-0.6"),
    ],
)
def test_longs_pay_shorts_when_the_rate_is_positive(rate: float, side: str, expected: str) -> None:
    desk = Desk(StillModel(rate=rate))
    desk.order(side, "2")
    desk.to(BOUNDARY + 10)
    assert funding(desk) == [Decimal(expected)]


def test_a_payment_tells_everything() -> None:
    desk = Desk(StillModel(rate=0.00012345, price=1234.5))
    desk.order("SELL", "0.777")
    desk.to(BOUNDARY + 10)
    (payment,) = desk.exchange.funding_payments("a")
    assert payment.amount == Decimal("0.11841404")  # 0.777 x 1234.5 x 0.00012345 = 0.118414042...
    assert (payment.quantity, payment.price, payment.rate) == (
        Decimal("-0.777"),
        Decimal("1234.5"),
        Decimal("0.00012345"),
    )
    assert (payment.settlement_ms, payment.time_ms) == (
        round(BOUNDARY * 1000),
        round(BOUNDARY * 1000) + 1000,
    )
    (row,) = desk.exchange.ledger("a", kinds=[LedgerKind.FUNDING_FEE])
    assert (row.id, row.amount) == (payment.ledger_id, payment.amount)
    paid = desk.of(FundingPaid)
    assert [event.payment for event in paid] == [payment]
    assert desk.events[desk.events.index(paid[0]) + 1].__class__ is AccountChanged
    assert desk.of(AccountChanged)[-1].cause is Cause.FUNDING


def test_positions_opened_just_before_pay_and_just_after_do_not() -> None:
    desk = Desk()
    desk.to(BOUNDARY - 0.001)
    desk.order("BUY", "1", account="a")
    desk.to(BOUNDARY)
    desk.order("BUY", "1", account="b")
    desk.to(BOUNDARY + 60)
    assert funding(desk, "a") == [Decimal("-0.1")]
    assert funding(desk, "b") == []


def test_positions_closed_just_before_do_not_pay_and_just_after_do() -> None:
    desk = Desk()
    desk.order("SELL", "1", account="a")
    desk.order("SELL", "1", account="b")
    desk.to(BOUNDARY - 0.001)
    desk.order("BUY", "1", account="a")
    desk.to(BOUNDARY + 0.001)
    desk.order("BUY", "1", account="b")
    assert funding(desk, "b") == [], "it is posted a little later"
    desk.to(BOUNDARY + 60)
    assert funding(desk, "a") == []
    assert funding(desk, "b") == [Decimal("0.1")]


def test_every_boundary_settles_once_however_time_passes() -> None:
    def amounts(step: float) -> list[Decimal]:
        desk = Desk(StillModel(interval=1))
        desk.order("BUY", "1")
        at = desk.exchange.now
        while at < BOUNDARY + 4.5 * HOUR:
            at += step
            desk.to(at)
        return funding(desk)

    assert amounts(7) == [Decimal("-0.1")] * 5
    assert amounts(5000)[:5] == amounts(100_000)[:5] == amounts(7)


def test_the_rate_is_cut_to_cap_and_floor() -> None:
    desk = Desk(StillModel(rate=0.5))
    assert desk.exchange.funding(desk.id).rate == Decimal("0.02")
    desk.model.rate = -0.5
    desk.order("BUY", "1")
    desk.to(BOUNDARY + 5)
    assert desk.exchange.funding_payments("a")[0].rate == Decimal("-0.02")


def test_a_venue_may_pay_on_the_index() -> None:
    desk = Desk(StillModel(index_price=900.0), rules=replace(RULES, funding_price="index"))
    desk.order("BUY", "1")
    desk.to(BOUNDARY + 5)
    assert funding(desk) == [Decimal("-0.09")]


def test_a_venue_may_have_an_interval_of_its_own() -> None:
    desk = Desk(StillModel(rate=0.0008, interval=8), rules=replace(RULES, funding_interval_hours=1))
    view = desk.exchange.funding(desk.id)
    assert (view.interval_hours, view.rate) == (1, Decimal("0.0001"))
    desk.order("BUY", "1")
    desk.to(BOUNDARY + 2 * HOUR + 5)
    assert funding(desk) == [Decimal("-0.1")] * 3
    history = desk.exchange.funding_history(desk.id, limit=20)
    assert {row.interval_hours for row in history} == {1}
    gaps = {b.time_ms - a.time_ms for a, b in pairwise(history)}
    assert gaps == {HOUR * 1000}


def test_an_interval_change_takes_effect_at_once_and_is_told() -> None:
    desk = Desk(StillModel(rate=0.0008, interval=8))
    desk.to(BOUNDARY + 5)
    desk.exchange.set_funding(desk.id, interval_hours=2)
    (event,) = desk.of(IntervalChanged)
    assert (event.interval_hours, event.next_settlement_ms) == (2, round((BOUNDARY + 2 * HOUR) * 1000))
    view = desk.exchange.funding(desk.id)
    assert (view.interval_hours, view.next_ms, view.rate) == (2, event.next_settlement_ms, Decimal("0.0002"))
    desk.order("BUY", "1")
    desk.to(BOUNDARY + 4 * HOUR + 5)
    assert funding(desk) == [Decimal("-0.2")] * 2
    desk.exchange.clear_market()
    assert desk.exchange.funding(desk.id).interval_hours == 8


def test_an_interval_change_of_the_market_is_told_too() -> None:
    desk = Desk(StillModel(interval=8))
    desk.to(BOUNDARY - 1)
    desk.model.interval = 4
    desk.to(BOUNDARY + 1)
    assert [event.interval_hours for event in desk.of(IntervalChanged)] == [4]


def test_a_rate_override_lasts_as_long_as_asked() -> None:
    desk = Desk(StillModel(interval=1, rate=0.0001))
    desk.exchange.set_funding(desk.id, rate=Decimal("-0.005"), settlements=2)
    assert desk.exchange.funding(desk.id).rate == Decimal("-0.005")
    desk.order("BUY", "1")
    desk.to(BOUNDARY + 2 * HOUR + 5)
    assert funding(desk) == [Decimal(5), Decimal(5), Decimal("-0.1")]


def test_history_reaches_back_and_goes_on_with_what_was_settled() -> None:
    desk = Desk()
    rows = desk.exchange.funding_history(desk.id, limit=1000)
    assert rows[0].time_ms <= (BOUNDARY - 30 * 24 * HOUR) * 1000
    assert rows[-1].time_ms == (BOUNDARY - 8 * HOUR) * 1000
    desk.exchange.set_funding(desk.id, rate=Decimal("0.003"), settlements=1)
    desk.to(BOUNDARY + 8 * HOUR)
    newest = desk.exchange.funding_history(desk.id, limit=3)
    assert [(r.time_ms, r.rate) for r in newest] == [
        (round((BOUNDARY - 8 * HOUR) * 1000), Decimal("0.0001")),
        (round(BOUNDARY * 1000), Decimal("0.003")),
        (round((BOUNDARY + 8 * HOUR) * 1000), Decimal("0.0001")),
    ]
    assert [e.rate for e in desk.of(FundingSettled)] == [Decimal("0.003"), Decimal("0.0001")]
    first = desk.exchange.funding_history(desk.id, start_ms=round(BOUNDARY * 1000), limit=1)
    assert [r.time_ms for r in first] == [round(BOUNDARY * 1000)]
    ended = desk.exchange.funding_history(desk.id, end_ms=round(BOUNDARY * 1000) - 1, limit=1)
    assert [r.time_ms for r in ended] == [round((BOUNDARY - 8 * HOUR) * 1000)]


def test_both_sides_of_a_hedged_account_settle() -> None:
    desk = Desk(rules=replace(RULES, hedge_mode=True))
    desk.order("BUY", "2", position_side=PositionSide.LONG)
    desk.order("SELL", "1", position_side=PositionSide.SHORT)
    desk.to(BOUNDARY + 5)
    assert [(p.position_side, p.amount) for p in desk.exchange.funding_payments("a")] == [
        (PositionSide.LONG, Decimal("-0.2")),
        (PositionSide.SHORT, Decimal("0.1")),
    ]


def test_funding_moves_the_break_even_price_but_not_the_entry() -> None:
    desk = Desk(StillModel(rate=0.001))
    desk.order("BUY", "1")
    entry = desk.exchange.positions("a")[0]
    desk.to(BOUNDARY + 5)
    after = desk.exchange.positions("a")[0]
    assert after.entry_price == entry.entry_price
    assert after.break_even_price == entry.break_even_price + 1
