"""A ledger's row that belongs to several: parts by quantity, which add up to it to the last digit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.domain.make import NOW, D, fill

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.order import ZERO, FillKind, OrderSide
from fundingarb.domain.shares import divide_fill, divide_payment, row_of, whole

TAKEN = replace(
    fill("alpha", OrderSide.SELL, "15", "90", trade_id="t7", fee="0.67500001", kind=FillKind.LIQUIDATION),
    realized_pnl=D("-150.123456789012345678"),
)
PAID = FundingPayment("alpha", "alpha", "BTC-USDT", NOW, D("-1.00000001"), "USDT", NOW, ledger_id="f7")


@pytest.mark.parametrize("quantities", [("10", "5"), ("7", "3", "5"), ("15",), ("0.001", "14.999")])
def test_the_parts_of_a_fill_add_up_to_it_and_follow_their_quantities(quantities: tuple[str, ...]) -> None:
    parts = divide_fill(TAKEN, [D(quantity) for quantity in quantities])
    assert [part.quantity for part in parts] == [D(quantity) for quantity in quantities]
    assert sum((part.fee for part in parts), ZERO) == TAKEN.fee
    assert sum((part.realized_pnl for part in parts), ZERO) == TAKEN.realized_pnl
    for part in parts:
        assert abs(part.realized_pnl - TAKEN.realized_pnl * part.quantity / 15) < D("1e-11")
    assert len({part.trade_id for part in parts}) == len(parts)
    assert parts[0].trade_id == "t7"
    assert {row_of(part.trade_id) for part in parts} == {"t7"}


@pytest.mark.parametrize(("ours", "foreign"), [("10", "5"), ("-10", "-5"), ("10", "-4"), ("3", "7.001")])
def test_the_parts_of_a_payment_add_up_to_it(ours: str, foreign: str) -> None:
    parts = divide_payment(PAID, D(ours), D(foreign))
    assert len(parts) == 2
    assert sum((part.amount for part in parts), ZERO) == PAID.amount
    assert abs(parts[0].amount - PAID.amount * D(ours) / (D(ours) + D(foreign))) < D("1e-11")
    assert whole(parts) == [PAID]


@pytest.mark.parametrize(("ours", "foreign"), [("10", "0"), ("0", "5"), ("5", "-5")])
def test_a_payment_that_says_nothing_of_two_is_left_whole(ours: str, foreign: str) -> None:
    assert divide_payment(PAID, D(ours), D(foreign)) == [PAID]


def test_rows_of_different_settlements_or_names_stay_apart() -> None:
    correction = replace(PAID, ledger_id="f8", amount=D("0.5"))
    assert whole([*divide_payment(PAID, D(2), D(1)), correction]) == [PAID, correction]
