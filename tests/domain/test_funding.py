"""Rates, the settlement calendar, and the sign of a payment."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from tests.domain.make import D, T, instrument, rate

from fundingarb.domain.funding import FundingRate, expected_payment, settlements, snap
from fundingarb.domain.instrument import Side


@pytest.mark.parametrize(
    ("value", "hours", "eight_hour"),
    [("0.0008", 8, "0.0008"), ("0.0001", 1, "0.0008"), ("0.0004", 4, "0.0008"), ("-0.0002", 2, "-0.0008")],
)
def test_rates_of_different_intervals_compare_per_hour(value: str, hours: int, eight_hour: str) -> None:
    made = rate(instrument(), value, hours)
    assert made.eight_hour == D(eight_hour)
    assert made.hourly == D(eight_hour) / 8
    assert made.annual == D(eight_hour) / 8 * 8760


def test_a_rate_without_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="interval"):
        FundingRate(instrument(), D(0), timedelta(0), T, T)


def test_settlements_are_discrete_and_include_the_end() -> None:
    eight = rate(instrument(), "0.0001", 8)
    assert list(settlements(eight, T + timedelta(hours=16))) == [
        T,
        T + timedelta(hours=8),
        T + timedelta(hours=16),
    ]
    assert list(settlements(eight, T + timedelta(hours=15, minutes=59))) == [T, T + timedelta(hours=8)]
    assert list(settlements(eight, T - timedelta(seconds=1))) == []
    assert len(list(settlements(rate(instrument(), "0.0001", 1), T + timedelta(hours=16)))) == 17


@pytest.mark.parametrize(
    ("side", "value", "amount"),
    [
        (Side.LONG, "0.0001", "-0.1"),  # longs pay a positive rate
        (Side.SHORT, "0.0001", "0.1"),
        (Side.LONG, "-0.0001", "0.1"),
        (Side.SHORT, "-0.0001", "-0.1"),
    ],
)
def test_a_long_pays_a_positive_rate(side: Side, value: str, amount: str) -> None:
    assert expected_payment(side, D(10), D(100), D(value)) == D(amount)


@pytest.mark.parametrize(
    "late", [timedelta(0), timedelta(milliseconds=7), timedelta(seconds=-3), timedelta(minutes=2)]
)
def test_ledger_rows_snap_to_the_settlement(late: timedelta) -> None:
    assert snap(T + late) == T
    assert snap(T + late).tzinfo is timezone.utc


def test_rows_far_from_any_settlement_stay_where_they_are() -> None:
    odd = T + timedelta(minutes=2, seconds=1)
    assert snap(odd) == odd
    assert snap(T + timedelta(minutes=30)) == T + timedelta(minutes=30)


def test_snapping_keeps_the_time_zone_given() -> None:
    at = datetime(2026, 1, 5, 9, 0, 1, tzinfo=timezone(timedelta(hours=1)))
    assert snap(at) == T
    assert snap(at).tzinfo is at.tzinfo


def test_payment_scales_with_quantity_and_price() -> None:
    assert expected_payment(Side.SHORT, D("0.5"), D(60_000), D("0.0003")) == Decimal("9.0000")
