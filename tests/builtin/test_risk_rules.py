"""The risk rules that come with the core package."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.domain.make import NOW, D, filled, hedge, intent, plan

from fundingarb.builtin.risk import Delisting, LiquidationDistance, MarginAvailable, PairCap
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Balance, Purpose
from fundingarb.domain.risk import Portfolio


def balance(account: str, available: str) -> Balance:
    return Balance(account, "USDT", D(100_000), D(100_000), D(available))


def funds(alpha: str = "100000", beta: str = "100000", **changes: Any) -> Portfolio:
    balances = {"alpha": balance("alpha", alpha), "beta": balance("beta", beta)}
    return Portfolio(**{"balances": balances, **changes})


@pytest.mark.parametrize(("limit", "passes"), [("1000", True), ("999.99", False)])
def test_pair_cap(limit: str, passes: bool) -> None:
    refusal = PairCap(D(limit)).check(plan(), Portfolio(), NOW)
    assert (refusal is None) is passes
    if refusal is not None:
        assert (refusal.gate, refusal.needed, refusal.actual) == (
            "pair-cap",
            "at most 999.99 USD",
            "1000.00 USD",
        )


def test_pair_cap_counts_what_is_live() -> None:
    live = hedge(filled(Side.LONG, Purpose.ENTRY, "4"), quantity=D(4))
    portfolio = Portfolio(hedges=(live,))
    assert PairCap(D(1400)).check(plan(), portfolio, NOW) is None
    refusal = PairCap(D(1399)).check(plan(), portfolio, NOW)
    assert refusal is not None
    assert refusal.actual == "1400.00 USD"


@pytest.mark.parametrize(
    ("alpha", "beta", "short_of"),
    [("252.5", "252.5", None), ("252", "252.5", "alpha"), ("252.5", "252", "beta")],
)
def test_each_account_carries_its_leg(alpha: str, beta: str, short_of: str | None) -> None:
    """1,000 USD at leverage 5, and 2 for fees, take 202 of 252.5 x 0.8."""
    refusal = MarginAvailable(D("0.8")).check(plan(), funds(alpha, beta), NOW)
    if short_of is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert (refusal.gate, refusal.needed, refusal.actual) == (
            "margin",
            "202.00 USDT",
            f"201.60 USDT on {short_of}",
        )


def test_an_unread_balance_refuses() -> None:
    refusal = MarginAvailable().check(plan(), Portfolio(balances={"alpha": balance("alpha", "9999")}), NOW)
    assert refusal is not None
    assert (refusal.needed, refusal.actual) == ("balance of beta", "not read yet")


def opening(symbol: str = "ETH-USDT", mode: Mode = Mode.OPENING) -> Hedge:
    """Ten units of another symbol on the same accounts, at leverage 5."""
    return Hedge(intent(id=uuid4(), symbol=symbol, mode=mode))


def test_entries_of_other_symbols_under_way_count() -> None:
    prices = {"ETH-USDT": D(100)}
    both = funds("505", "505", hedges=(opening(),), prices=prices)
    assert MarginAvailable().check(plan(), both, NOW) is None
    short = funds("504", "505", hedges=(opening(),), prices=prices)
    refusal = MarginAvailable().check(plan(), short, NOW)
    assert refusal is not None
    assert (refusal.needed, refusal.actual) == ("404.00 USDT", "403.20 USDT on alpha")


def test_an_entry_of_unknown_price_refuses() -> None:
    refusal = MarginAvailable().check(plan(), funds(hedges=(opening(),)), NOW)
    assert refusal is not None
    assert refusal.actual == "unknown"


@pytest.mark.parametrize("mode", [Mode.HOLDING, Mode.CLOSING])
def test_what_is_open_is_in_the_balance_already(mode: Mode) -> None:
    assert MarginAvailable().check(plan(), funds("252.5", "252.5", hedges=(opening(mode=mode),)), NOW) is None


def test_entries_on_other_accounts_do_not_count() -> None:
    elsewhere = opening()
    elsewhere = elsewhere.with_intent(
        replace(
            elsewhere.intent,
            long=replace(elsewhere.intent.long, account="gamma"),
            short=replace(elsewhere.intent.short, account="delta"),
        )
    )
    assert MarginAvailable().check(plan(), funds("252.5", "252.5", hedges=(elsewhere,)), NOW) is None


# distance to liquidation


def test_both_accounts_stay_away_from_liquidation() -> None:
    """1,000 USD against an equity of 90, 10 of them maintenance margin, leaves 8 %."""
    enough, short = (
        Portfolio(balances={"alpha": equity("alpha", "90"), "beta": equity("beta", beta)})
        for beta in ("90", "89")
    )
    rule = LiquidationDistance(D("0.08"))
    assert rule.check(plan(), enough, NOW) is None
    refusal = rule.check(plan(), short, NOW)
    assert refusal is not None
    assert (refusal.gate, refusal.needed, refusal.actual) == (
        "liquidation",
        "8.00% to liquidation on beta",
        "7.90%",
    )


def test_what_is_open_on_the_same_side_there_counts() -> None:
    balances = {"alpha": equity("alpha", "180"), "beta": equity("beta", "180")}
    open_too = Portfolio(balances=balances, hedges=(opening(mode=Mode.HOLDING),), prices={"ETH-USDT": D(100)})
    assert LiquidationDistance(D("0.085")).check(plan(), open_too, NOW) is None  # 170 of 2,000
    entering = replace(open_too, hedges=(opening(),))
    assert LiquidationDistance(D("0.085")).check(plan(), entering, NOW) is not None  # 160 of 2,000


def equity(account: str, amount: str) -> Balance:
    return Balance(account, "USDT", D(amount), D(amount), D(amount), D(0))


# delisting


@pytest.mark.parametrize(("hours", "passes"), [(None, True), (72, True), (71, False)])
@pytest.mark.parametrize("side", ["long", "short"])
def test_no_instrument_is_delisted_within_the_horizon(side: str, hours: int | None, passes: bool) -> None:
    at = None if hours is None else NOW + timedelta(hours=hours)
    leg = getattr(plan(), side)
    proposed = plan(**{side: replace(leg, instrument=replace(leg.instrument, delists_at=at))})
    refusal = Delisting(timedelta(hours=72)).check(proposed, Portfolio(), NOW)
    assert (refusal is None) is passes
    if refusal is not None:
        assert refusal.gate == "delisting"
        assert leg.instrument.exchange in refusal.needed
