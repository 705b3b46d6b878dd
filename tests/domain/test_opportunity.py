"""What a candidate is worth: size, payments, costs, gates and their numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.make import NOW, D, T, instrument, quote, rate

from fundingarb.domain.funding import FundingRate
from fundingarb.domain.instrument import Side, common_lot
from fundingarb.domain.opportunity import (
    DecayToMedian,
    DepthSlippage,
    EntryRules,
    Quote,
    Refusal,
    Valuation,
    gates,
    index_deviation,
    largest_passing,
    plan_of,
    should_exit,
    size,
    value,
)

RULES = EntryRules()
MODEL = DepthSlippage()
FORECAST = DecayToMedian(timedelta(hours=24))


class Flat:
    """A forecast under which today's rate simply stays."""

    def expected(self, rate: FundingRate, median_hourly: Decimal, settlement: datetime) -> Decimal:
        return rate.rate


FLAT = Flat()


def worth(long: Quote, short: Quote, quantity: str = "10", rules: EntryRules = RULES) -> Valuation:
    valuation = value(long, short, D(quantity), rules, MODEL, FLAT, NOW)
    assert valuation is not None
    return valuation


def refusal(
    long: Quote, short: Quote, quantity: str = "10", rules: EntryRules = RULES, at: Any = NOW
) -> Refusal:
    found = gates(worth(long, short, quantity, rules), rules, at)
    assert found is not None, "should have been refused"
    return found


# threshold and exits


@pytest.mark.parametrize(
    ("notional", "threshold"), [("10000", "0.00011"), ("50000", "0.00015"), ("100000", "0.0002")]
)
def test_threshold_examples_of_the_specification(notional: str, threshold: str) -> None:
    assert RULES.threshold(D(notional)) == D(threshold)


@pytest.mark.parametrize(
    ("tolerance", "holds", "exits"),
    [
        ("0", "0", "-0.0000001"),  # conservative: closes as soon as it is negative
        ("-0.0001", "-0.0001", "-0.00010001"),  # moderate
        ("-0.0005", "-0.0005", "-0.00050001"),  # aggressive
    ],
)
def test_exit_presets(tolerance: str, holds: str, exits: str) -> None:
    assert not should_exit(D(holds), D(tolerance))
    assert should_exit(D(exits), D(tolerance))


# forecast


def test_the_coming_settlement_pays_todays_rate() -> None:
    now = rate(instrument(), "0.0008")
    assert FORECAST.expected(now, D("0.00001"), T) == D("0.0008")


def test_later_settlements_decay_to_the_median() -> None:
    now = rate(instrument(), "0.0008")
    median_hourly = D("0.0001") / 8
    day = FORECAST.expected(now, median_hourly, T + timedelta(hours=24))
    assert day == D("0.0001") + D("0.0007") / 2
    two = FORECAST.expected(now, median_hourly, T + timedelta(hours=48))
    assert two == D("0.0001") + D("0.0007") / 4
    far = FORECAST.expected(now, median_hourly, T + timedelta(days=365))
    assert abs(far - D("0.0001")) < D("1e-12")


def test_the_median_is_per_hour_and_the_rate_per_interval() -> None:
    hourly = rate(instrument(), "0", 1)
    assert FORECAST.expected(hourly, D("0.00002"), T + timedelta(days=400)) == pytest.approx(D("0.00002"))
    four = rate(instrument(), "0", 4)
    assert FORECAST.expected(four, D("0.00002"), T + timedelta(days=400)) == pytest.approx(D("0.00008"))


# payments


def test_an_hourly_leg_pays_every_hour_an_eight_hour_leg_every_eight() -> None:
    long = quote("alpha", "0.00001", 1, next_settlement=NOW.replace(hour=8, minute=0))
    short = quote("beta", "0.0004", 8)
    rules = replace(RULES, horizon=timedelta(hours=24))
    made = worth(long, short, "10", rules)
    long_payments = [p for p in made.payments if p.side is Side.LONG]
    short_payments = [p for p in made.payments if p.side is Side.SHORT]
    assert len(long_payments) == 24  # 08:00 to 07:00 of the next day
    assert [p.at - T for p in short_payments] == [timedelta(hours=h) for h in (0, 8, 16)]
    assert {p.amount for p in long_payments} == {D("-0.01")}  # a long pays a positive rate
    assert {p.amount for p in short_payments} == {D("0.4")}
    assert made.funding == D("1.2") - D("0.24")
    assert [p.at for p in made.payments] == sorted(p.at for p in made.payments)


def test_the_horizon_ends_the_calendar() -> None:
    long, short = quote("alpha", "0"), quote("beta", "0.0004")
    just_before = replace(RULES, horizon=T - NOW - timedelta(seconds=1))
    assert worth(long, short, rules=just_before).payments == ()
    until_t = replace(RULES, horizon=T - NOW)
    assert [p.at for p in worth(long, short, rules=until_t).payments] == [T, T]


