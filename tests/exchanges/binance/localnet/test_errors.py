"""Error codes and HTTP statuses, asked for over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.binance.localnet.desk import Desk

pytestmark = pytest.mark.anyio

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "49000.00",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
LONG_ID = "x" * 37


def without(order: dict[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in order.items() if key not in names}


ORDERS: list[tuple[str, dict[str, Any], int]] = [
    ("no symbol", without(LIMIT, "symbol"), -1102),
    ("no side", without(LIMIT, "side"), -1102),
    ("no type", without(LIMIT, "type"), -1102),
    ("no quantity", without(LIMIT, "quantity"), -1102),
    ("no price", without(LIMIT, "price"), -1102),
    ("no time in force", without(LIMIT, "timeInForce"), -1102),
    ("unknown symbol", {**LIMIT, "symbol": "NOPEUSDT"}, -1121),
    ("unknown side", {**LIMIT, "side": "HOLD"}, -1117),
    ("unknown type", {**LIMIT, "type": "HOPE"}, -1116),
    ("unknown time in force", {**LIMIT, "timeInForce": "DAY"}, -1115),
    ("conditional type", {**LIMIT, "type": "STOP_MARKET", "stopPrice": "1"}, -4120),
    ("letters in the quantity", {**LIMIT, "quantity": "ten"}, -1100),
    ("exponent in the price", {**LIMIT, "price": "4.9e4"}, -1100),
    ("quantity zero", {**LIMIT, "quantity": "0"}, -4003),
    ("negative quantity", {**LIMIT, "quantity": "-0.01"}, -4003),
    ("quantity too precise", {**LIMIT, "quantity": "0.0101"}, -1111),
    ("quantity too large", {**LIMIT, "quantity": "100000"}, -4005),
    ("market quantity too large", {**MARKET, "quantity": "100000"}, -4005),
    ("price zero", {**LIMIT, "price": "0"}, -4001),
    ("price too precise", {**LIMIT, "price": "49000.001"}, -1111),
    ("price off the tick", {**LIMIT, "price": "49000.05"}, -4014),
    ("price above the highest", {**LIMIT, "price": "99000000.0"}, -4002),
    ("price below the lowest", {**LIMIT, "price": "1.0"}, -4013),
    ("buys far above the mark", {**LIMIT, "price": "60000.0"}, -4016),
    ("sells far below the mark", {**LIMIT, "side": "SELL", "price": "40000.0"}, -4024),
    ("worth too little", {**LIMIT, "quantity": "0.001"}, -4164),
    ("more than the account can pay", {**LIMIT, "quantity": "60"}, -2019),
    ("reduces nothing", {**MARKET, "reduceOnly": "true"}, -2022),
    ("bad flag", {**MARKET, "reduceOnly": "maybe"}, -1102),
    ("maker that would take", {**LIMIT, "timeInForce": "GTX", "price": "50100.0"}, -5022),
    ("cannot fill at once", {**LIMIT, "timeInForce": "FOK"}, -5021),
    ("side of hedge mode", {**MARKET, "positionSide": "LONG"}, -4061),
    ("no such position side", {**MARKET, "positionSide": "UP"}, -4060),
    ("price of a market order", {**MARKET, "price": "50000"}, -1106),
    ("time in force of a market order", {**MARKET, "timeInForce": "GTC"}, -1106),
    ("close-position with a plain type", {**MARKET, "closePosition": "true"}, -4136),
    ("client id too long", {**LIMIT, "newClientOrderId": LONG_ID}, -4015),
    ("client id with a space", {**LIMIT, "newClientOrderId": "a b"}, -1100),
    ("unknown response type", {**LIMIT, "newOrderRespType": "ALL"}, -1136),
    ("expiry too soon", {**LIMIT, "timeInForce": "GTD", "goodTillDate": "1"}, -4183),
    ("no expiry", {**LIMIT, "timeInForce": "GTD"}, -1102),
]


@pytest.mark.parametrize(("order", "code"), [pytest.param(o, c, id=name) for name, o, c in ORDERS])
async def test_order_is_refused(desk: Desk, order: dict[str, Any], code: int) -> None:
    answer = await desk.ask("POST", "order", **order)
    assert (answer.status, answer.code) == (400, code), answer.body
    assert desk.truth.open_orders(desk.name) == []
    assert desk.truth.fills(desk.name) == []


@pytest.mark.parametrize(("order", "code"), [pytest.param(o, c, id=name) for name, o, c in ORDERS[:20]])
async def test_test_order_is_refused_alike(desk: Desk, order: dict[str, Any], code: int) -> None:
    assert (await desk.ask("POST", "order/test", **order)).code == code


async def test_test_order_places_nothing(desk: Desk) -> None:
    answer = await desk.good("POST", "order/test", **LIMIT)
    assert answer["status"] == "NEW"
    assert desk.truth.orders(desk.name) == []


OTHERS: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("cancels without an id", "DELETE", "order", {"symbol": "BTCUSDT"}, -1102),
    ("cancels an unknown order", "DELETE", "order", {"symbol": "BTCUSDT", "orderId": "1"}, -2011),
    ("queries an unknown order", "GET", "order", {"symbol": "BTCUSDT", "orderId": "1"}, -2013),
    ("id that is no number", "GET", "order", {"symbol": "BTCUSDT", "orderId": "one"}, -1102),
    ("unknown open order", "GET", "openOrder", {"symbol": "BTCUSDT", "origClientOrderId": "a"}, -2013),
    ("changes an unknown order", "PUT", "order", {"symbol": "BTCUSDT", "orderId": "1", "price": "1"}, -2013),
    ("cancels all of nothing", "DELETE", "allOpenOrders", {}, -1102),
    ("open orders of no symbol", "GET", "openOrders", {"symbol": "NOPE"}, -1121),
    ("six orders at once", "POST", "batchOrders", {"batchOrders": "[{},{},{},{},{},{}]"}, -4082),
    ("batch that is no list", "POST", "batchOrders", {"batchOrders": "{"}, -1130),
    ("leverage 0", "POST", "leverage", {"symbol": "BTCUSDT", "leverage": "0"}, -4028),
    ("leverage 200", "POST", "leverage", {"symbol": "BTCUSDT", "leverage": "200"}, -4028),
    ("no leverage", "POST", "leverage", {"symbol": "BTCUSDT"}, -1102),
    ("margin type it has", "POST", "marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
    ("unknown margin type", "POST", "marginType", {"symbol": "BTCUSDT", "marginType": "FREE"}, -1130),
    ("position mode it has", "POST", "positionSide/dual", {"dualSidePosition": "false"}, -4059),
    ("multi-assets mode it has", "POST", "multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
    ("trades of no symbol", "GET", "userTrades", {}, -1102),
    (
        "trades with id and time",
        "GET",
        "userTrades",
        {"symbol": "BTCUSDT", "fromId": 1, "startTime": 1},
        -1128,
    ),
    (
        "orders of two weeks",
        "GET",
        "allOrders",
        {"symbol": "BTCUSDT", "startTime": 1, "endTime": 10**10},
        -4166,
    ),
    ("end before start", "GET", "income", {"startTime": 2, "endTime": 1}, -1023),
    ("unknown income", "GET", "income", {"incomeType": "LUCK"}, -1130),
    ("fee of no symbol", "GET", "commissionRate", {}, -1102),
    ("algo order", "POST", "algoOrder", {"symbol": "BTCUSDT"}, -4084),
]


@pytest.mark.parametrize(
    ("method", "path", "params", "code"), [pytest.param(*row[1:], id=row[0]) for row in OTHERS]
)
async def test_request_is_refused(
    desk: Desk, method: str, path: str, params: dict[str, Any], code: int
) -> None:
    answer = await desk.ask(method, path, **params)
    assert (answer.status, answer.code) == (400, code), answer.body


PUBLIC: list[tuple[str, str, int]] = [
    ("depth", "symbol=NOPE", -1121),
    ("depth", "", -1102),
    ("depth", "symbol=BTCUSDT&limit=7", -4021),
    ("klines", "symbol=BTCUSDT&interval=7m", -1120),
    ("klines", "symbol=BTCUSDT&interval=1m&limit=0", -1130),
    ("premiumIndex", "symbol=NOPE", -1121),
    ("fundingRate", "symbol=BTCUSDT&startTime=2&endTime=1", -1023),
]


@pytest.mark.parametrize(("path", "query", "code"), PUBLIC)
async def test_public_request_is_refused(desk: Desk, path: str, query: str, code: int) -> None:
    answer = await desk.send("GET", path, query)
    assert (answer.status, answer.code) == (400, code)


async def test_duplicate_client_ids_are_refused_among_open_orders_only(desk: Desk) -> None:
    assert (await desk.limit("49000.0", newClientOrderId="mine")).status == 200
    assert (await desk.limit("49000.0", newClientOrderId="mine")).code == -4116
    await desk.good("DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine")
    assert (await desk.limit("48000.0", newClientOrderId="mine")).status == 200
    found = await desk.good("GET", "order", symbol="BTCUSDT", origClientOrderId="mine")
    assert found["price"] == "48000.00"


async def test_a_cancelled_order_cannot_be_cancelled_again(desk: Desk) -> None:
    placed = (await desk.limit("49000.0")).body
    await desk.good("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    again = await desk.ask("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (again.status, again.body) == (400, {"code": -2011, "msg": "Unknown order sent."})


async def test_modes_are_locked_by_orders_and_positions(desk: Desk) -> None:
    await desk.limit("49000.0")
    hedge = {"dualSidePosition": "true"}
    isolated = {"symbol": "BTCUSDT", "marginType": "ISOLATED"}
    assert (await desk.ask("POST", "positionSide/dual", **hedge)).code == -4067
    assert (await desk.ask("POST", "marginType", **isolated)).code == -4047
    await desk.good("DELETE", "allOpenOrders", symbol="BTCUSDT")
    await desk.market("BUY", "0.01")
    assert (await desk.ask("POST", "positionSide/dual", **hedge)).code == -4068
    assert (await desk.ask("POST", "marginType", **isolated)).code == -4048


async def test_leverage_is_bound_by_the_position(desk: Desk) -> None:
    await desk.good("POST", "leverage", symbol="1000PEPEUSDT", leverage=75)
    assert (
        await desk.ask("POST", "order", **{**MARKET, "symbol": "1000PEPEUSDT", "quantity": "1500000"})
    ).code == -2027
    await desk.good("POST", "leverage", symbol="BTCUSDT", leverage=50)
    await desk.market("BUY", "4")
    assert (await desk.ask("POST", "leverage", symbol="BTCUSDT", leverage=1)).code == -2028


async def test_unknown_paths_are_404(desk: Desk) -> None:
    answer = await desk.send("GET", "/fapi/v9/nothing")
    assert (answer.status, answer.code) == (404, -5000)
    assert (await desk.send("PATCH", "order")).status == 404
