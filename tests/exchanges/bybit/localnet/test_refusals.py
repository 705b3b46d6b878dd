"""Bybit's codes for what it does not do, through raw HTTP and over the order websocket."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit

from fundingarb_bybit.localnet.desk import Desk

pytestmark = pytest.mark.anyio

LIMIT: dict[str, Any] = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "1",
    "price": "990",
}

CREATE: list[tuple[dict[str, Any], int]] = [
    ({"category": "spots"}, 10001),
    ({"category": "spot"}, 10001),
    ({"symbol": "NOPEUSDT"}, 10001),
    ({"symbol": None}, 10001),
    ({"side": "BUY"}, 10001),
    ({"orderType": "LIMIT"}, 10001),
    ({"timeInForce": "GTX"}, 10001),
    ({"timeInForce": "RPI"}, 110119),
    ({"qty": 1}, 10001),
    ({"qty": "0"}, 10001),
    ({"qty": "-1"}, 10001),
    ({"qty": "NaN"}, 10001),
    ({"qty": "many"}, 10001),
    ({"qty": "1.0005"}, 10001),
    ({"qty": "0.0001"}, 10001),
    ({"qty": "1191"}, 10001),
    ({"orderType": "Market", "qty": "501"}, 10001),
    ({"price": None}, 10001),
    ({"price": 990}, 10001),
    ({"price": "990.05"}, 10001),
    ({"price": "0"}, 110003),
    ({"price": "1030"}, 110003),
    ({"qty": "0.005", "price": "990"}, 110094),
    ({"qty": "1190"}, 110007),
    ({"reduceOnly": True}, 110017),
    ({"reduceOnly": "true"}, 10001),
    ({"positionIdx": 1}, 10001),
    ({"positionIdx": 7}, 10001),
    ({"orderLinkId": "x" * 37}, 10001),
    ({"orderLinkId": "with space"}, 10001),
    ({"triggerPrice": "1100"}, 10001),
]


@pytest.mark.parametrize(("change", "code"), CREATE)
async def test_an_order_that_is_refused(bybit: Bybit, change: dict[str, Any], code: int) -> None:
    answer = await bybit.post("/v5/order/create", **(LIMIT | change))
    assert (answer.status, answer.code) == (200, code), answer.text
    assert answer.body["result"] == {}
    assert bybit.truth.orders("main") == []


async def test_a_link_id_is_good_once_even_after_the_order_is_gone(bybit: Bybit) -> None:
    first = await bybit.order("Buy", "1", "990", orderLinkId="mine")
    assert first.result["orderLinkId"] == "mine"
    assert (await bybit.order("Buy", "1", "990", orderLinkId="mine")).code == 110072
    cancel = await bybit.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="mine")
    assert cancel.result == first.result
    assert (await bybit.order("Buy", "1", "990", orderLinkId="mine")).code == 110072
    # Another account may use it.
    assert (await bybit.order("Buy", "1", "990", orderLinkId="mine", account="other")).code == 0


async def test_an_empty_wallet_is_110004(bybit: Bybit) -> None:
    bybit.truth.transfer("main", Decimal(-100_000))
    assert (await bybit.order("Buy", "1", "990")).code == 110004


async def test_orders_that_are_not_there_are_110001(bybit: Bybit) -> None:
    name: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}
    assert (await bybit.post("/v5/order/cancel", **name, orderId="x")).code == 110001
    assert (await bybit.post("/v5/order/amend", **name, orderLinkId="x", price="980")).code == 110001
    assert (await bybit.post("/v5/order/cancel", **name)).code == 10001
    filled = (await bybit.order("Buy", "1")).result["orderId"]
    assert (await bybit.post("/v5/order/cancel", **name, orderId=filled)).code == 110001
    assert (await bybit.post("/v5/order/amend", **name, orderId=filled, price="980")).code == 110001


async def test_an_amendment_that_changes_nothing_is_10001(bybit: Bybit) -> None:
    order = (await bybit.order("Buy", "1", "990")).result["orderId"]
    answer = await bybit.post(
        "/v5/order/amend", category="linear", symbol="BTCUSDT", orderId=order, price="990", qty="1"
    )
    assert (answer.code, answer.body["retMsg"]) == (
        10001,
        "The order remains unchanged as the parameters entered match the existing ones.",
    )


async def leverage(bybit: Bybit, buy: str, sell: str | None = None) -> int:
    answer = await bybit.post(
        "/v5/position/set-leverage",
        category="linear",
        symbol="BTCUSDT",
        buyLeverage=buy,
        sellLeverage=buy if sell is None else sell,
    )
    return answer.code


async def test_leverage(bybit: Bybit) -> None:
    assert await leverage(bybit, "5") == 0
    assert await leverage(bybit, "5") == 110043
    assert await leverage(bybit, "101") == 110013
    assert await leverage(bybit, "0") == 10001
    assert await leverage(bybit, "5", "6") == 10001
    assert await leverage(bybit, "ten") == 10001
    rows = (await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")).result["list"]
    assert [row["leverage"] for row in rows] == ["5"]


async def test_leverage_against_a_position_and_a_position_against_leverage(bybit: Bybit) -> None:
    assert (await bybit.order("Buy", "500")).code == 0
    assert await leverage(bybit, "4") == 110012
    assert await leverage(bybit, "100") == 0
    assert (await bybit.order("Buy", "1190", "990")).code == 0
    assert (await bybit.order("Buy", "1190", "990")).code == 110090


async def mode(bybit: Bybit, value: object) -> int:
    answer = await bybit.post("/v5/position/switch-mode", category="linear", coin="USDT", mode=value)
    return answer.code


async def test_position_mode(bybit: Bybit) -> None:
    assert await mode(bybit, 0) == 110025
    assert await mode(bybit, 1) == 10001
    assert await mode(bybit, 3) == 0
    assert await mode(bybit, 3) == 110025
    assert (await bybit.order("Buy", "1", "990")).code == 10001
    order = await bybit.order("Buy", "1", "990", positionIdx=1)
    assert order.code == 0
    assert await mode(bybit, 0) == 110028
    cancelled = await bybit.post("/v5/order/cancel-all", category="linear", settleCoin="USDT")
    assert [row["orderId"] for row in cancelled.result["list"]] == [order.result["orderId"]]
    assert (await bybit.order("Buy", "1", positionIdx=1)).code == 0
    assert await mode(bybit, 0) == 110024


async def margin_mode(bybit: Bybit, value: str) -> tuple[int, Any]:
    answer = await bybit.post("/v5/account/set-margin-mode", setMarginMode=value)
    return answer.code, answer.body["result"].get("reasons")


async def test_margin_mode(bybit: Bybit) -> None:
    assert (await margin_mode(bybit, "REGULAR_MARGIN"))[0] == 110026
    assert (await margin_mode(bybit, "CROSS"))[0] == 10001
    code, reasons = await margin_mode(bybit, "PORTFOLIO_MARGIN")
    assert (code, reasons[0]["reasonCode"]) == (3400045, "3400000")
    assert (await bybit.get("/v5/account/info")).result["marginMode"] == "REGULAR_MARGIN"
    assert await margin_mode(bybit, "ISOLATED_MARGIN") == (0, [])
    assert (await bybit.get("/v5/account/info")).result["marginMode"] == "ISOLATED_MARGIN"
    assert (await bybit.order("Buy", "1")).code == 0
    assert (await margin_mode(bybit, "REGULAR_MARGIN"))[0] == 3400045
    switch = await bybit.post(
        "/v5/position/switch-isolated",
        category="linear",
        symbol="BTCUSDT",
        tradeMode=1,
        buyLeverage="5",
        sellLeverage="5",
    )
    assert switch.code == 100028


async def test_reads_that_name_too_little_or_too_much(bybit: Bybit) -> None:
    day = 86_400_000
    assert (await bybit.get("/v5/position/list", category="linear")).code == 10001
    assert (await bybit.get("/v5/order/realtime", category="linear")).code == 10001
    assert (await bybit.get("/v5/account/wallet-balance", accountType="SPOT")).code == 10001
    for path in ("/v5/execution/list", "/v5/order/history", "/v5/account/transaction-log"):
        span: dict[str, Any] = {"startTime": bybit.now_ms - 8 * day, "endTime": bybit.now_ms}
        assert (await bybit.get(path, category="linear", **span)).code == 10001, path
        assert (await bybit.get(path, category="linear", startTime=2, endTime=1)).code == 10001, path
        assert (await bybit.get(path, category="linear", startTime="soon")).code == 10001, path
    assert (await bybit.public("/v5/market/tickers", category="linear", symbol="NOPEUSDT")).code == 10001
    assert (await bybit.public("/v5/market/tickers")).code == 10001
    history = {"category": "linear", "symbol": "BTCUSDT"}
    assert (await bybit.public("/v5/market/funding/history", **history, startTime=1)).code == 10001
    assert (await bybit.public("/v5/market/kline", **history, interval="7")).code == 10001


async def test_the_order_websocket_refuses_with_the_same_codes(
    bybit: Bybit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The table is longer than what an account may send in one second.
    monkeypatch.setattr(Desk, "charge", _never_exceeded)
    socket = await bybit.login(path="/v5/trade")
    for number, (change, code) in enumerate(CREATE):
        entry: dict[str, Any] = LIMIT | change
        reply = await socket.ask(
            reqId=str(number),
            op="order.create",
            header={"X-BAPI-TIMESTAMP": str(bybit.now_ms)},
            args=[entry],
        )
        expected = 10404 if entry["category"] == "spots" else code
        assert (reply["retCode"], reply["reqId"]) == (expected, str(number)), (change, reply)


def _never_exceeded(self: Desk, rule: str, key: str) -> Any:
    from fundingarb.localnet.limits import LimitRule, LimitState

    return LimitState(LimitRule(rule, 1000, 1.0), 1, False, 1.0)
