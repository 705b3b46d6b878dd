"""/v5/private: login, orders, executions, positions, the wallet, and the disconnect protection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import anyio.lowlevel
import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, Socket, serve, sign
from tests.localnet.still import BOUNDARY

pytestmark = pytest.mark.anyio

D = Decimal
PRIVATE = "/v5/private"


async def everything(socket: Socket) -> list[tuple[str, dict[str, Any]]]:
    """Topic and row of everything that has been sent so far."""
    await socket.send(op="ping")
    rows: list[tuple[str, dict[str, Any]]] = []
    while True:
        message = await socket.next()
        if message.get("op") == "pong":
            return rows
        rows += [(message["topic"], row) for row in message["data"]]


async def test_login_and_acknowledgements(bybit: Bybit) -> None:
    socket = await bybit.connect(PRIVATE)
    early = await socket.ask(op="subscribe", req_id="0", args=["order"])
    assert (early["success"], early["ret_msg"], early["req_id"]) == (False, "Request not authorized", "0")
    expires = bybit.now_ms + 1
    reply = await socket.ask(
        req_id="1", op="auth", args=["key-main", expires, sign("secret-main", f"GET/realtime{expires}")]
    )
    assert reply == {
        "success": True,
        "ret_msg": "",
        "op": "auth",
        "req_id": "1",
        "conn_id": reply["conn_id"],
    }
    subscribed = await socket.ask(req_id="2", op="subscribe", args=["order", "execution.fast", "greeks"])
    assert subscribed == {
        "success": True,
        "ret_msg": "",
        "op": "subscribe",
        "req_id": "2",
        "conn_id": reply["conn_id"],
    }
    unknown = await socket.ask(op="subscribe", args=["orders"])
    assert (unknown["success"], unknown["ret_msg"]) == (False, "error:handler not found,topic:orders")
    pong = await socket.ask(op="ping", req_id="3")
    assert pong == {"op": "pong", "args": [str(bybit.now_ms)], "req_id": "3", "conn_id": reply["conn_id"]}


@pytest.mark.parametrize(
    ("key", "ahead_ms", "secret", "problem"),
    [
        ("key-main", 0, "secret-main", "Params Error"),
        ("key-main", -1000, "secret-main", "Params Error"),
        ("nobody", 1000, "secret-main", "API key is invalid."),
        ("key-main", 1000, "secret-other", "Error sign, please check your signature generation algorithm."),
    ],
)
async def test_a_bad_login_is_answered_and_the_connection_closed(
    bybit: Bybit, key: str, ahead_ms: int, secret: str, problem: str
) -> None:
    socket = await bybit.connect(PRIVATE)
    expires = bybit.now_ms + ahead_ms
    reply = await socket.ask(op="auth", args=[key, expires, sign(secret, f"GET/realtime{expires}")])
    assert (reply["success"], reply["ret_msg"], reply["op"]) == (False, problem, "auth")
    assert (await socket.raw.receive(timeout=5)).type.name in ("CLOSE", "CLOSED")


async def test_the_life_of_a_limit_order(bybit: Bybit) -> None:
    socket = await bybit.login()
    await socket.subscribe("order")
    order_id = (await bybit.order("Buy", "1", "990", orderLinkId="a")).result["orderId"]
    await bybit.post("/v5/order/amend", category="linear", symbol="BTCUSDT", orderId=order_id, price="991")
    await bybit.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    rows = [row for _, row in await everything(socket)]
    assert [
        (r["orderStatus"], r["price"], r["leavesQty"], r["cancelType"], r["rejectReason"]) for r in rows
    ] == [
        ("New", "990", "1", "UNKNOWN", "EC_NoError"),
        ("New", "991", "1", "UNKNOWN", "EC_NoError"),
        ("Cancelled", "991", "0", "CancelByUser", "EC_PerCancelRequest"),
    ]
    assert {(r["orderId"], r["orderLinkId"], r["category"]) for r in rows} == {(order_id, "a", "linear")}


async def test_a_fill_tells_execution_order_position_and_wallet(bybit: Bybit) -> None:
    bybit.book([("999.0", "9")], [("1001.0", "2"), ("1002.0", "5")])
    socket = await bybit.login()
    await socket.subscribe("order", "execution", "execution.fast", "position", "wallet")
    order_id = (await bybit.order("Buy", "3")).result["orderId"]
    rows = await everything(socket)
    assert [topic for topic, _ in rows] == ["execution", "execution.fast", "order", "position", "wallet"] * 2
    fills = [row for topic, row in rows if topic == "execution"]
    assert [(f["execPrice"], f["execQty"], f["leavesQty"], f["closedSize"]) for f in fills] == [
        ("1001", "2", "1", "0"),
        ("1002", "1", "0", "0"),
    ]
    assert (
        fills[0]
        | {
            "category": "linear",
            "execType": "Trade",
            "execFee": "1.1011",
            "execPnl": "0",
            "feeCurrency": "USDT",
            "orderId": order_id,
            "isMaker": False,
            "extraFees": [],
        }
        == fills[0]
    )
    fast = [row for topic, row in rows if topic == "execution.fast"]
    assert [(f["execId"], f["execPrice"], f["execQty"]) for f in fast] == [
        (f["execId"], f["execPrice"], f["execQty"]) for f in fills
    ]
    orders = [row for topic, row in rows if topic == "order"]
    assert [(o["orderStatus"], o["cumExecQty"], o["avgPrice"]) for o in orders] == [
        ("PartiallyFilled", "2", "1001"),
        ("Filled", "3", "1001.33333333"),
    ]
    position = rows[-2][1]
    assert (position["side"], position["size"], position["entryPrice"]) == ("Buy", "3", "1001.33333333")
    wallet = rows[-1][1]
    assert D(wallet["coin"][0]["walletBalance"]) == bybit.truth.state("main").wallet
    rest = (await bybit.get("/v5/execution/list", category="linear")).result["list"]
    assert {row["execId"] for row in rest} == {row["execId"] for row in fills}


async def test_closing_shows_profit_and_an_empty_position(bybit: Bybit) -> None:
    bybit.book([("999.0", "9")], [("1001.0", "9")])
    await bybit.order("Buy", "2")
    socket = await bybit.login()
    await socket.subscribe("order", "execution", "position")
    await bybit.order("Sell", "2", reduceOnly=True)
    rows = dict(await everything(socket))
    assert (rows["execution"]["execPnl"], rows["execution"]["closedSize"]) == ("-4", "2")
    assert rows["order"]["closedPnl"] == "-6.2"
    assert (rows["position"]["side"], rows["position"]["size"], rows["position"]["entryPrice"]) == (
        "",
        "0",
        "0",
    )


async def test_funding_arrives_as_execution_and_wallet(bybit: Bybit) -> None:
    await bybit.order("Sell", "2")
    socket = await bybit.login()
    await socket.subscribe("execution", "wallet")
    bybit.wait(BOUNDARY - bybit.clock.now() + 5)
    rows = await everything(socket)
    assert [topic for topic, _ in rows] == ["execution", "wallet"]
    funding = rows[0][1]
    assert (funding["execType"], funding["execFee"], funding["feeRate"], funding["side"]) == (
        "Funding",
        "-0.2",
        "0.0001",
        "Sell",
    )
    assert D(rows[1][1]["coin"][0]["walletBalance"]) == bybit.truth.state("main").wallet


async def test_only_the_account_itself_hears_of_it(bybit: Bybit) -> None:
    mine, others = await bybit.login(), await bybit.login(account="other")
    for socket in (mine, others):
        await socket.subscribe("order", "execution", "position", "wallet")
    await bybit.order("Buy", "1")
    assert await everything(others) == []
    assert await everything(mine) != []


async def test_topics_by_category(bybit: Bybit) -> None:
    socket = await bybit.login()
    await socket.subscribe("order.linear", "execution.linear", "order.spot")
    await bybit.order("Buy", "1", "990")
    assert [topic for topic, _ in await everything(socket)] == ["order.linear"]


async def test_a_new_leverage_is_told_with_the_position(bybit: Bybit) -> None:
    socket = await bybit.login()
    await socket.subscribe("position")
    await bybit.post(
        "/v5/position/set-leverage", category="linear", symbol="BTCUSDT", buyLeverage="3", sellLeverage="3"
    )
    ((_, row),) = await everything(socket)
    assert (row["leverage"], row["size"]) == ("3", "0")


async def test_unsubscribing(bybit: Bybit) -> None:
    socket = await bybit.login()
    await socket.subscribe("order")
    reply = await socket.ask(op="unsubscribe", req_id="u", args=["order"])
    assert (reply["success"], reply["op"], reply["req_id"]) == (True, "unsubscribe", "u")
    await bybit.order("Buy", "1", "990")
    assert await everything(socket) == []


async def _gone(bybit: Bybit, socket: Socket) -> None:
    """Close the connection and let the exchange notice; the answer to a new request comes after that."""
    sessions = len(bybit.venue.hub.sessions)
    await socket.raw.close()
    for _ in range(100):
        await bybit.public("/v5/market/time")
        if len(bybit.venue.hub.sessions) < sessions:
            break
    await anyio.lowlevel.checkpoint()
    assert len(bybit.venue.hub.sessions) < sessions


@pytest.fixture
async def protected() -> AsyncIterator[Bybit]:
    """A Bybit whose accounts were granted the disconnect protection."""
    async with serve(protected=True) as served:
        yield served


async def test_the_protection_is_granted_on_application_only(bybit: Bybit) -> None:
    assert (await bybit.get("/v5/account/query-dcp-info")).result == {"dcpInfos": []}
    refused = await bybit.post("/v5/order/disconnected-cancel-all", timeWindow=10, product="DERIVATIVES")
    assert refused.code == 10005


async def test_the_window_is_the_products(protected: Bybit) -> None:
    await protected.post(
        "/v5/order/disconnected-cancel-all", timeWindow=40
    )  # options, unless it says otherwise
    (info,) = (await protected.get("/v5/account/query-dcp-info")).result["dcpInfos"]
    assert info == {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}


async def test_disconnect_protection_cancels_after_the_window(protected: Bybit) -> None:
    assert (await protected.post("/v5/order/disconnected-cancel-all", timeWindow=2)).code == 10001
    armed = await protected.post("/v5/order/disconnected-cancel-all", timeWindow=40, product="DERIVATIVES")
    assert (armed.code, armed.body["retMsg"]) == (0, "success")
    info = (await protected.get("/v5/account/info")).result
    assert (info["dcpStatus"], info["timeWindow"]) == ("ON", 40)
    socket = await protected.login()
    await socket.subscribe("dcp.future")
    order_id = (await protected.order("Buy", "1", "990")).result["orderId"]
    protected.wait(100)
    assert len(await protected.orders()) == 1
    await _gone(protected, socket)
    protected.wait(39)
    assert len(await protected.orders()) == 1
    protected.wait(2)
    assert await protected.orders() == []
    assert [row["cancelType"] for row in await protected.orders(orderId=order_id)] == ["CancelByDCP"]


async def test_coming_back_in_time_keeps_the_orders(protected: Bybit) -> None:
    await protected.post("/v5/order/disconnected-cancel-all", timeWindow=10, product="DERIVATIVES")
    socket = await protected.login()
    await socket.subscribe("dcp.future")
    await protected.order("Buy", "1", "990")
    await _gone(protected, socket)
    protected.wait(5)
    back = await protected.login()
    await back.subscribe("dcp.future")
    protected.wait(60)
    assert len(await protected.orders()) == 1


async def test_a_connection_without_the_topic_protects_nothing(protected: Bybit) -> None:
    await protected.post("/v5/order/disconnected-cancel-all", timeWindow=10, product="DERIVATIVES")
    socket = await protected.login()
    await socket.subscribe("order")
    await protected.order("Buy", "1", "990")
    await _gone(protected, socket)
    protected.wait(60)
    assert len(await protected.orders()) == 1
