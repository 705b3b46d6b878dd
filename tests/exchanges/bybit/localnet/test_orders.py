"""What becomes of orders, as Bybit tells it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio

BIDS = [("999.0", "2"), ("998.0", "5")]
ASKS = [("1001.0", "2"), ("1002.0", "5")]


@pytest.fixture(autouse=True)
def _book(bybit: Bybit) -> None:
    bybit.book(BIDS, ASKS)


async def named(bybit: Bybit, order_id: str) -> dict[str, object]:
    rows = await bybit.orders(orderId=order_id)
    assert len(rows) == 1
    return rows[0]


async def test_a_resting_limit_order(bybit: Bybit) -> None:
    order_id = (await bybit.order("Buy", "1.5", "990", orderLinkId="a-1")).result["orderId"]
    row = await named(bybit, order_id)
    assert (
        row
        | {
            "orderStatus": "New",
            "orderLinkId": "a-1",
            "price": "990.00",
            "qty": "1.500",
            "leavesQty": "1.500",
            "leavesValue": "1485",
            "cumExecQty": "0.000",
            "cumExecValue": "0",
            "cumExecFee": "0",
            "avgPrice": "",
            "timeInForce": "GTC",
            "orderType": "Limit",
            "side": "Buy",
            "positionIdx": 0,
            "reduceOnly": False,
            "rejectReason": "EC_NoError",
            "cancelType": "UNKNOWN",
            "createdTime": str(bybit.now_ms),
        }
        == row
    )
    assert await bybit.orders() == [row]
    assert await bybit.orders(orderLinkId="a-1") == [row]
    assert await bybit.orders("/v5/order/history") == []


async def test_a_cancelled_order(bybit: Bybit) -> None:
    order_id = (await bybit.order("Buy", "1", "990")).result["orderId"]
    bybit.wait(1)
    await bybit.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    row = await named(bybit, order_id)
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"], row["leavesQty"]) == (
        "Cancelled",
        "CancelByUser",
        "EC_PerCancelRequest",
        "0.000",
    )
    assert int(str(row["updatedTime"])) - int(str(row["createdTime"])) == 1000
    assert await bybit.orders() == []
    assert await bybit.orders(openOnly=1) == [row]
    assert await bybit.orders("/v5/order/history") == [row]
    assert await bybit.orders("/v5/order/history", orderStatus="Filled") == []


async def test_a_market_order_takes_the_book_up_to_its_worst_price(bybit: Bybit) -> None:
    order_id = (await bybit.order("Buy", "3")).result["orderId"]
    row = await named(bybit, order_id)
    assert (
        row
        | {
            "orderStatus": "Filled",
            "orderType": "Market",
            "timeInForce": "IOC",
            "price": "1020.00",
            "cumExecQty": "3.000",
            "cumExecValue": "3004",
            "avgPrice": "1001.33333333",
            "cumExecFee": "1.6522",
            "cumFeeDetail": {"USDT": "1.6522"},
            "leavesValue": "0",
        }
        == row
    )


async def test_ioc_cancels_what_does_not_fill(bybit: Bybit) -> None:
    partly = (await bybit.order("Buy", "3", "1001", timeInForce="IOC")).result["orderId"]
    row = await named(bybit, partly)
    # "In derivatives, orders with this status may have an executed qty"
    assert (row["orderStatus"], row["cumExecQty"], row["rejectReason"]) == (
        "Cancelled",
        "2.000",
        "EC_NoImmediateQtyToFill",
    )
    none = await named(bybit, (await bybit.order("Buy", "1", "1000", timeInForce="IOC")).result["orderId"])
    assert (none["orderStatus"], none["cumExecQty"]) == ("Cancelled", "0.000")


async def test_fok_is_all_or_nothing(bybit: Bybit) -> None:
    nothing = await named(bybit, (await bybit.order("Buy", "3", "1001", timeInForce="FOK")).result["orderId"])
    assert (nothing["orderStatus"], nothing["cumExecQty"], nothing["rejectReason"]) == (
        "Cancelled",
        "0.000",
        "EC_CancelForNoFullFill",
    )
    all_ = await named(bybit, (await bybit.order("Buy", "3", "1002", timeInForce="FOK")).result["orderId"])
    assert all_["orderStatus"] == "Filled"


async def test_a_post_only_order_that_would_take_is_taken_and_cancelled(bybit: Bybit) -> None:
    taken = await bybit.order("Buy", "1", "1001", timeInForce="PostOnly")
    assert taken.code == 0
    row = await named(bybit, taken.result["orderId"])
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"], row["cumExecQty"]) == (
        "Cancelled",
        "UNKNOWN",
        "EC_PostOnlyWillTakeLiquidity",
        "0.000",
    )
    rests = await named(
        bybit, (await bybit.order("Buy", "1", "1000.9", timeInForce="PostOnly")).result["orderId"]
    )
    assert (rests["orderStatus"], rests["timeInForce"]) == ("New", "PostOnly")


async def test_reduce_only_is_cut_to_the_position(bybit: Bybit) -> None:
    await bybit.order("Buy", "1")
    close = await bybit.order("Sell", "5", reduceOnly=True)
    row = await named(bybit, close.result["orderId"])
    assert (row["orderStatus"], row["qty"], row["reduceOnly"]) == ("Filled", "1.000", True)
    assert bybit.truth.positions("main") == []


async def test_quantity_zero_with_reduce_only_and_close_on_trigger_closes_the_position(bybit: Bybit) -> None:
    await bybit.order("Buy", "1.234")
    close = await bybit.order("Sell", "0", reduceOnly=True, closeOnTrigger=True)
    row = await named(bybit, close.result["orderId"])
    assert (row["qty"], row["orderStatus"], row["closeOnTrigger"]) == ("1.234", "Filled", True)
    assert bybit.truth.positions("main") == []


async def test_hedge_mode_keeps_both_sides(bybit: Bybit) -> None:
    await bybit.post("/v5/position/switch-mode", category="linear", symbol="BTCUSDT", mode=3)
    await bybit.order("Buy", "1", positionIdx=1)
    await bybit.order("Sell", "0.5", positionIdx=2)
    rows = (await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")).result["list"]
    assert [(row["positionIdx"], row["side"], row["size"]) for row in rows] == [
        (1, "Buy", "1"),
        (2, "Sell", "0.5"),
    ]
    await bybit.order("Sell", "1", positionIdx=1, reduceOnly=True)
    held = (await bybit.get("/v5/position/list", category="linear", settleCoin="USDT")).result["list"]
    assert [(row["positionIdx"], row["side"], row["size"]) for row in held] == [(2, "Sell", "0.5")]


async def test_a_flat_position_of_a_symbol_is_listed_a_flat_one_of_a_coin_is_not(bybit: Bybit) -> None:
    rows = (await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")).result["list"]
    assert [
        (r["size"], r["side"], r["avgPrice"], r["positionValue"], r["liqPrice"], r["seq"]) for r in rows
    ] == [("0", "", "0", "", "", -1)]
    assert (await bybit.get("/v5/position/list", category="linear", settleCoin="USDT")).result["list"] == []
    assert (await bybit.get("/v5/position/list", category="inverse", symbol="BTCUSD")).result["list"] == []


async def test_an_open_position(bybit: Bybit) -> None:
    await bybit.order("Sell", "2")
    bybit.truth.move_price("BTCUSDT", factor=0.99)
    row = (await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")).result["list"][0]
    assert (
        row
        | {
            "side": "Sell",
            "size": "2",
            "avgPrice": "999",
            "positionValue": "1998",
            "markPrice": "990.00",
            "unrealisedPnl": "18",
            "leverage": "10",
            "positionStatus": "Normal",
            "tradeMode": 0,
            "riskId": 4,
            "riskLimitValue": "60000000",
        }
        == row
    )
    assert float(row["liqPrice"]) > 1000


async def test_amending_price_and_quantity(bybit: Bybit) -> None:
    order_id = (await bybit.order("Buy", "1", "990")).result["orderId"]
    amended = await bybit.post(
        "/v5/order/amend", category="linear", symbol="BTCUSDT", orderId=order_id, price="991", qty="2"
    )
    assert amended.result == {"orderId": order_id, "orderLinkId": ""}
    row = await named(bybit, order_id)
    assert (row["orderStatus"], row["price"], row["qty"], row["leavesQty"]) == (
        "New",
        "991.00",
        "2.000",
        "2.000",
    )
    await bybit.post("/v5/order/amend", category="linear", symbol="BTCUSDT", orderId=order_id, price="1001")
    row = await named(bybit, order_id)
    assert (row["orderStatus"], row["avgPrice"]) == ("Filled", "1001")


async def test_a_batch_does_each_order_on_its_own(bybit: Bybit) -> None:
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "990"}
    answer = await bybit.post(
        "/v5/order/create-batch",
        category="linear",
        request=[good | {"orderLinkId": "b-1"}, good | {"qty": "x"}, good | {"reduceOnly": True}],
    )
    rows, outcomes = answer.result["list"], answer.body["retExtInfo"]["list"]
    assert [(o["code"]) for o in outcomes] == [0, 10001, 110017]
    assert outcomes[0]["msg"] == "OK"
    assert [bool(row["orderId"]) for row in rows] == [True, False, False]
    assert [bool(row["createAt"]) for row in rows] == [True, False, False]
    amended = await bybit.post(
        "/v5/order/amend-batch",
        category="linear",
        request=[{"symbol": "BTCUSDT", "orderLinkId": "b-1", "price": "991"}],
    )
    assert amended.body["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    cancelled = await bybit.post(
        "/v5/order/cancel-batch",
        category="linear",
        request=[{"symbol": "BTCUSDT", "orderLinkId": "b-1"}, {"symbol": "BTCUSDT", "orderId": "nope"}],
    )
    assert [o["code"] for o in cancelled.body["retExtInfo"]["list"]] == [0, 110001]
    assert (await bybit.post("/v5/order/create-batch", category="linear", request=[])).code == 10001
    assert (await bybit.post("/v5/order/create-batch", category="linear", request=[good] * 21)).code == 10001


async def test_cancel_all_by_symbol_and_by_coin(bybit: Bybit) -> None:
    ids = {(await bybit.order("Buy", "1", price)).result["orderId"] for price in ("990", "991")}
    assert (await bybit.post("/v5/order/cancel-all", category="linear")).code == 10001
    by_symbol = await bybit.post("/v5/order/cancel-all", category="linear", symbol="BTCUSDT")
    assert {row["orderId"] for row in by_symbol.result["list"]} == ids
    assert by_symbol.result["success"] == "1"
    again = await bybit.post("/v5/order/cancel-all", category="linear", settleCoin="USDT")
    assert again.result["list"] == []


async def test_orders_come_newest_first_in_pages_that_new_orders_do_not_shift(bybit: Bybit) -> None:
    ids = []
    for number in range(5):
        ids.append((await bybit.order("Buy", "1", str(980 + number))).result["orderId"])
        bybit.wait(0.001)
    first = (await bybit.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", limit=2)).result
    assert [row["orderId"] for row in first["list"]] == [ids[4], ids[3]]
    assert "%" in first["nextPageCursor"]
    await bybit.order("Buy", "1", "970")
    second = (
        await bybit.get(
            "/v5/order/realtime", category="linear", symbol="BTCUSDT", limit=2, cursor=first["nextPageCursor"]
        )
    ).result
    assert [row["orderId"] for row in second["list"]] == [ids[2], ids[1]]
    query = f"category=linear&symbol=BTCUSDT&limit=2&cursor={second['nextPageCursor']}"
    third = await bybit.send("GET", f"/v5/order/realtime?{query}", headers=bybit.headers(query))
    assert [row["orderId"] for row in third.result["list"]] == [ids[0]]
    assert third.result["nextPageCursor"] == ""


async def test_a_partial_fill_by_injection_shows_as_one(bybit: Bybit) -> None:
    bybit.venue.faults.install(Fault(FaultKind.PARTIAL_FILL, fraction=0.5, count=1, operation="order.place"))
    row = await named(bybit, (await bybit.order("Buy", "1", "1001")).result["orderId"])
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("PartiallyFilled", "0.500", "0.500")
    cancelled = await bybit.post(
        "/v5/order/cancel", category="linear", symbol="BTCUSDT", orderId=row["orderId"]
    )
    assert cancelled.code == 0
    row = await named(bybit, str(row["orderId"]))
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "0.500", "0.000")


async def test_take_profit_and_stop_loss_are_kept_and_shown(bybit: Bybit) -> None:
    answer = await bybit.order("Buy", "1", "990", takeProfit="1100", stopLoss="900", tpslMode="Full")
    row = await named(bybit, answer.result["orderId"])
    assert (row["takeProfit"], row["stopLoss"], row["tpslMode"]) == ("1100", "900", "Full")
    refused = await bybit.order("Buy", "1", "990", reduceOnly=True, takeProfit="1100")
    assert refused.code == 110057
    stop: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT", "stopLoss": "900", "positionIdx": 0}
    assert (await bybit.post("/v5/position/trading-stop", **stop)).code == 10001
    await bybit.order("Buy", "1")
    assert (await bybit.post("/v5/position/trading-stop", **stop)).result == {}
