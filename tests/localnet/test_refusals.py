"""What the truth refuses, and that refusing changes nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.localnet.still import START, Desk
from tests.localnet.toy import RULES

from fundingarb.localnet.truth.types import OrderStatus, PositionSide, Reason, Refused

CASES: list[tuple[Reason, tuple[str, str, str | None], dict[str, Any]]] = [
    (Reason.BAD_QUANTITY, ("BUY", "0", "1000"), {}),
    (Reason.BAD_QUANTITY, ("BUY", "-1", "1000"), {}),
    (Reason.BAD_QUANTITY, ("BUY", "NaN", "1000"), {}),
    (Reason.BAD_LOT, ("BUY", "0.0015", "1000"), {}),
    (Reason.MAX_QUANTITY, ("BUY", "1001", "1000"), {}),
    (Reason.MAX_QUANTITY, ("BUY", "501", None), {}),
    (Reason.MIN_NOTIONAL, ("BUY", "0.004", "1000"), {}),
    (Reason.BAD_PRICE, ("BUY", "1", "0"), {}),
    (Reason.BAD_PRICE, ("BUY", "1", "1060"), {}),
    (Reason.BAD_PRICE, ("SELL", "1", "940"), {}),
    (Reason.BAD_TICK, ("BUY", "1", "1000.05"), {}),
    (Reason.REDUCE_ONLY, ("SELL", "1", "1000"), {"reduce_only": True}),
    (Reason.POSITION_SIDE, ("BUY", "1", "1000"), {"position_side": PositionSide.LONG}),
    (Reason.INSUFFICIENT_MARGIN, ("BUY", "500", "990"), {"account": "poor"}),
]


@pytest.mark.parametrize(("reason", "order", "fields"), CASES, ids=lambda value: getattr(value, "name", None))
def test_refused_with_its_reason_and_nothing_changed(
    reason: Reason, order: tuple[str, str, str | None], fields: dict[str, Any]
) -> None:
    desk = Desk()
    desk.exchange.add_account("poor", replace(desk.exchange.credentials("a"), api_key="p"), Decimal(10))
    before = desk.exchange.report()
    with pytest.raises(Refused) as caught:
        desk.order(*order, **fields)
    assert caught.value.reason is reason
    assert desk.exchange.report() == before
    assert desk.events == []


def test_minimum_quantity() -> None:
    desk = Desk(min_quantity=Decimal("0.01"))
    with pytest.raises(Refused) as caught:
        desk.order("BUY", "0.009", "1000")
    assert caught.value.reason is Reason.MIN_QUANTITY


def test_unknown_and_halted_instruments() -> None:
    desk = Desk()
    desk.id = "DOGEUSDT"
    with pytest.raises(Refused) as caught:
        desk.order("BUY", "1", "1000")
    assert caught.value.reason is Reason.UNKNOWN_INSTRUMENT
    with pytest.raises(Refused) as caught:
        Desk(trading=False).order("BUY", "1", "1000")
    assert caught.value.reason is Reason.NOT_TRADING


def test_too_many_open_orders() -> None:
    desk = Desk(max_open_orders=2)
    desk.order("BUY", "0.1", "990")
    desk.order("BUY", "0.1", "990")
    with pytest.raises(Refused) as caught:
        desk.order("BUY", "0.1", "990")
    assert caught.value.reason is Reason.TOO_MANY_ORDERS


def test_reduce_only_ignores_the_minimum_notional() -> None:
    desk = Desk()
    desk.order("BUY", "0.01")
    desk.order("SELL", "0.002", reduce_only=True)
    assert desk.quantity() == Decimal("0.008")


def test_reduce_only_never_opens() -> None:
    desk = Desk()
    desk.order("BUY", "0.5")
    order = desk.order("SELL", "2", reduce_only=True)
    assert (order.quantity, order.filled) == (Decimal("0.5"), Decimal("0.5"))
    assert desk.quantity() == 0
    with pytest.raises(Refused):
        desk.order("SELL", "0.5", reduce_only=True)
    with pytest.raises(Refused):
        desk.order("BUY", "0.5", reduce_only=True)


def test_reduce_only_too_large_is_refused_where_the_venue_does_not_trim() -> None:
    desk = Desk(rules=replace(RULES, reduce_only_excess="refuse"))
    desk.order("BUY", "0.5")
    with pytest.raises(Refused) as caught:
        desk.order("SELL", "0.6", reduce_only=True)
    assert caught.value.reason is Reason.REDUCE_ONLY_TOO_LARGE


def test_a_resting_reduce_only_order_ends_with_its_position() -> None:
    desk = Desk()
    desk.order("BUY", "0.5")
    resting = desk.order("SELL", "0.5", "1010", reduce_only=True)
    desk.order("SELL", "0.5")
    found = desk.exchange.order("a", order_id=resting.id)
    assert found is not None
    assert (found.status, found.reason) == (OrderStatus.EXPIRED, Reason.REDUCE_ONLY)


def test_a_resting_reduce_only_order_fills_no_more_than_is_left() -> None:
    desk = Desk()
    desk.book([("999.9", "9")], [("1000.1", "9")])
    desk.order("BUY", "0.5")
    resting = desk.order("SELL", "0.5", "1000", reduce_only=True)
    desk.exchange.set_book(desk.id, [(Decimal("999"), Decimal(9))], None)
    desk.order("SELL", "0.3", "999", tif="IOC")
    desk.order("BUY", "0.5", "1000", account="b")
    assert desk.quantity() == 0
    found = desk.exchange.order("a", order_id=resting.id)
    assert found is not None
    assert (found.filled, found.status) == (Decimal("0.2"), OrderStatus.EXPIRED)


def test_close_position_takes_whatever_is_held() -> None:
    desk = Desk()
    desk.order("SELL", "0.7")
    order = desk.order("BUY", "0", close_position=True)
    assert (order.filled, desk.quantity()) == (Decimal("0.7"), Decimal(0))


def test_check_refuses_like_place_and_places_nothing() -> None:
    desk = Desk()
    from fundingarb.localnet.truth.types import OrderRequest, Side

    request = OrderRequest(desk.id, Side.BUY, Decimal("0.1"), price=Decimal("999"))
    desk.exchange.check("a", request)
    with pytest.raises(Refused):
        desk.exchange.check("a", replace(request, quantity=Decimal(0)))
    assert desk.exchange.orders("a") == []
    assert desk.exchange.now == START
