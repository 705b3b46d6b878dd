"""Rounding to ticks and lots, common lots, and what an exchange takes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.make import D, instrument

from fundingarb.domain.instrument import Side, ceil_to, common_lot, floor_to

STEPS = st.sampled_from(
    [D(s) for s in ("0.0001", "0.001", "0.003", "0.25", "0.3", "0.7", "1", "2.5", "1000")]
)
# quotients of money and prices have all 28 digits: rounding them must not round up
VALUES = st.builds(
    lambda a, b: D(a) / D(b), st.integers(-(10**12), 10**12), st.integers(1, 10**9)
) | st.decimals(-1_000_000, 1_000_000, places=28)


@given(value=VALUES, step=STEPS)
def test_floor_is_the_largest_multiple_not_above(value: Decimal, step: Decimal) -> None:
    result = floor_to(value, step)
    assert Fraction(result) % Fraction(step) == 0
    assert result <= value
    assert Fraction(value) - Fraction(result) < Fraction(step)


@given(value=VALUES, step=STEPS)
def test_ceiling_is_the_smallest_multiple_not_below(value: Decimal, step: Decimal) -> None:
    result = ceil_to(value, step)
    assert Fraction(result) % Fraction(step) == 0
    assert result >= value
    assert Fraction(result) - Fraction(value) < Fraction(step)


def test_floor_does_not_round_up_in_the_last_digit() -> None:
    just_below = D("0.8999999999999999999999999999")
    assert floor_to(just_below, D("0.3")) == D("0.6")
    assert ceil_to(D("0.9000000000000000000000000001"), D("0.3")) == D("1.2")


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("0.001", "0.01", "0.01"),
        ("1", "1", "1"),
        ("0.4", "1", "2"),
        ("0.25", "0.1", "0.5"),
        ("1000", "1", "1000"),
        ("0.002", "0.003", "0.006"),
    ],
)
def test_common_lot(one: str, other: str, common: str) -> None:
    a, b = instrument("alpha", lot=D(one)), instrument("beta", lot=D(other))
    assert common_lot(a, b) == common_lot(b, a) == D(common)


@given(one=STEPS, other=STEPS)
def test_a_common_lot_is_a_multiple_of_both_and_none_is_smaller(one: Decimal, other: Decimal) -> None:
    common = Fraction(common_lot(instrument(lot=one), instrument(lot=other)))
    assert common % Fraction(one) == 0
    assert common % Fraction(other) == 0
    assert all(common / n % Fraction(one) or common / n % Fraction(other) for n in (2, 3, 5, 7, 10))


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [
        ("0.05", "100", True),  # exactly the minimum notional
        ("0.049", "100", False),
        ("0.001", "5000", True),  # exactly the minimum quantity
        ("0.0009", "1000000", False),
        ("0", "100", False),
    ],
)
def test_minimums_hold_after_rounding(quantity: str, price: str, expected: bool) -> None:
    assert instrument().tradable(D(quantity), D(price)) is expected


def test_prices_round_to_the_passive_side() -> None:
    where = instrument(tick=D("0.5"))
    assert where.price_down(D("100.4")) == D("100.0")
    assert where.price_up(D("100.1")) == D("100.5")
    assert where.price_down(D("100.5")) == where.price_up(D("100.5")) == D("100.5")


def test_sides() -> None:
    assert (Side.LONG.sign, Side.SHORT.sign) == (1, -1)
    assert Side.LONG.opposite is Side.SHORT
    assert Side.SHORT.opposite is Side.LONG


@pytest.mark.parametrize(
    "wrong", [{"tick": D(0)}, {"lot": D("-1")}, {"funding_interval": timedelta(0)}, {"multiplier": D(0)}]
)
def test_an_instrument_that_cannot_be_right_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="alpha BTC-USDT"):
        instrument("alpha", **wrong)
