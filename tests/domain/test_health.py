"""Distances to liquidation."""

from __future__ import annotations

from typing import Any

import pytest
from tests.domain.make import D

from fundingarb.domain.health import account_distance, entry_distance, position_distance
from fundingarb.domain.order import Balance, ExchangePosition


def position(quantity: str, symbol: str = "BTC-USDT", **changes: Any) -> ExchangePosition:
    values: dict[str, Any] = {"mark": D(100), **changes}
    return ExchangePosition("alpha", "alpha", symbol, D(quantity), D(100), **values)


def balance(equity: str, maintenance: str | None = "0") -> Balance:
    margin = None if maintenance is None else D(maintenance)
    return Balance("alpha", "USDT", D(equity), D(equity), D(equity), margin)


@pytest.mark.parametrize(
    ("quantity", "mark", "price", "distance"),
    [
        ("1", "100", "90", "0.1"),
        ("-1", "100", "110", "0.1"),
        ("1", "80", "90", "0"),
        ("-1", "120", "110", "0"),
        ("1", None, "95", "0.05"),  # at the exchange's own mark
        ("1", "100", "0", None),  # none: it cannot be liquidated
        ("1", "100", None, None),
    ],
)
def test_a_position(quantity: str, mark: str | None, price: str | None, distance: str | None) -> None:
    found = position_distance(
        position(quantity, liquidation_price=None if price is None else D(price)),
        None if mark is None else D(mark),
    )
    assert found == (None if distance is None else D(distance))


def test_an_account_is_as_far_as_its_heavier_side_may_move() -> None:
    both = [position("10"), position("4", "ETH-USDT"), position("-3", "SOL-USDT")]
    assert account_distance(balance("140"), both, {}) == D("0.1")
    assert account_distance(balance("140", "70"), both, {}) == D("0.05")
    assert account_distance(balance("60", "70"), both, {}) == 0
    assert account_distance(balance("150"), both, {"BTC-USDT": D(110)}) == D("0.1")


def test_where_the_account_does_not_tell_its_maintenance_margin_the_positions_do() -> None:
    both = [position("10", maintenance_margin=D(40)), position("10", "ETH-USDT")]  # 1 % of 1,000 is assumed
    assert account_distance(balance("250", None), both, {}) == D("0.1")


def test_nothing_open_and_an_unknown_price_have_no_distance() -> None:
    assert account_distance(balance("100"), [], {}) is None
    assert account_distance(balance("100"), [position("1", mark=None)], {}) is None


def test_an_entry_counts_with_its_own_maintenance_margin_and_that_of_entries_under_way() -> None:
    assert entry_distance(balance("110", "0"), D(1000), D(0), D(0)) == D("0.1")
    assert entry_distance(balance("110", "0"), D(500), D(500), D(500)) == D("0.1")
    assert entry_distance(balance("110", "50"), D(1000), D(0), D(0)) == D("0.05")
    assert entry_distance(balance("5"), D(1000), D(0), D(0)) < 0
