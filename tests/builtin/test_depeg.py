"""Hedges whose legs settle in two currencies: opened while these are worth the same, closed when they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError
from tests.domain.make import NOW, D, hedge, instrument, plan

from fundingarb.builtin.risk import Depeg
from fundingarb.builtin.settings import DepegSettings
from fundingarb.domain.hedge import CloseReason, Hedge, LegPlan
from fundingarb.domain.instrument import Side
from fundingarb.domain.risk import Portfolio
from fundingarb.ports import ClosingRule, Guard

RULE = Depeg()
USDC = instrument("beta", settle="USDC")
ACROSS = plan(short=LegPlan(Side.SHORT, "beta", USDC, 5))


def worth(peg: str) -> Portfolio:
    return Portfolio(pegs={"USDC": D(peg)})


def across() -> Hedge:
    found = hedge()
    return found.with_intent(replace(found.intent, short=LegPlan(Side.SHORT, "beta", USDC, 5)))


def test_it_is_watched_and_may_close() -> None:
    assert isinstance(RULE, Guard)
    assert isinstance(RULE, ClosingRule)
    assert RULE.closes_as is CloseReason.DEPEG


@pytest.mark.parametrize(
    ("peg", "passes"), [("1", True), ("0.9971", True), ("0.997", False), ("1.003", False), ("0.5", False)]
)
def test_nothing_is_opened_across_from_the_warning_on(peg: str, passes: bool) -> None:
    refusal = RULE.check(ACROSS, worth(peg), NOW)
    assert (refusal is None) is passes
    assert RULE.check(plan(), worth(peg), NOW) is None, "one currency: nothing to be apart"


def test_what_is_not_known_is_not_taken_for_par() -> None:
    refusal = RULE.check(ACROSS, Portfolio(), NOW)
    assert refusal is not None
    assert (refusal.gate, refusal.actual) == ("depeg", "unknown")
    assert RULE.check(plan(), Portfolio(), NOW) is None
    assert RULE.why_close(across(), Portfolio(), NOW) is None, "and is no reason to close either"
    assert RULE.usage(Portfolio(hedges=(across(),)), NOW) is None


@pytest.mark.parametrize(
    ("peg", "closed"), [("0.9901", False), ("0.99", True), ("1.01", True), ("0.87", True)]
)
def test_what_is_open_across_is_closed_at_the_limit(peg: str, closed: bool) -> None:
    assert (RULE.why_close(across(), worth(peg), NOW) is not None) is closed
    assert RULE.why_close(hedge(), worth(peg), NOW) is None


@pytest.mark.parametrize(
    ("peg", "share"), [("1", "0"), ("1.003", "0.3"), ("1.005", "0.5"), ("1.02", "2"), ("0.5", "100")]
)
def test_the_warning_is_at_its_own_share_of_the_limit(peg: str, share: str) -> None:
    usage = RULE.usage(worth(peg), NOW)
    assert usage is not None
    assert (usage.share, usage.near) == (D(share), D("0.3"))


def test_without_another_currency_there_is_nothing_to_watch() -> None:
    usage = RULE.usage(Portfolio(hedges=(hedge(),)), NOW)
    assert usage is not None
    assert usage.share == 0


def test_the_warning_is_not_above_the_limit() -> None:
    with pytest.raises(ValidationError, match="warn must not be above close"):
        DepegSettings(warn=D("0.02"))
    assert DepegSettings(warn=D("0.005"), close=D("0.005")).close == D("0.005")
