"""Books beside the exchange, line for line: funding payments, of which a settlement may have several."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from itertools import permutations

from fundingarb.domain.funding import FundingPayment
from fundingarb.panel.compare import _funding

AT = datetime(2026, 1, 5, 8, tzinfo=timezone.utc)


def payment(ledger_id: str, amount: str) -> FundingPayment:
    return FundingPayment("bybit", "bybit", "BTC-USDT", AT, Decimal(amount), "USDT", AT, ledger_id=ledger_id)


CHARGED, CORRECTED = payment("1", "-5"), payment("2", "5.5")


def test_a_ledger_row_that_is_not_booked_is_a_difference() -> None:
    for booked in ([CHARGED], [CORRECTED]):
        for paid in permutations([CHARGED, CORRECTED]):
            (row,) = _funding("bybit", booked, paid, AT)
            assert not row.agrees
            assert row.exchange == "2 payments, 0.5"
            assert row.local.startswith("1 payments, ")


def test_a_settlement_with_a_correction_agrees_in_any_order() -> None:
    for booked in permutations([CHARGED, CORRECTED]):
        for paid in permutations([CHARGED, CORRECTED]):
            (row,) = _funding("bybit", booked, paid, AT)
            assert row.agrees
            assert row.local == row.exchange == "2 payments, 0.5"


def test_rows_that_cancel_out_are_not_the_same_as_none() -> None:
    (row,) = _funding("bybit", [], [CHARGED, payment("2", "5")], AT)
    assert not row.agrees
    assert (row.local, row.exchange) == ("0 payments, 0", "2 payments, 0")


def test_a_row_that_was_read_twice_is_one() -> None:
    (row,) = _funding("bybit", [CHARGED], [CHARGED, payment("another name", "-5")], AT)
    assert row.agrees