def test_spread_is_per_hour_and_as_eight_hour_equivalent() -> None:
    made = worth(quote("alpha", "0.0001", 4), quote("beta", "0.0004", 8))
    assert made.spread == D("0.0004") / 8 - D("0.0001") / 4
    assert made.spread_8h == D("0.0002")
    assert made.notional == D(1000)
    assert made.threshold == RULES.threshold(D(1000))


# costs


def test_four_taker_fees() -> None:
    made = worth(
        quote("alpha", "0", fee=("0.0002", "0.0005")), quote("beta", "0.001", fee=("0.0001", "0.0006"))
    )
    assert made.fees == 1000 * 2 * (D("0.0005") + D("0.0006"))


@pytest.mark.parametrize(("thin", "saved"), [("alpha", "0.0003"), ("beta", "0.0005")])
def test_a_maker_fee_is_assumed_only_for_a_post_only_first_leg(thin: str, saved: str) -> None:
    thin_book: dict[str, Any] = {"bids": [("99.95", "20")], "asks": [("100.05", "20")]}
    long = quote("alpha", "0", fee=("0.0002", "0.0005"), **(thin_book if thin == "alpha" else {}))
    short = quote("beta", "0.001", fee=("0.0001", "0.0006"), **(thin_book if thin == "beta" else {}))
    plain, posted = worth(long, short), worth(long, short, rules=replace(RULES, post_only=True))
    assert plain.first is (Side.LONG if thin == "alpha" else Side.SHORT)  # less liquid first
    assert plain.fees - posted.fees == 1000 * D(saved)


def test_slippage_walks_the_depth_of_both_books_both_ways() -> None:
    levels: dict[str, Any] = {
        "bids": [("99.9", "5"), ("99.4", "100")],
        "asks": [("100.1", "5"), ("100.6", "100")],
    }
    made = worth(quote("alpha", "0", **levels), quote("beta", "0.001"), "10")
    # half of ten units at the touch, half half a unit of price beyond it
    beyond = D("0.25") / D("100.1") + D("0.25") / D("99.9")
    crossing = D("0.2") / 100 + beyond + D("0.1") / 100
    assert made.slippage == pytest.approx(1000 * crossing)


def test_a_book_that_is_too_thin_cannot_be_priced() -> None:
    thin = quote("alpha", "0", bids=[("99.9", "5")], asks=[("100.1", "100")])
    assert value(thin, quote("beta", "0.001"), D(6), RULES, MODEL, FLAT, NOW) is None
    assert value(thin, quote("beta", "0.001"), D(5), RULES, MODEL, FLAT, NOW) is not None
    crossed = quote("alpha", "0", bids=[("101", "50")], asks=[("100", "50")])
    assert value(crossed, quote("beta", "0.001"), D(5), RULES, MODEL, FLAT, NOW) is None
    assert value(quote("alpha", "0"), quote("beta", "0.001"), D(0), RULES, MODEL, FLAT, NOW) is None


HIGH: dict[str, Any] = {"bids": [("100.95", "10000")], "asks": [("101.05", "10000")]}


def test_an_adverse_basis_is_charged_and_a_favourable_one_is_not_credited() -> None:
    dear_long = worth(quote("alpha", "0", **HIGH), quote("beta", "0.001"))
    assert dear_long.basis == pytest.approx(10 * D(1))  # bought a dollar above what was sold
    cheap_long = worth(quote("alpha", "0"), quote("beta", "0.001", **HIGH))
    assert cheap_long.basis == 0
    half = worth(
        quote("alpha", "0", **HIGH), quote("beta", "0.001"), rules=replace(RULES, basis_convergence=D("0.5"))
    )
    assert half.basis == dear_long.basis / 2


def test_net_is_funding_minus_every_cost() -> None:
    made = worth(quote("alpha", "-0.0002", **HIGH), quote("beta", "0.001"))
    assert made.net == pytest.approx(made.funding - made.fees - made.slippage - made.basis)
    assert min(made.funding, made.fees, made.slippage, made.basis) > 0
    assert made.cost == made.fees + made.slippage + made.basis
    assert made.break_even_hours == made.cost / (made.spread * made.notional)
    assert worth(quote("alpha", "0.001"), quote("beta", "0")).break_even_hours is None


def test_t_is_the_settlement_of_the_leg_that_earns_most() -> None:
    soon, later = NOW + timedelta(minutes=19), NOW + timedelta(hours=4)
    long = quote("alpha", "-0.0001", next_settlement=soon)
    short = quote("beta", "0.001", next_settlement=later)
    assert worth(long, short).settlement == later
    long = quote("alpha", "-0.002", next_settlement=soon)
    assert worth(long, short).settlement == soon


