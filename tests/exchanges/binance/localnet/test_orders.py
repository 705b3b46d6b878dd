"""What becomes of orders, and how Binance tells it."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.binance.localnet.desk import Desk

pytestmark = pytest.mark.anyio


async def order(desk: Desk, order_id: int) -> Any:
    return await desk.good("GET", "order", symbol="BTCUSDT", orderId=order_id)


async def test_an_acknowledgement_tells_nothing_of_the_fill(desk: Desk) -> None:
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    taken = await desk.good("POST", "order", **params)
    assert (taken["status"], taken["executedQty"], taken["avgPrice"]) == ("NEW", "0.000", "0.00")
    found = await order(desk, taken["orderId"])
    assert (found["status"], found["executedQty"]) == ("FILLED", "0.010")
    result = await desk.good("POST", "order", newOrderRespType="RESULT", **params)
    assert (result["status"], result["executedQty"], result["cumQty"]) == ("FILLED", "0.010", "0.010")


async def test_numbers_have_binances_digits(desk: Desk) -> None:
    filled = await desk.market("BUY", "0.01")
    price = Decimal(filled["avgPrice"])
    assert filled["avgPrice"] == f"{price:.5f}"
    assert filled["cumQuote"] == f"{price * Decimal('0.01'):.5f}"
    assert filled["origQty"] == "0.010"
    assert filled["price"] == "0.00"
    bundle = await desk.market("SELL", "20000", symbol="1000PEPEUSDT")
    assert bundle["origQty"] == "20000"
    assert bundle["avgPrice"] == f"{Decimal(bundle['avgPrice']):.7f}"
    assert Decimal("0.0099") < Decimal(bundle["avgPrice"]) < Decimal("0.0101")


async def test_immediate_or_cancel_expires_what_it_cannot_fill(desk: Desk) -> None:
    nothing = (await desk.limit("49000.0", timeInForce="IOC", newOrderRespType="RESULT")).body
    assert (nothing["status"], nothing["executedQty"]) == ("EXPIRED", "0.000")
    assert (await order(desk, nothing["orderId"]))["status"] == "EXPIRED"
    ask = desk.truth.book("BTCUSDT", 1).asks[0]
    part = await desk.limit(str(ask[0]), str(ask[1] + 1), timeInForce="IOC", newOrderRespType="RESULT")
    assert part.body["status"] == "EXPIRED"
    assert Decimal(part.body["executedQty"]) == ask[1]


async def test_a_refused_fill_or_kill_leaves_no_trace(desk: Desk) -> None:
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        assert (await desk.limit("49000.0", timeInForce="FOK", newClientOrderId="fok")).code == -5021
        assert await user.silent()
    missing = await desk.ask("GET", "order", symbol="BTCUSDT", origClientOrderId="fok")
    assert missing.code == -2013
    assert await desk.good("GET", "allOrders", symbol="BTCUSDT") == []
    done = await desk.limit("50100.0", timeInForce="FOK", newOrderRespType="RESULT")
    assert (done.body["status"], done.body["timeInForce"]) == ("FILLED", "FOK")


async def test_post_only_rests(desk: Desk) -> None:
    placed = (await desk.limit("49000.0", timeInForce="GTX")).body
    assert (placed["status"], placed["timeInForce"]) == ("NEW", "GTX")
    assert [one["orderId"] for one in await desk.good("GET", "openOrders", symbol="BTCUSDT")] == [
        placed["orderId"]
    ]


async def test_good_till_date_expires_by_itself(desk: Desk) -> None:
    until = (round(time.time()) + 1200) * 1000
    placed = (await desk.limit("49000.0", timeInForce="GTD", goodTillDate=until)).body
    assert (placed["timeInForce"], placed["goodTillDate"]) == ("GTD", until)
    desk.truth.advance(until / 1000 + 1)
    assert (await order(desk, placed["orderId"]))["status"] == "EXPIRED"


async def test_reduce_only_in_one_way_mode(desk: Desk) -> None:
    await desk.market("BUY", "0.05")
    closed = await desk.market("SELL", "0.09", reduceOnly="true")
    assert (closed["status"], closed["executedQty"], closed["reduceOnly"]) == ("FILLED", "0.050", True)
    assert desk.truth.positions(desk.name) == []


async def test_hedge_mode_holds_both_sides(desk: Desk) -> None:
    await desk.good("POST", "positionSide/dual", dualSidePosition="true")
    params = {"symbol": "BTCUSDT", "type": "MARKET", "newOrderRespType": "RESULT"}
    one_way = await desk.ask("POST", "order", side="BUY", quantity="0.01", **params)
    assert one_way.code == -4061
    await desk.good("POST", "order", side="BUY", quantity="0.03", positionSide="LONG", **params)
    await desk.good("POST", "order", side="SELL", quantity="0.02", positionSide="SHORT", **params)
    rows = await desk.good("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert {row["positionSide"]: row["positionAmt"] for row in rows} == {"LONG": "0.030", "SHORT": "-0.020"}
    every = await desk.good("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert {row["positionSide"] for row in every} == {"LONG", "SHORT"}
    flagged = await desk.ask(
        "POST", "order", side="SELL", quantity="0.03", positionSide="LONG", reduceOnly="true", **params
    )
    assert flagged.code == -1106
    await desk.good("POST", "order", side="SELL", quantity="0.03", positionSide="LONG", **params)
    rows = await desk.good("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert [row["positionSide"] for row in rows] == ["SHORT"]


async def test_batches_answer_order_by_order(desk: Desk) -> None:
    base = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    wanted = [
        {**base, "price": "49000.0", "quantity": "0.010", "newClientOrderId": "one"},
        {**base, "price": "49000.05", "quantity": "0.010"},
        {**base, "price": "48000.0", "quantity": "0.010", "newClientOrderId": "two"},
    ]
    answers = await desk.good("POST", "batchOrders", batchOrders=json.dumps(wanted))
    assert [one.get("code", one.get("clientOrderId")) for one in answers] == ["one", -4014, "two"]
    cancelled = await desk.good(
        "DELETE", "batchOrders", symbol="BTCUSDT", origClientOrderIdList=json.dumps(["one", "three"])
    )
    assert [one.get("status", one.get("code")) for one in cancelled] == ["CANCELED", -2011]
    done = await desk.good("DELETE", "allOpenOrders", symbol="BTCUSDT")
    assert done["code"] == 200
    assert await desk.good("GET", "openOrders") == []


async def test_orders_are_amended_in_place(desk: Desk) -> None:
    placed = (await desk.limit("49000.0")).body
    wanted = {"symbol": "BTCUSDT", "orderId": placed["orderId"], "side": "BUY"}
    same = await desk.ask("PUT", "order", price="49000.0", quantity="0.010", **wanted)
    assert same.code == -5027
    changed = await desk.good("PUT", "order", price="48500.0", quantity="0.020", **wanted)
    assert (changed["orderId"], changed["price"], changed["origQty"]) == (
        placed["orderId"],
        "48500.00",
        "0.020",
    )


async def test_the_countdown_cancels_what_is_open(desk: Desk) -> None:
    placed = (await desk.limit("49000.0")).body
    armed = await desk.good("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=30_000)
    assert armed == {"symbol": "BTCUSDT", "countdownTime": "30000"}
    desk.truth.advance(time.time() + 31)
    assert (await order(desk, placed["orderId"]))["status"] == "CANCELED"
    placed = (await desk.limit("49000.0")).body
    await desk.good("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=30_000)
    await desk.good("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=0)
    desk.truth.advance(time.time() + 90)
    assert (await order(desk, placed["orderId"]))["status"] == "NEW"


async def test_leverage_and_margin_type_show_everywhere(desk: Desk) -> None:
    answer = await desk.good("POST", "leverage", symbol="ETHUSDT", leverage=50)
    assert answer == {"symbol": "ETHUSDT", "leverage": 50, "maxNotionalValue": "12000000"}
    await desk.good("POST", "marginType", symbol="ETHUSDT", marginType="ISOLATED")
    config = (await desk.good("GET", "symbolConfig", symbol="ETHUSDT"))[0]
    assert (config["leverage"], config["marginType"]) == (50, "ISOLATED")
    await desk.market("BUY", "1", symbol="ETHUSDT")
    risk = (await desk.good("GET", "/fapi/v2/positionRisk", symbol="ETHUSDT"))[0]
    assert (risk["leverage"], risk["marginType"]) == ("50", "isolated")
    # 1 ETH at 2000 with leverage 50, less the loss of crossing the spread
    assert Decimal("39") < Decimal(risk["isolatedWallet"]) < Decimal("41")
    account = await desk.good("GET", "/fapi/v2/account")
    eth = next(row for row in account["positions"] if row["symbol"] == "ETHUSDT")
    assert (eth["isolated"], eth["leverage"]) == (True, "50")


async def test_the_account_adds_up(desk: Desk) -> None:
    await desk.market("BUY", "0.1")
    await desk.limit("49000.0", "0.020")
    account = await desk.good("GET", "/fapi/v3/account")
    asset = account["assets"][0]
    total = {name: Decimal(value) for name, value in asset.items() if name not in ("asset", "updateTime")}
    assert total["marginBalance"] == total["walletBalance"] + total["unrealizedProfit"]
    assert total["initialMargin"] == total["positionInitialMargin"] + total["openOrderInitialMargin"]
    assert total["openOrderInitialMargin"] == Decimal(49000) * Decimal("0.02") / 20
    row = account["positions"][0]
    assert row["notional"] == f"{Decimal(row['notional'])}"
    assert Decimal(row["initialMargin"]) == total["initialMargin"]
    assert Decimal(row["maintMargin"]) == total["maintMargin"]
    risk = (await desk.good("GET", "/fapi/v3/positionRisk"))[0]
    assert Decimal(risk["openOrderInitialMargin"]) == total["openOrderInitialMargin"]
    assert Decimal(risk["unRealizedProfit"]) == total["unrealizedProfit"]
