"""What counts as a difference between our books and an exchange's."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from tests.domain.make import D, filled, hedge, instrument

from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import ExchangePosition, OrderReport, OrderSide, OrderState, Purpose
from fundingarb.domain.reconcile import compare, expected_positions

LONG, SHORT = Side.LONG, Side.SHORT


def held(**changes: object) -> Hedge:
    return hedge(
        filled(LONG, Purpose.ENTRY, "10"), filled(SHORT, Purpose.HEDGE, "10"), mode=Mode.HOLDING, **changes
    )


def position(account: str, quantity: str, symbol: str = "BTC-USDT") -> ExchangePosition:
    return ExchangePosition(account, account, symbol, D(quantity), D(100))


def open_order(account: str, client_id: str | None, symbol: str = "BTC-USDT") -> OrderReport:
    return OrderReport(account, symbol, client_id, "x9", OrderState.OPEN, OrderSide.BUY, D(1), D(0))


def test_expected_positions_are_signed_and_add_up() -> None:
    one, other = held(), held()
    assert expected_positions("alpha", [one]) == {"BTC-USDT": D(10)}
    assert expected_positions("beta", [one, other]) == {"BTC-USDT": D(-20)}
    assert expected_positions("gamma", [one]) == {}
    assert expected_positions("alpha", [hedge()]) == {}


def test_a_match_is_empty() -> None:
    resting = hedge((LONG, Purpose.ENTRY, "10", {"state": OrderState.OPEN}))
    ours = open_order("alpha", resting.orders[0].client_id)
    assert compare("alpha", [held()], [position("alpha", "10")], []) == []
    assert compare("beta", [held()], [position("beta", "-10")], []) == []
    assert compare("alpha", [resting], [], [ours]) == []
    assert compare("gamma", [held()], [], []) == []


def test_a_missing_a_wrong_and_a_foreign_position() -> None:
    (missing,) = compare("alpha", [held()], [], [])
    assert str(missing) == "alpha BTC-USDT: position is 10 here, 0 on the exchange"
    (wrong,) = compare("alpha", [held()], [position("alpha", "-10")], [])
    assert (wrong.subject, wrong.local, wrong.exchange) == ("position", "10", "-10")
    (foreign,) = compare("alpha", [], [position("alpha", "0.001", "ETH-USDT")], [])
    assert (foreign.subject, foreign.symbol) == ("foreign position", "ETH-USDT")


def test_one_lot_is_a_difference_and_less_is_not() -> None:
    finer = held(
        long_instrument=instrument("alpha", lot=D("0.001")), short_instrument=instrument("beta", lot=D(1))
    )
    assert compare("alpha", [finer], [position("alpha", "10.0009")], []) == []
    assert len(compare("alpha", [finer], [position("alpha", "10.001")], [])) == 1
    assert compare("beta", [finer], [position("beta", "-10.9")], []) == []
    assert len(compare("beta", [finer], [position("beta", "-11")], [])) == 1


def test_a_hedge_on_other_accounts_does_not_set_the_lot() -> None:
    elsewhere = held(
        long_instrument=instrument("gamma", lot=D(5)), short_instrument=instrument("delta", lot=D(5))
    )
    elsewhere = elsewhere.with_intent(
        replace(
            elsewhere.intent,
            id=uuid4(),
            long=replace(elsewhere.intent.long, account="gamma"),
            short=replace(elsewhere.intent.short, account="delta"),
        )
    )
    assert len(compare("alpha", [held(), elsewhere], [position("alpha", "12")], [])) == 1


def test_open_orders_nobody_asked_for_and_those_that_should_be_over() -> None:
    over = held().orders[0]
    differences = compare(
        "alpha",
        [held()],
        [position("alpha", "10")],
        [open_order("alpha", "web_17"), open_order("alpha", None), open_order("alpha", over.client_id)],
    )
    assert [(d.subject, d.local, d.exchange) for d in differences] == [
        ("open order", "unknown", "web_17"),
        ("open order", "unknown", "x9"),
        ("open order", "FILLED", "open"),
    ]


def test_an_order_of_ours_on_another_account_is_unknown_here() -> None:
    resting = hedge((LONG, Purpose.ENTRY, "10", {"state": OrderState.OPEN}))
    assert len(compare("beta", [resting], [], [open_order("beta", resting.orders[0].client_id)])) == 1