# size


@pytest.mark.parametrize(
    ("long", "short", "rules", "quantity"),
    [
        ({}, {}, {}, "500"),  # the pair cap of 50,000 USD at 100
        (
            {"asks": [("100.05", "70"), ("100.14", "30"), ("100.2", "999")]},
            {},
            {},
            "100",
        ),  # depth within 0.1 %
        ({}, {"bids": [("99.95", "70"), ("99.86", "30"), ("99.8", "999")]}, {}, "100"),
        ({"margin": "1000", "leverage": 3}, {}, {}, "23.856"),  # 800 / (1/3 + 0.002) / 100
        ({}, {"margin": "1000", "leverage": 2}, {}, "15.936"),
        ({}, {"margin": "1000", "leverage": 2}, {"fee_reserve": D(0)}, "16"),
        ({}, {}, {"target_size_usd": D(2500)}, "25"),
        ({}, {}, {"max_position_per_pair_usd": D("1234.56")}, "12.345"),
        ({"max_quantity": D("7.7777")}, {}, {}, "7.777"),
        ({"margin": "0"}, {}, {}, "0"),
        ({"margin": "-5"}, {}, {}, "0"),
    ],
)
def test_size_is_the_smallest_of_its_limits(
    long: dict[str, Any], short: dict[str, Any], rules: dict[str, Any], quantity: str
) -> None:
    made = size(quote("alpha", "0", **long), quote("beta", "0.001", **short), replace(RULES, **rules), MODEL)
    assert made == D(quantity)


def test_size_is_rounded_to_the_coarser_lot() -> None:
    rules = replace(RULES, target_size_usd=D("1999"))
    coarse = quote("beta", "0.001", lot=D("0.5"), min_quantity=D("0.5"))
    assert size(quote("alpha", "0"), coarse, rules, MODEL) == D("19.5")


def test_no_price_no_size() -> None:
    crossed = quote("alpha", "0", bids=[("101", "50")], asks=[("100", "50")])
    assert size(crossed, quote("beta", "0.001"), RULES, MODEL) == 0
    assert MODEL.depth(replace(crossed.book, asks=()), True, D("0.1")) == 0


@given(
    margin=st.integers(0, 100_000),
    leverage=st.integers(1, 20),
    depth=st.integers(0, 10_000),
    cap=st.integers(1, 100_000),
    lots=st.sampled_from([("0.001", "0.01"), ("0.4", "1"), ("3", "7"), ("1000", "0.001")]),
)
def test_size_never_breaks_a_limit_and_is_a_lot_of_both(
    margin: int, leverage: int, depth: int, cap: int, lots: tuple[str, str]
) -> None:
    rules = replace(RULES, max_position_per_pair_usd=D(cap))
    asks = [("100.05", str(depth))]
    long = quote("alpha", "0", margin=str(margin), leverage=leverage, asks=asks, lot=D(lots[0]))
    short = quote("beta", "0.001", lot=D(lots[1]))
    made = size(long, short, rules, MODEL)
    assert made % D(lots[0]) == 0
    assert made % D(lots[1]) == 0
    carried = [
        D("0.8") * free / (1 / D(lever) + D("0.002")) for free, lever in ((margin, leverage), (1_000_000, 5))
    ]
    most, dust = min(D(cap), D(depth) * 100, *carried), D("1e-9")
    assert made * 100 <= most + dust
    assert (made + common_lot(long.instrument, short.instrument)) * 100 > most - dust


# gates


def good() -> tuple[Quote, Quote]:
    return quote("alpha", "-0.0005"), quote("beta", "0.002")


def test_a_good_candidate_passes_every_gate() -> None:
    assert gates(worth(*good()), RULES, NOW) is None


def test_identity_gate() -> None:
    long, short = good()
    twin = replace(short, rate=replace(short.rate, index=D("101.5")))
    found = refusal(long, twin)
    assert (found.gate, found.needed, found.actual) == ("identity", "index prices within 0.01", "0.015000")
    blind = replace(short, rate=replace(short.rate, index=None, mark=None))
    assert (refusal(long, blind).gate, refusal(long, blind).actual) == ("identity", "unknown")


def test_index_deviation_uses_the_index_else_the_mark() -> None:
    one = rate(instrument("alpha"), "0", index="100", mark="200")
    other = rate(instrument("beta"), "0", index=None, mark="101")
    assert index_deviation(one, other) == D("0.01")
    assert index_deviation(other, one) == D("0.01")
    assert index_deviation(one, replace(other, mark=D(0))) is None


