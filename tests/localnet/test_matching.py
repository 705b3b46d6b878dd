"""Orders against the book, against each other and against the market's flow."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.localnet.still import START, Desk, StillModel
from tests.localnet.toy import RULES

from fundingarb.localnet.truth.events import OrderChanged, PublicTrade
from fundingarb.localnet.truth.types import OrderStatus, Reason, Refused

BIDS = [("999.9", "1"), ("999.8", "2"), ("999", "3")]
ASKS = [("1000.1", "1"), ("1000.2", "2"), ("1001", "3")]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.book(BIDS, ASKS)
    return desk


def test_market_order_sweeps_levels_best_first(desk: Desk) -> None:
    order = desk.order("BUY", "2.5")
    fills = desk.exchange.fills("a")
    assert [(str(f.price), str(f.quantity), f.maker) for f in fills] == [
        ("1000.1", "1.000", False),
        ("1000.2", "1.500", False),
    ]
    assert order.status is OrderStatus.FILLED
    assert order.average_price == (Decimal("1000.1") + Decimal("1.5") * Decimal("1000.2")) / Decimal("2.5")
    assert desk.quantity() == Decimal("2.5")
    # what was taken from a frozen side is gone
    assert desk.exchange.book(desk.id).asks[0] == (Decimal("1000.2"), Decimal("0.500"))


def test_market_order_beyond_the_book_expires_with_the_rest(desk: Desk) -> None:
    order = desk.order("SELL", "7")
    assert (order.status, order.reason, order.filled) == (
        OrderStatus.EXPIRED,
        Reason.NO_LIQUIDITY,
        Decimal(6),
    )


def test_limit_rests_inside_the_spread_and_shows_in_the_book(desk: Desk) -> None:
    order = desk.order("BUY", "0.4", "1000", client_id="mine")
    assert order.status is OrderStatus.NEW
    assert desk.exchange.book(desk.id).bids[0] == (Decimal(1000), Decimal("0.4"))
    desk.order("SELL", "0.1", account="b")
    found = desk.exchange.order("a", client_id="mine")
    assert found is not None
    assert (found.status, found.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.1"))
    (fill,) = desk.exchange.fills("a")
    assert (fill.maker, fill.price) == (True, Decimal(1000))
    assert fill.fee == Decimal("0.1") * 1000 * RULES.fees.maker
    assert desk.exchange.book(desk.id).bids[0] == (Decimal(1000), Decimal("0.3"))


def test_limit_never_trades_beyond_its_price(desk: Desk) -> None:
    order = desk.order("BUY", "3", "1000.1")
    assert (order.filled, order.status) == (Decimal(1), OrderStatus.PARTIALLY_FILLED)
    assert all(fill.price <= Decimal("1000.1") for fill in desk.exchange.fills("a"))
    assert desk.exchange.book(desk.id).bids[0] == (Decimal("1000.1"), Decimal(2))


def test_price_then_time_priority_between_accounts(desk: Desk) -> None:
    desk.order("BUY", "0.1", "999.9", account="a", client_id="cheap")
    desk.order("BUY", "0.1", "1000", account="b")
    desk.order("BUY", "0.1", "1000", account="a")
    desk.order("BUY", "0.1", "1000", account="b", client_id="late")
    desk.order("SELL", "0.25")
    assert [(f.account, str(f.quantity)) for f in desk.exchange.fills("b")] == [
        ("b", "0.100"),
        ("b", "0.050"),
    ]
    makers = [f for f in desk.exchange.fills("a") if f.maker]
    assert [str(f.quantity) for f in makers] == ["0.100"]


def test_ioc_takes_what_is_there(desk: Desk) -> None:
    order = desk.order("BUY", "3", "1000.1", tif="IOC")
    assert (order.status, order.filled, order.reason) == (
        OrderStatus.EXPIRED,
        Decimal(1),
        Reason.NO_LIQUIDITY,
    )
    assert desk.exchange.open_orders("a") == []


def test_fok_is_all_or_nothing(desk: Desk) -> None:
    refused = desk.order("BUY", "1.5", "1000.1", tif="FOK")
    assert (refused.status, refused.filled, refused.reason) == (
        OrderStatus.EXPIRED,
        Decimal(0),
        Reason.NOT_FILLABLE,
    )
    assert desk.order("BUY", "1.5", "1000.2", tif="FOK").status is OrderStatus.FILLED


def test_post_only_refuses_or_cancels_by_the_venues_habit(desk: Desk) -> None:
    with pytest.raises(Refused) as caught:
        desk.order("BUY", "1", "1000.1", tif="POST_ONLY")
    assert caught.value.reason is Reason.POST_ONLY_WOULD_TAKE
    assert desk.exchange.orders("a") == []
    assert desk.order("BUY", "1", "1000", tif="POST_ONLY").status is OrderStatus.NEW

    other = Desk(rules=replace(RULES, post_only_crossing="cancel"))
    other.book(BIDS, ASKS)
    order = other.order("BUY", "1", "1000.1", tif="POST_ONLY")
    assert (order.status, order.reason, order.filled) == (
        OrderStatus.CANCELED,
        Reason.POST_ONLY_WOULD_TAKE,
        Decimal(0),
    )


def test_events_come_in_order_and_end_with_the_state(desk: Desk) -> None:
    order = desk.order("BUY", "3", "1000.2", tif="IOC")
    changes = [e for e in desk.of(OrderChanged) if e.order.id == order.id]
    assert [e.execution for e in changes] == ["NEW", "TRADE", "TRADE"]
    assert [str(e.order.filled) for e in changes] == ["0", "1.000", "3.000"]
    sequences = [e.sequence for e in desk.events]
    assert sequences == sorted(set(sequences))
    assert [(t.price, t.quantity) for t in desk.of(PublicTrade)] == [
        (f.price, f.quantity) for f in desk.exchange.fills("a")
    ]


def test_a_snapshot_handed_out_does_not_change(desk: Desk) -> None:
    order = desk.order("BUY", "0.5", "1000")
    desk.order("SELL", "0.5", account="b")
    assert order.status is OrderStatus.NEW
    found = desk.exchange.order("a", order_id=order.id)
    assert found is not None
    assert found.status is OrderStatus.FILLED


def test_cancel(desk: Desk) -> None:
    order = desk.order("BUY", "0.5", "1000", client_id="x")
    assert desk.exchange.cancel("a", desk.id, client_id="x").status is OrderStatus.CANCELED
    assert desk.exchange.book(desk.id).bids[0][0] == Decimal("999.9")
    with pytest.raises(Refused) as caught:
        desk.exchange.cancel("a", desk.id, order_id=order.id)
    assert caught.value.reason is Reason.ORDER_NOT_OPEN
    with pytest.raises(Refused) as caught:
        desk.exchange.cancel("a", desk.id, order_id="999")
    assert caught.value.reason is Reason.UNKNOWN_ORDER
    with pytest.raises(Refused):
        desk.exchange.cancel("b", desk.id, order_id=order.id)


def test_amend_moves_price_and_quantity(desk: Desk) -> None:
    order = desk.order("BUY", "0.5", "999")
    changed = desk.exchange.amend("a", desk.id, order_id=order.id, price=Decimal("999.5"))
    assert (changed.price, changed.status) == (Decimal("999.5"), OrderStatus.NEW)
    crossed = desk.exchange.amend("a", desk.id, order_id=order.id, price=Decimal("1000.1"))
    assert crossed.status is OrderStatus.FILLED
    assert [e.execution for e in desk.of(OrderChanged)] == ["NEW", "AMENDED", "AMENDED", "TRADE"]


def test_an_amended_order_goes_to_the_back_of_the_queue(desk: Desk) -> None:
    first = desk.order("BUY", "0.1", "1000", account="a")
    desk.order("BUY", "0.1", "1000", account="b")
    desk.exchange.amend("a", desk.id, order_id=first.id, quantity=Decimal("0.2"))
    desk.order("SELL", "0.1", "1000", tif="IOC", account="b")
    assert desk.exchange.fills("a") == []
    assert len(desk.exchange.fills("b")) == 2


def test_client_ids_are_unique_among_open_orders_or_for_good(desk: Desk) -> None:
    desk.order("BUY", "0.1", "990", client_id="x")
    with pytest.raises(Refused) as caught:
        desk.order("BUY", "0.1", "990", client_id="x")
    assert caught.value.reason is Reason.DUPLICATE_CLIENT_ID
    desk.exchange.cancel("a", desk.id, client_id="x")
    second = desk.order("BUY", "0.1", "991", client_id="x")
    found = desk.exchange.order("a", client_id="x")
    assert found is not None
    assert found.id == second.id

    strict = Desk(rules=replace(RULES, client_ids="always"))
    strict.order("BUY", "0.1", client_id="x")
    with pytest.raises(Refused):
        strict.order("BUY", "0.1", client_id="x")


def test_orders_expire_at_their_time(desk: Desk) -> None:
    order = desk.order("BUY", "0.1", "999", expires_ms=round(START * 1000) + 3000)
    desk.wait(2.9)
    assert desk.exchange.open_orders("a")
    desk.wait(0.2)
    found = desk.exchange.order("a", order_id=order.id)
    assert found is not None
    assert (found.status, found.reason) == (OrderStatus.EXPIRED, Reason.EXPIRED)
    assert found.updated_ms == round(START * 1000) + 3000


def test_dead_man_cancels_unless_renewed(desk: Desk) -> None:
    desk.order("BUY", "0.1", "999")
    desk.exchange.cancel_after("a", None, 10)
    desk.wait(9)
    desk.exchange.cancel_after("a", None, 10)
    desk.wait(9)
    assert desk.exchange.open_orders("a")
    desk.wait(2)
    (order,) = desk.exchange.orders("a")
    assert (order.status, order.reason) == (OrderStatus.CANCELED, Reason.DEAD_MAN)
    desk.order("BUY", "0.1", "999")
    desk.exchange.cancel_after("a", None, 5)
    desk.exchange.cancel_after("a", None, None)
    desk.wait(20)
    assert desk.exchange.open_orders("a")


def test_a_limit_at_mid_fills_from_the_flow_after_a_while() -> None:
    desk = Desk(StillModel(flow=0.3, flow_value=2_000))
    order = desk.order("BUY", "10", "1000")
    assert order.status is OrderStatus.NEW
    seen = []
    for _ in range(120):
        desk.wait(1)
        found = desk.exchange.order("a", order_id=order.id)
        assert found is not None
        seen.append(found.filled)
        if not found.status.open:
            break
    assert seen[-1] == Decimal(10)
    assert len(set(seen)) > 2, "it should fill in several parts"
    assert all(fill.maker and fill.price == 1000 for fill in desk.exchange.fills("a"))


def test_flow_does_not_reach_orders_behind_the_touch() -> None:
    desk = Desk(StillModel(flow=1.0, flow_value=5_000))
    desk.order("BUY", "1", "998")
    desk.wait(120)
    assert desk.exchange.fills("a") == []


def test_flow_at_the_touch_serves_those_who_came_first() -> None:
    desk = Desk(StillModel(flow=1.0, flow_value=500, half_spread=0.0005))
    bid, size = desk.exchange.book(desk.id).bids[0]
    desk.order("BUY", "0.1", str(bid))
    desk.wait(1)
    assert desk.exchange.fills("a") == []
    assert size > 5, "the queue must be longer than one trade for this test"
    desk.wait(120)
    assert desk.quantity() == Decimal("0.1")


def test_a_market_that_moves_through_an_order_fills_it_at_its_own_price() -> None:
    model = StillModel()
    desk = Desk(model)
    order = desk.order("SELL", "0.5", "1010")
    model.price = 1030.0
    desk.wait(2)
    found = desk.exchange.order("a", order_id=order.id)
    assert found is not None
    assert found.status is OrderStatus.FILLED
    (fill,) = desk.exchange.fills("a")
    assert (fill.price, fill.maker) == (Decimal(1010), True)


def test_taken_liquidity_comes_back() -> None:
    desk = Desk()
    before = desk.exchange.book(desk.id).asks[0]
    desk.order("BUY", str(before[1]))
    assert desk.exchange.book(desk.id).asks[0][0] > before[0]
    desk.wait(6)
    assert desk.exchange.book(desk.id).asks[0][0] == before[0]


def test_book_versions_change_with_the_book_only() -> None:
    desk = Desk()
    first = desk.exchange.book(desk.id)
    assert desk.exchange.book(desk.id) == first
    desk.order("BUY", "0.1", "999.5")
    second = desk.exchange.book(desk.id)
    assert second.version > first.version
    assert second.bids != first.bids


def test_an_order_that_may_fill_only_in_part(desk: Desk) -> None:
    desk.exchange.limit_next_fill("a", Decimal("0.5"))
    order = desk.order("BUY", "0.5", "1000.1")
    assert (order.filled, order.status) == (Decimal("0.25"), OrderStatus.PARTIALLY_FILLED)
    desk.wait(30)
    found = desk.exchange.order("a", order_id=order.id)
    assert found is not None
    assert found.filled == Decimal("0.25")
    desk.exchange.limit_next_fill("a", Decimal("0.5"))
    market = desk.order("BUY", "0.2")
    assert (market.filled, market.status) == (Decimal("0.1"), OrderStatus.EXPIRED)
    assert desk.order("BUY", "0.2").status is OrderStatus.FILLED
