"""The default strategy on a market view made by hand: what it proposes, what it refuses and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.domain.make import NOW, D, T, filled, hedge, instrument, quote

from fundingarb.builtin.strategy import ALTERNATIVES, FundingSpread
from fundingarb.domain.funding import FundingRate
from fundingarb.domain.hedge import CloseReason, Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.market import RateBook
from fundingarb.domain.opportunity import EntryRules, Quote, Refusal
from fundingarb.domain.order import Purpose
from fundingarb.ports import Proposals

RULES = EntryRules()


@dataclass
class View:
    """``ports.MarketView`` from what a test puts into it."""

    rates: RateBook = field(default_factory=RateBook)
    hedges: Sequence[Hedge] = ()
    known: dict[tuple[str, str], list[Quote]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)

    def rate(self, exchange: str, symbol: str) -> FundingRate | None:
        return None if exchange in self.stale else self.rates.get(exchange, symbol)

    def quotes(self, exchange: str, symbol: str) -> Sequence[Quote]:
        return self.known.get((exchange, symbol), ())

    def tolerance(self, symbol: str) -> Decimal:
        return D("-0.0002") if symbol == "ETH-USDT" else D("-0.0001")

    def add(
        self, exchange: str, value: str, symbol: str = "BTC-USDT", hours: int = 8, **changes: Any
    ) -> Quote:
        """A rate in the book and a quote for it."""
        made = quote(exchange, value, hours, symbol=symbol, **changes)
        row = self.rates.add(made.instrument)
        next_settlement = made.rate.next_settlement.timestamp()
        self.rates.update(row, float(value), next_settlement, NOW.timestamp(), hours * 3600)
        self.known.setdefault((exchange, symbol), []).append(made)
        return made


def ask(view: View, *symbols: str, rules: EntryRules = RULES, now: datetime = NOW) -> Proposals:
    return FundingSpread(rules).evaluate(view, symbols or ("BTC-USDT",), now)


def refused(view: View, **changes: Any) -> Refusal:
    proposals = ask(view, **changes)
    assert proposals.plans == ()
    (refusal,) = proposals.refusals
    return refusal


def test_short_where_the_rate_is_high_and_long_where_it_is_low() -> None:
    view = View()
    view.add("alpha", "0.002")
    view.add("beta", "-0.001")
    view.add("gamma", "0.0005")
    (plan,) = ask(view).plans
    assert (plan.long.account, plan.short.account) == ("beta", "alpha")
    assert (plan.long.side, plan.short.side) == (Side.LONG, Side.SHORT)
    assert plan.entry_spread == D("0.003")
    assert plan.tolerance == D("-0.0001")
    assert plan.quantity == D(500)
    assert plan.settlement == T
    assert plan.valuation is not None
    assert plan.valuation.net > RULES.min_net_usd


def test_rates_are_compared_per_hour() -> None:
    view = View()
    view.add("alpha", "0.0008", hours=8)
    view.add("beta", "0.0006", hours=1)  # 0.48 % per eight hours
    (plan,) = ask(view).plans
    assert plan.short.account == "beta"
    assert plan.entry_spread == D("0.0040")


def test_the_highest_spread_comes_first() -> None:
    view = View()
    for symbol, high in (("BTC-USDT", "0.004"), ("ETH-USDT", "0.006"), ("SOL-USDT", "0.005")):
        view.add("alpha", "0", symbol)
        view.add("beta", high, symbol)
    plans = ask(view, "BTC-USDT", "ETH-USDT", "SOL-USDT").plans
    assert [plan.symbol for plan in plans] == ["ETH-USDT", "SOL-USDT", "BTC-USDT"]
    assert plans[0].tolerance == D("-0.0002")


def test_only_symbols_that_were_asked_about() -> None:
    view = View()
    for symbol in ("BTC-USDT", "ETH-USDT"):
        view.add("alpha", "0", symbol)
        view.add("beta", "0.004", symbol)
    assert [plan.symbol for plan in ask(view, "ETH-USDT").plans] == ["ETH-USDT"]


def test_the_account_with_most_buying_power_trades() -> None:
    view = View()
    view.add("alpha", "0", account="alpha-1", margin="1000", leverage=10)
    view.add("alpha", "0", account="alpha-2", margin="3000", leverage=5)
    view.add("beta", "0.004")
    plan, other = ask(view).plans
    assert plan.long.account == "alpha-2"
    assert plan.long.leverage == 5
    assert other.long.account == "alpha-1", "next, should a limit of the first refuse it"


def test_one_exchange_is_no_candidate() -> None:
    view = View()
    view.add("alpha", "0.002")
    assert ask(view) == Proposals()


@pytest.mark.parametrize(
    ("low", "high", "gate", "needed", "actual"),
    [
        ("0", "0.00005", "spread", "0.00010000", "0.00005000"),  # not worth a valuation
        ("0", "0.0001", "spread", "0.00015000", "0.00010000"),  # the threshold grows with the size
        ("0", "0.0003", "net", "1 USD over 3 days, 0:00:00", None),
    ],
)
def test_each_refusal_has_its_gate_and_numbers(
    low: str, high: str, gate: str, needed: str, actual: str | None
) -> None:
    view = View()
    view.add("alpha", low)
    view.add("beta", high)
    refusal = refused(view)
    assert (refusal.gate, refusal.needed) == (gate, needed)
    assert actual is None or refusal.actual == actual
    assert (refusal.long_exchange, refusal.short_exchange, refusal.at) == ("alpha", "beta", NOW)
    assert refusal.spread_8h is not None
    assert float(refusal.spread_8h) == pytest.approx(float(high))


def test_outside_the_window() -> None:
    view = View()
    view.add("alpha", "-0.001")
    view.add("beta", "0.002")
    refusal = refused(view, now=T - timedelta(minutes=30))
    assert (refusal.gate, refusal.needed) == ("window", "2026-01-05 07:40:00 to 07:45:00")


@pytest.mark.parametrize("missing", ["alpha", "beta"])
def test_without_fresh_data_on_one_side(missing: str) -> None:
    view = View()
    view.add("alpha", "-0.001")
    view.add("beta", "0.002")
    del view.known[(missing, "BTC-USDT")]
    refusal = refused(view)
    assert (refusal.gate, refusal.actual) == ("data", f"missing on {missing}")


def test_no_depth() -> None:
    view = View()
    view.add("alpha", "-0.001", asks=[("100.05", "0.0004"), ("101", "1000")])
    view.add("beta", "0.002")
    refusal = refused(view)
    assert (refusal.gate, refusal.needed, refusal.actual) == (
        "depth",
        "0.001 BTC within 0.001",
        "0.0004 on alpha",
    )


def test_no_margin_is_not_called_a_thin_book() -> None:
    view = View()
    view.add("alpha", "-0.001", margin="0")
    view.add("beta", "0.002")
    refusal = refused(view)
    assert (refusal.gate, refusal.needed) == ("size", "0.001 BTC")
    assert refusal.actual == "less, with free margin 0.00 on alpha, 1000000.00 on beta"


def test_a_crossed_book() -> None:
    view = View()
    view.add("alpha", "-0.001")
    view.add("beta", "0.002", bids=[("101", "10")], asks=[("100", "10")])
    refusal = refused(view)
    assert (refusal.gate, refusal.actual) == ("book", "none on beta")


def test_no_way_out() -> None:
    view = View()
    view.add("alpha", "-0.001", bids=[("99.95", "1")])
    view.add("beta", "0.002")
    refusal = refused(view)
    assert (refusal.gate, refusal.actual) == ("depth", "too thin on the other side")


# exits


def held(**changes: Any) -> Hedge:
    return hedge(
        filled(Side.LONG, Purpose.ENTRY, "10"),
        filled(Side.SHORT, Purpose.HEDGE, "10"),
        **{"mode": Mode.HOLDING, **changes},
    )


def turned(spread: str, **changes: Any) -> View:
    """A hedge held while the 8-hour spread is now ``spread``, hours away from any settlement."""
    view = View(hedges=[held(**changes)])
    for exchange, value in (("alpha", "0"), ("beta", spread)):
        view.add(exchange, value, next_settlement=T + timedelta(hours=4))
    return view


@pytest.mark.parametrize(
    ("tolerance", "spread", "exits"),
    [
        ("0", "0", False),
        ("0", "-0.00001", True),
        ("-0.0001", "-0.00005", False),
        ("-0.0001", "-0.0002", True),
        ("-0.0005", "-0.0004", False),
        ("-0.0005", "-0.0006", True),
    ],
)
def test_exits_follow_the_tolerance_of_the_hedge(tolerance: str, spread: str, exits: bool) -> None:
    proposals = ask(turned(spread, tolerance=D(tolerance)))
    assert proposals.plans == ()
    assert proposals.refusals == ()
    if exits:
        (wanted,) = proposals.exits
        assert wanted.reason is CloseReason.SPREAD
        assert wanted.hedge_id == held().id
        assert "below" in wanted.detail
    else:
        assert proposals.exits == ()


def test_a_hedge_is_looked_at_whatever_was_asked() -> None:
    assert len(ask(turned("-0.01"), "ETH-USDT").exits) == 1


def test_no_second_hedge_of_a_symbol() -> None:
    view = turned("0.01")
    assert ask(view, now=T + timedelta(hours=4) - timedelta(minutes=18)).plans == ()


@pytest.mark.parametrize("mode", [Mode.OPENING, Mode.CLOSING])
def test_only_a_held_hedge_exits(mode: Mode) -> None:
    assert ask(turned("-0.01", mode=mode)).exits == ()


@pytest.mark.parametrize(
    ("seconds", "exits"), [(-61, True), (-60, False), (-1, False), (0, False), (30, False)]
)
def test_no_exit_around_a_settlement(seconds: int, exits: bool) -> None:
    now = T + timedelta(hours=4, seconds=seconds)
    assert bool(ask(turned("-0.01"), now=now).exits) is exits


@pytest.mark.parametrize(("seconds", "exits"), [(1, False), (60, False), (61, True)])
def test_no_exit_right_after_a_settlement_either(seconds: int, exits: bool) -> None:
    """The rates name the next settlement already; the last one was one interval before."""
    now = T - timedelta(hours=4) + timedelta(seconds=seconds)
    assert bool(ask(turned("-0.01"), now=now).exits) is exits


def test_no_exit_on_a_rate_that_is_too_old() -> None:
    view = turned("-0.001", tolerance=D("-0.0001"))
    assert ask(view).exits
    view.stale.add(view.hedges[0].intent.long.instrument.exchange)
    assert not ask(view).exits


def test_no_exit_on_a_rate_that_is_not_known() -> None:
    view = View(hedges=[held()])
    view.add("alpha", "0", next_settlement=T + timedelta(hours=4))
    view.rates.add(instrument("beta"))
    assert ask(view).exits == ()


def test_the_strategy_keeps_no_memory() -> None:
    strategy = FundingSpread(RULES)
    view = View()
    view.add("alpha", "-0.001")
    view.add("beta", "0.002")
    first = strategy.evaluate(view, ("BTC-USDT",), NOW)
    assert strategy.evaluate(view, ("BTC-USDT",), NOW) == first
    assert replace(strategy) == strategy


# three exchanges and more


def pairs(proposals: Proposals) -> list[tuple[str, str]]:
    return [(plan.long.account, plan.short.account) for plan in proposals.plans]


def four() -> View:
    view = View()
    for exchange, value in (("alpha", "0.004"), ("beta", "0.001"), ("gamma", "-0.001"), ("delta", "-0.003")):
        view.add(exchange, value)
    return view


def test_the_next_best_pairs_follow_the_best_one() -> None:
    spreads = [plan.entry_spread for plan in ask(four()).plans]
    assert spreads == sorted(spreads, reverse=True)
    assert pairs(ask(four()))[:4] == [
        ("delta", "alpha"),
        ("gamma", "alpha"),
        ("delta", "beta"),
        ("beta", "alpha"),
    ]


def test_a_best_pair_that_is_refused_leaves_the_turn_to_the_next() -> None:
    """An account on the exchange with the lowest rate is halted: it gives no quote."""
    view = four()
    view.known[("delta", "BTC-USDT")] = []
    proposals = ask(view)
    assert pairs(proposals)[0] == ("gamma", "alpha")
    (refusal,) = proposals.refusals
    assert (refusal.long_exchange, refusal.short_exchange, refusal.gate) == ("delta", "alpha", "data")


def test_a_best_pair_that_is_too_thin_leaves_the_turn_to_the_next() -> None:
    view = View()
    view.add("alpha", "0.004")
    view.add("delta", "-0.003", asks=[("100.05", "0.0001")])
    view.add("gamma", "-0.001")
    proposals = ask(view)
    assert pairs(proposals) == [("gamma", "alpha")]
    assert proposals.refusals[0].gate in ("depth", "size")


def test_pairs_outside_their_window_are_not_even_valued() -> None:
    view = four()
    asked: list[str] = []
    quotes = view.quotes

    def counted(exchange: str, symbol: str) -> Sequence[Quote]:
        asked.append(exchange)
        return quotes(exchange, symbol)

    view.quotes = counted  # type: ignore[method-assign]
    assert ask(view, now=T - timedelta(hours=2)).plans == ()
    assert asked == ["delta", "alpha"]


def test_a_pair_with_another_settlement_in_its_window_is_found() -> None:
    view = View()
    for exchange, value, ahead in (("alpha", "0.004", 4), ("beta", "0.003", 0), ("gamma", "-0.002", 0)):
        view.add(exchange, value, next_settlement=T + timedelta(hours=ahead))
    proposals = ask(view)
    (refusal,) = proposals.refusals
    assert (refusal.long_exchange, refusal.short_exchange, refusal.gate) == ("gamma", "alpha", "window")
    assert pairs(proposals) == [("gamma", "beta")]
    assert proposals.plans[0].settlement == T


def test_only_a_few_pairs_are_valued() -> None:
    view = View()
    for number in range(10):
        view.add(f"x{number}", f"{0.0005 * number - 0.002:.4f}")
    assert len(ask(view).plans) == 1 + ALTERNATIVES


def test_the_other_accounts_of_the_same_exchanges_follow_for_when_one_is_at_its_limit() -> None:
    view = View()
    first = view.add("alpha", "0.002")
    view.add("beta", "-0.001")
    key = ("alpha", "BTC-USDT")
    more = [replace(first, account=f"alpha-{n}", free_margin=first.free_margin / n) for n in (2, 3)]
    view.known[key] += [*more, replace(first, account="alpha-empty", free_margin=D(0))]
    assert pairs(ask(view)) == [("beta", "alpha"), ("beta", "alpha-2"), ("beta", "alpha-3")]
    view.known[key] += [replace(first, account=f"alpha-{n}", free_margin=D(n)) for n in range(1000, 1100)]
    assert len(ask(view).plans) <= 1 + ALTERNATIVES