def test_size_gate_names_the_exchange_and_its_minimum() -> None:
    long = quote("alpha", "-0.0005")
    short = quote("beta", "0.002", min_notional=D(200))
    found = refusal(long, short, "1.5")
    assert (found.gate, found.needed, found.actual) == ("size", "200.00 USD on beta", "150.00")
    big = quote("alpha", "-0.0005", min_quantity=D(3))
    assert refusal(big, quote("beta", "0.002"), "2").needed == "300.00 USD on alpha"


def test_spread_gate() -> None:
    found = refusal(quote("alpha", "0.0001"), quote("beta", "0.0002"), "10")
    assert (found.gate, found.needed, found.actual) == ("spread", "0.00010100", "0.00010000")
    assert found.spread_8h == D("0.0001")


def test_spread_equal_to_the_threshold_passes_it() -> None:
    at_threshold = quote("beta", "0.000101")
    assert refusal(quote("alpha", "0"), at_threshold, "10").gate == "net"


def test_net_gate() -> None:
    found = refusal(quote("alpha", "0"), quote("beta", "0.0003"), "10")
    assert found.gate == "net"
    assert found.needed == "1 USD over 3 days, 0:00:00"
    assert found.net_usd is not None
    assert D(found.actual) == pytest.approx(found.net_usd, abs=D("0.0001"))
    assert found.net_usd < 1


@pytest.mark.parametrize(
    ("minutes_before", "passes"), [(30, False), (20, True), (18, True), (15, True), (14, False), (0, False)]
)
def test_window_gate(minutes_before: int, passes: bool) -> None:
    at = T - timedelta(minutes=minutes_before)
    found = gates(worth(*good()), RULES, at)
    assert (found is None) is passes
    if found is not None:
        assert found.gate == "window"
        assert found.needed == "2026-01-05 07:40:00 to 07:45:00"
        assert found.actual == f"{at:%Y-%m-%d %H:%M:%S}"


def test_gates_come_in_order() -> None:
    """With everything wrong the first gate speaks; as each is put right, the next one does."""
    late = T - timedelta(minutes=1)
    rules = replace(RULES, min_net_usd=D(1_000_000))
    long = quote("alpha", "0.002", min_notional=D(10_000))
    short = quote("beta", "0", index="150", mark="150")
    assert refusal(long, short, rules=rules, at=late).gate == "identity"
    short = quote("beta", "0")
    assert refusal(long, short, rules=rules, at=late).gate == "size"
    long = quote("alpha", "0.002")
    assert refusal(long, short, rules=rules, at=late).gate == "spread"
    long, short = good()
    assert refusal(long, short, rules=rules, at=late).gate == "net"
    assert refusal(long, short, at=late).gate == "window"


# the largest size that passes


def test_the_size_shrinks_until_the_threshold_holds() -> None:
    """0.012 % is enough for 20,000 USD, not for 50,000."""
    made = largest_passing(quote("alpha", "0"), quote("beta", "0.00012"), RULES, MODEL, FLAT, NOW)
    assert made is not None
    assert made.quantity == D(200)
    assert made.notional == D(20_000)
    assert made.spread_8h >= made.threshold
    lot = D("0.001")
    assert made.spread_8h < RULES.threshold((made.quantity + lot) * 100)


def test_a_spread_that_is_enough_keeps_the_largest_size() -> None:
    made = largest_passing(quote("alpha", "0"), quote("beta", "0.001"), RULES, MODEL, FLAT, NOW)
    assert made is not None
    assert made.quantity == D(500)


def test_a_spread_below_the_base_is_shown_at_the_largest_size() -> None:
    made = largest_passing(quote("alpha", "0"), quote("beta", "0.00005"), RULES, MODEL, FLAT, NOW)
    assert made is not None
    assert made.quantity == D(500)
    assert made.spread_8h < made.threshold


@given(spread=st.integers(0, 400))
def test_whatever_passes_passes_at_its_own_size(spread: int) -> None:
    value_of = str(Decimal(spread) / 1_000_000)
    made = largest_passing(quote("alpha", "0"), quote("beta", value_of), RULES, MODEL, FLAT, NOW)
    assert made is not None
    if made.spread_8h > RULES.min_spread_base + RULES.min_spread_per_10k * D("0.00001"):
        assert made.spread_8h >= made.threshold


def test_a_plan_repeats_its_valuation() -> None:
    made = worth(*good())
    plan = plan_of(made, D("-0.0001"), origin="manual")
    assert (plan.long.account, plan.short.account) == ("alpha", "beta")
    assert (plan.long.side, plan.short.side) == (Side.LONG, Side.SHORT)
    assert (plan.quantity, plan.notional, plan.first) == (made.quantity, made.notional, made.first)
    assert (plan.entry_spread, plan.settlement, plan.origin) == (made.spread_8h, T, "manual")
    assert plan.valuation is made
