"""The runaway guards: what they allow, what they refuse, how near to their limit they say things are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError
from tests.domain.make import NOW, D, filled, hedge, order, plan

from fundingarb.builtin.plugin import register_risk_rules
from fundingarb.builtin.risk import DailyLoss, OrderRate, RoundTrips, TotalNotional
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Purpose
from fundingarb.domain.risk import Portfolio
from fundingarb.ports import Guard, OrderGuard

PRICES = {"BTC-USDT": D(100), "ETH-USDT": D(100)}


def over(symbol: str, closed_at: datetime, *, held: bool = True) -> Hedge:
    rows = (filled(Side.LONG, Purpose.ENTRY, "4"),) if held else ()
    return hedge(*rows, id=uuid4(), symbol=symbol, mode=Mode.DONE, closed_at=closed_at)


def test_which_of_them_are_watched_and_which_have_the_last_word() -> None:
    guards = [OrderRate(60), RoundTrips(3), DailyLoss(D(100)), TotalNotional(D(1), D(1))]
    assert all(isinstance(guard, Guard) for guard in guards)
    assert [isinstance(guard, OrderGuard) for guard in guards] == [True, False, False, False]


# orders per minute


@pytest.mark.parametrize(("sent", "passes"), [(0, True), (44, True), (45, False), (60, False)])
def test_entries_stop_before_the_last_quarter(sent: int, passes: bool) -> None:
    refusal = OrderRate(60).check(plan(), Portfolio(sent=sent), NOW)
    assert (refusal is None) is passes
    if refusal is not None:
        assert (refusal.gate, refusal.actual) == ("order-rate", str(sent))


@pytest.mark.parametrize(
    ("purpose", "sent", "passes"),
    [
        (Purpose.ENTRY, 44, True),
        (Purpose.ENTRY, 45, False),
        (Purpose.HEDGE, 59, True),
        (Purpose.HEDGE, 60, False),
    ],
)
def test_the_last_word_before_an_order_leaves(purpose: Purpose, sent: int, passes: bool) -> None:
    record = order(hedge(), Side.LONG, purpose, "1")
    assert (OrderRate(60).admit(record, sent) is None) is passes


# round trips


def test_round_trips_of_the_symbol_within_the_hour_count() -> None:
    recent = [over("BTC-USDT", NOW - timedelta(minutes=minutes)) for minutes in (1, 59)]
    others = [
        over("ETH-USDT", NOW),
        over("BTC-USDT", NOW - timedelta(hours=1)),
        over("BTC-USDT", NOW, held=False),
    ]
    portfolio = Portfolio(over=(*recent, *others))
    assert RoundTrips(3).check(plan(), portfolio, NOW) is None
    refusal = RoundTrips(2).check(plan(), portfolio, NOW)
    assert refusal is not None
    assert (refusal.gate, refusal.actual) == ("round-trips", "2")
    usage = RoundTrips(4).usage(portfolio, NOW)
    assert usage is not None
    assert (usage.share, usage.actual) == (D("0.5"), "2 of BTC-USDT")


# daily loss


@pytest.mark.parametrize(
    ("result", "passes"), [("0", True), ("-99.99", True), ("-100", False), (None, False)]
)
def test_a_day_that_lost_too_much_is_over(result: str | None, passes: bool) -> None:
    portfolio = Portfolio(day_result=None if result is None else D(result))
    refusal = DailyLoss(D(100)).check(plan(), portfolio, NOW)
    assert (refusal is None) is passes
    if refusal is not None:
        assert refusal.gate == "daily-loss"


def test_a_gain_is_no_use_of_the_limit_and_an_unknown_result_is_unknown() -> None:
    guard = DailyLoss(D(100), kill=True)
    gain, loss = (guard.usage(Portfolio(day_result=D(result)), NOW) for result in ("50", "-80"))
    assert gain is not None
    assert gain.share == 0
    assert loss is not None
    assert (loss.share, loss.kill) == (D("0.8"), True)
    assert guard.usage(Portfolio(day_result=None), NOW) is None


# total notional


def test_the_total_counts_a_hedge_once_and_an_account_its_legs() -> None:
    live = hedge(id=uuid4(), symbol="ETH-USDT")
    moved = replace(live.intent, long=replace(live.intent.long, account="gamma"))
    portfolio = Portfolio(hedges=(live.with_intent(moved),), prices=PRICES)  # 1,000 USD gamma to beta
    assert TotalNotional(D(2000), D(2000)).check(plan(), portfolio, NOW) is None
    refusal = TotalNotional(D(1999), D(2000)).check(plan(), portfolio, NOW)
    assert refusal is not None
    assert (refusal.needed, refusal.actual) == ("at most 1999 USD over all", "2000.00 USD")
    refusal = TotalNotional(D(9999), D(1999)).check(plan(), portfolio, NOW)
    assert refusal is not None
    assert refusal.needed == "at most 1999 USD on beta"
    own = TotalNotional(D(9999), D(9999), {"alpha": D(999)})
    refusal = own.check(plan(), portfolio, NOW)
    assert refusal is not None
    assert (refusal.needed, refusal.actual) == ("at most 999 USD on alpha", "1000.00 USD")


def test_what_is_over_does_not_count_and_an_unknown_price_refuses() -> None:
    guard = TotalNotional(D(1000), D(1000))
    done = hedge(id=uuid4(), symbol="ETH-USDT", mode=Mode.DONE)
    assert guard.check(plan(), Portfolio(hedges=(done,)), NOW) is None
    live = hedge(id=uuid4(), symbol="ETH-USDT")
    refusal = guard.check(plan(), Portfolio(hedges=(live,)), NOW)
    assert refusal is not None
    assert refusal.actual.startswith("unknown")
    assert guard.usage(Portfolio(hedges=(live,)), NOW) is None


def test_the_usage_is_that_of_the_tightest_limit() -> None:
    live = hedge(id=uuid4(), symbol="ETH-USDT")
    usage = TotalNotional(D(10_000), D(5000), {"beta": D(1250)}).usage(
        Portfolio(hedges=(live,), prices=PRICES), NOW
    )
    assert usage is not None
    assert (usage.share, usage.actual) == (D("0.8"), "1000.00 USD on beta")


# settings


def test_every_rule_and_setting_is_in_the_readme_with_its_default_and_others_are_refused(root: Path) -> None:
    text = (root / "fundingarb-core" / "README.md").read_text()
    for component in register_risk_rules():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{component.name}` |"))
        for name, setting in component.settings.model_fields.items():
            if name not in ("enabled", "accounts"):
                assert re.search(rf"`{name}` \(`?{setting.default}\b", row), (component.name, name)
        with pytest.raises(ValidationError):
            component.settings.model_validate({"enabld": False})
