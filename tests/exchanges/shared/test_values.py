"""Values from fields in the exchange's own units: contracts whose prices are per coin, multiples of the base asset."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.domain.make import instrument

from fundingarb.domain.order import FillKind, OrderSide, OrderState
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.values import Units

AT = datetime(2026, 1, 5, tzinfo=timezone.utc)
MS = 1_700_000_000_000
THOUSANDS = replace(instrument("alpha"), symbol="PEPE-USDT", exchange_id="1000PEPE", multiplier=Decimal(1000))
#: A contract of a hundredth of a coin whose price is per coin.
CONTRACTS = Units(quantity=Decimal("0.01"))

ORDER: dict[str, Any] = {
    "client_id": "faours", "exchange_order_id": "7", "state": OrderState.OPEN, "side": OrderSide.BUY,
    "quantity": "30", "filled": "20", "price": "50000", "average": "49999.5", "reduce_only": False, "at": MS,
}  # fmt: skip
FILL: dict[str, Any] = {
    "trade_id": "1", "exchange_order_id": "7", "client_id": "", "side": OrderSide.SELL, "quantity": "20",
    "price": "50000", "fee": "-0.5", "realized_pnl": "3", "at": str(MS), "kind": FillKind.TRADE,
}  # fmt: skip
POSITION: dict[str, Any] = {
    "quantity": "-20", "entry_price": "50000", "mark": "50100", "liquidation_price": "", "unrealized_pnl": "",
    "leverage": "0", "maintenance_margin": "", "adl_rank": None,
}  # fmt: skip


def test_contracts_are_counted_in_coins_and_priced_per_coin() -> None:
    coin = instrument("alpha")
    report = values.order_report("a", "X", coin, units=CONTRACTS, **ORDER)
    assert (report.quantity, report.filled) == (Decimal("0.3"), Decimal("0.2"))
    assert (report.price, report.average_price) == (Decimal(50000), Decimal("49999.5"))
    fill = values.fill("a", coin, units=CONTRACTS, **FILL)
    assert (fill.quantity, fill.price, fill.fee, fill.client_id) == (
        Decimal("0.2"),
        Decimal(50000),
        Decimal("-0.5"),
        None,
    )
    held = values.position("alpha", "a", "X", coin, units=CONTRACTS, **POSITION)
    assert (held.quantity, held.entry_price, held.mark) == (Decimal("-0.2"), Decimal(50000), Decimal(50100))
    book = values.order_book(coin, [("49999", "100")], [("50001", "200")], AT, units=CONTRACTS)
    assert book.bids + book.asks == ((Decimal(49999), Decimal(1)), (Decimal(50001), Decimal(2)))


def test_multiples_of_the_base_asset_are_taken_apart() -> None:
    report = values.order_report("a", "1000PEPE", THOUSANDS, **{**ORDER, "price": "0.01"})
    assert (report.symbol, report.quantity, report.price) == ("PEPE-USDT", Decimal(30000), Decimal("0.00001"))
    rate = values.funding_rate(THOUSANDS, rate="0.0001", next_settlement=MS, at=AT, mark="0.01", index="")
    assert (rate.mark, rate.index) == (Decimal("0.00001"), None)


def test_what_is_not_listed_keeps_the_exchanges_name_and_units() -> None:
    report = values.order_report("a", "BTC-29MAR24", None, **ORDER)
    assert (report.symbol, report.quantity) == ("BTC-29MAR24", Decimal(30))
    held = values.position("alpha", "a", "BTC-29MAR24", None, **POSITION)
    assert (held.symbol, held.quantity) == ("BTC-29MAR24", Decimal(-20))


def test_what_an_exchange_leaves_out_is_none() -> None:
    held = values.position("alpha", "a", "X", None, **POSITION)
    assert (held.liquidation_price, held.maintenance_margin, held.leverage) == (None, None, None)
    report = values.order_report("a", "X", None, **{**ORDER, "price": "0", "average": "0.000", "at": 0})
    assert (report.price, report.average_price, report.at) == (None, None, None)


def test_books_are_sorted_and_cut() -> None:
    bids = [("99", "1"), ("101", "0"), ("100", "1"), ("98", "1")]
    book = values.order_book(instrument("alpha"), bids, [], AT, depth=2)
    assert [price for price, _ in book.bids] == [100, 99]


def test_a_charge_is_a_fill_of_nothing() -> None:
    charge = values.charge(
        "a", THOUSANDS, ledger_id="9", order_id="", amount="-1.5", at=MS, kind=FillKind.LIQUIDATION
    )
    assert (charge.fee, charge.quantity, charge.realized_pnl) == (Decimal("1.5"), Decimal(0), Decimal(0))


@pytest.mark.parametrize(
    ("field", "text"), [("quantity", "NaN"), ("price", "1e400"), ("filled", "x"), ("at", "soon")]
)
def test_nonsense_is_refused(field: str, text: str) -> None:
    with pytest.raises(BadMessage):
        values.order_report("a", "X", None, **{**ORDER, field: text})
