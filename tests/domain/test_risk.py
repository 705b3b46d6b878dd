"""Approval: the only door to the executor, what no configuration can open, and what every plan has to be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.domain.make import NOW, D, hedge, instrument, intent, plan

from fundingarb.domain.hedge import Hedge, LegPlan, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.risk import Approved, Portfolio, approve, refuse


@dataclass
class Says:
    """A rule that answers what it was given, and counts how often it was asked."""

    answer: Refusal | None = None
    asked: int = 0

    def check(self, plan: HedgePlan, portfolio: Portfolio, now: datetime) -> Refusal | None:
        self.asked += 1
        return self.answer


def gate_of(result: Approved[HedgePlan] | Refusal) -> str:
    assert isinstance(result, Refusal), "should have been refused"
    return result.gate


def test_nobody_else_makes_an_approval() -> None:
    with pytest.raises(TypeError, match="only"):
        Approved(plan(), object())
    with pytest.raises(TypeError):
        Approved(plan())  # type: ignore[call-arg]


def test_an_approval_cannot_be_given_another_plan() -> None:
    approved = approve(plan(), [], Portfolio(), NOW)
    assert isinstance(approved, Approved)
    assert approved.value == plan()
    with pytest.raises(AttributeError):
        approved.value = plan(quantity=D(1_000_000))  # type: ignore[misc]


def test_all_rules_must_agree_and_the_first_refusal_counts() -> None:
    no = refuse(plan(), "mine", "more", "less", NOW)
    first, second, third = Says(), Says(no), Says()
    assert approve(plan(), [first, second, third], Portfolio(), NOW) is no
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)
    assert isinstance(approve(plan(), [first, third], Portfolio(), NOW), Approved)


def other(**changes: Any) -> Hedge:
    return Hedge(intent(id=uuid4(), **changes))


@pytest.mark.parametrize(
    ("portfolio", "gate"),
    [
        (Portfolio(killed=True), "killed"),
        (Portfolio(halted={"alpha": "does not match"}), "halted"),
        (Portfolio(halted={"beta": "does not match"}), "halted"),
        (Portfolio(cooldowns={"BTC-USDT": NOW + timedelta(seconds=1)}), "cooldown"),
        (Portfolio(hedges=(hedge(),)), "one-per-symbol"),
        (Portfolio(hedges=(hedge(mode=Mode.CLOSING),)), "one-per-symbol"),
    ],
)
def test_invariants_refuse_before_any_rule_is_asked(portfolio: Portfolio, gate: str) -> None:
    rule = Says()
    assert gate_of(approve(plan(), [rule], portfolio, NOW)) == gate
    assert rule.asked == 0


@pytest.mark.parametrize(
    "portfolio",
    [
        Portfolio(halted={"gamma": "does not match"}),
        Portfolio(cooldowns={"BTC-USDT": NOW, "ETH-USDT": NOW + timedelta(hours=1)}),
        Portfolio(hedges=(hedge(mode=Mode.DONE),)),
        Portfolio(hedges=(other(symbol="ETH-USDT"),)),
    ],
)
def test_what_does_not_concern_the_plan_does_not_refuse_it(portfolio: Portfolio) -> None:
    assert isinstance(approve(plan(), [], portfolio, NOW), Approved)


COARSE = LegPlan(Side.SHORT, "beta", instrument("beta", lot=D("0.4")), 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": D(0)},
        {"quantity": D("-1")},
        {"quantity": D("NaN")},
        {"quantity": D("0.0005"), "notional": D("0.05")},  # half a lot
        {"quantity": D("10.1"), "short": COARSE},  # no multiple of both lots
        {"quantity": D("0.001"), "notional": D("0.1")},  # below both minimums
        {"notional": D(0)},
        {"long": LegPlan(Side.SHORT, "alpha", instrument("alpha"), 5)},
        {"short": LegPlan(Side.SHORT, "alpha", instrument("alpha"), 5)},  # the same account twice
        {"short": LegPlan(Side.SHORT, "beta", instrument("beta", "ETH-USDT"), 5)},
        {"short": LegPlan(Side.SHORT, "beta", instrument("beta"), 0)},
        {"short": LegPlan(Side.SHORT, "beta", instrument("beta", max_quantity=D(9)), 5)},
    ],
)
def test_a_plan_nobody_could_carry_out_is_refused(wrong: dict[str, Any]) -> None:
    assert gate_of(approve(plan(**wrong), [], Portfolio(), NOW)) == "plan"


def test_two_accounts_on_one_exchange_are_two_accounts() -> None:
    twin = LegPlan(Side.SHORT, "alpha-2", instrument("alpha"), 5)
    assert isinstance(approve(plan(short=twin), [], Portfolio(), NOW), Approved)


def test_refusals_carry_the_numbers() -> None:
    row = refuse(plan(), "pair-cap", "at most 5", 7, NOW)
    assert (row.symbol, row.long_exchange, row.short_exchange) == ("BTC-USDT", "alpha", "beta")
    assert (row.gate, row.needed, row.actual, row.at) == ("pair-cap", "at most 5", "7", NOW)
    assert (row.spread_8h, row.net_usd) == (None, None)


def test_notional_counts_the_target_while_opening() -> None:
    made = hedge()
    portfolio = Portfolio(hedges=(made, made.with_intent(replace(made.intent, mode=Mode.DONE))))
    assert portfolio.notional("BTC-USDT", D(100)) == D(1000)
    assert portfolio.notional("ETH-USDT", D(100)) == D(0)
