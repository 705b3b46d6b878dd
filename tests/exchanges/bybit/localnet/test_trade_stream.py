"""/v5/trade: order entry over a websocket."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, Socket

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "1",
    "price": "990",
    "orderLinkId": "w-1",
}


async def operate(
    bybit: Bybit, socket: Socket, op: str, entry: dict[str, Any], **more: Any
) -> dict[str, Any]:
    header = {"X-BAPI-TIMESTAMP": str(bybit.now_ms)}
    message: dict[str, Any] = {"op": op, "header": header, "args": [entry]}
    return await socket.ask(**(message | more))


async def test_login_and_ping(bybit: Bybit) -> None:
    socket = await bybit.connect("/v5/trade")
    assert (await operate(bybit, socket, "order.create", ORDER))["retMsg"] == "Request not authorized"
    pong = await socket.ask(op="ping")
    assert pong == {
        "retCode": 0,
        "retMsg": "OK",
        "op": "pong",
        "data": [str(bybit.now_ms)],
        "connId": pong["connId"],
    }
    logged = await bybit.login(path="/v5/trade")
    again = await logged.ask(reqId="a", op="auth", args=["key-main", bybit.now_ms + 1000, "x"])
    assert (again["retCode"], again["reqId"]) == (20001, "a")
    bad = await socket.ask(op="auth", args=["key-main", bybit.now_ms + 1000, "x"])
    assert (bad["retCode"], bad["op"]) == (10004, "auth")
    assert (await socket.raw.receive(timeout=5)).type.name in ("CLOSE", "CLOSED")


async def test_create_amend_cancel(bybit: Bybit) -> None:
    socket = await bybit.login(path="/v5/trade")
    created = await operate(bybit, socket, "order.create", ORDER, reqId="1")
    order_id = created["data"]["orderId"]
    assert created == {
        "reqId": "1",
        "retCode": 0,
        "retMsg": "OK",
        "op": "order.create",
        "data": {"orderId": order_id, "orderLinkId": "w-1"},
        "retExtInfo": {},
        "header": {
            "X-Bapi-Limit": "10",
            "X-Bapi-Limit-Status": "9",
            "X-Bapi-Limit-Reset-Timestamp": str(bybit.now_ms),
            "Traceid": created["header"]["Traceid"],
            "Timenow": str(bybit.now_ms),
        },
        "connId": created["connId"],
    }
    name = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "w-1"}
    amended = await operate(bybit, socket, "order.amend", name | {"price": "991"})
    assert (amended["retCode"], amended["data"]["orderId"]) == (0, order_id)
    assert "reqId" not in amended
    assert [row["price"] for row in await bybit.orders()] == ["991.00"]
    cancelled = await operate(bybit, socket, "order.cancel", name)
    assert cancelled["data"] == {"orderId": order_id, "orderLinkId": "w-1"}
    gone = await operate(bybit, socket, "order.cancel", name)
    assert (gone["retCode"], gone["data"]) == (110001, {})


async def test_a_batch(bybit: Bybit) -> None:
    socket = await bybit.login(path="/v5/trade")
    entry = {"category": "linear", "request": [ORDER, ORDER | {"orderLinkId": "w-2", "positionIdx": 1}]}
    reply = await operate(bybit, socket, "order.create-batch", entry)
    assert reply["retExtInfo"]["list"] == [
        {"code": 0, "msg": "OK"},
        {"code": 10001, "msg": "position idx not match position mode"},
    ]
    assert [(row["orderLinkId"], bool(row["orderId"])) for row in reply["data"]["list"]] == [
        ("w-1", True),
        ("w-2", False),
    ]


async def test_what_the_gateway_refuses(bybit: Bybit) -> None:
    socket = await bybit.login(path="/v5/trade")
    assert (await operate(bybit, socket, "order.nothing", ORDER))["retCode"] == 10404
    assert (await operate(bybit, socket, "order.create", ORDER, args=[]))["retCode"] == 10001
    assert (await operate(bybit, socket, "order.create", ORDER, header={}))["retCode"] == 10001
    old = {"X-BAPI-TIMESTAMP": str(bybit.now_ms - 1001), "X-BAPI-RECV-WINDOW": "1000"}
    assert (await operate(bybit, socket, "order.create", ORDER, header=old))["retCode"] == 10002
    assert (await operate(bybit, socket, "order.create", ORDER, reqId="same"))["retCode"] == 0
    again = await operate(bybit, socket, "order.create", ORDER | {"orderLinkId": "w-2"}, reqId="same")
    assert again["retCode"] == 20006
    assert len(bybit.truth.orders("main")) == 1


async def test_too_many_orders_are_10429(bybit: Bybit) -> None:
    socket = await bybit.login(path="/v5/trade")
    codes = []
    for number in range(40):
        reply = await operate(bybit, socket, "order.create", ORDER | {"orderLinkId": f"n-{number}"})
        codes.append(reply["retCode"])
    assert 10429 in codes
    assert codes.count(0) == len(bybit.truth.orders("main"))


async def test_injected_faults_reach_the_websocket(bybit: Bybit) -> None:
    socket = await bybit.login(path="/v5/trade")
    bybit.venue.faults.install(Fault(FaultKind.UNKNOWN_ERROR, operation="order.place", count=1))
    reply = await operate(bybit, socket, "order.create", ORDER)
    assert reply["retCode"] == 10000
    assert [order.client_id for order in bybit.truth.orders("main")] == ["w-1"]
    bybit.venue.faults.install(Fault(FaultKind.REJECT, operation="order.cancel", code="110001", count=1))
    name = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "w-1"}
    assert (await operate(bybit, socket, "order.cancel", name))["retCode"] == 110001
    assert len(bybit.truth.open_orders("main")) == 1
    bybit.venue.faults.install(Fault(FaultKind.LOST_REPLY, operation="order.cancel", count=1))
    await socket.send(op="order.cancel", header={"X-BAPI-TIMESTAMP": str(bybit.now_ms)}, args=[name])
    assert (await socket.raw.receive(timeout=5)).type.name in ("CLOSE", "CLOSED", "ERROR", "CLOSING")
    assert bybit.truth.open_orders("main") == []
