"""Weights, order counts and bans; and injected failures in Binance's words."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest
from tests.exchanges.binance.localnet.desk import Desk

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio


async def spend(desk: Desk, weight: int) -> None:
    """Use up request weight: a book of 1000 levels costs 20."""
    for _ in range(weight // 20):
        answer = await desk.send("GET", "depth", "symbol=BTCUSDT&limit=1000")
        assert answer.status == 200


async def test_weights_are_counted_per_minute(desk: Desk, clock: list[float]) -> None:
    answer = await desk.send("GET", "depth", "symbol=BTCUSDT&limit=1000")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "20"
    answer = await desk.ask("GET", "income")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "50"
    clock[0] += 60
    answer = await desk.ask("GET", "openOrders")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "40"
    answer = await desk.ask("GET", "openOrders", symbol="BTCUSDT")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "41"


async def test_too_much_weight_is_refused_and_then_banned(desk: Desk, clock: list[float]) -> None:
    clock[0] = 60.0 * 20_000 + 15
    await spend(desk, 2400)
    refused = await desk.send("GET", "time")
    assert (refused.status, refused.code) == (429, -1003)
    assert refused.headers["Retry-After"] == "45"
    clock[0] += 45
    assert (await desk.send("GET", "time")).status == 200
    await spend(desk, 2380)
    await desk.send("GET", "depth", "symbol=BTCUSDT&limit=1000")
    statuses = [(await desk.send("GET", "time")).status for _ in range(70)]
    assert statuses[0] == 429
    assert statuses[-1] == 418
    banned = await desk.send("GET", "time")
    assert banned.code == -1003
    assert re.search(r"banned until \d{13}", banned.body["msg"])
    assert 0 < int(banned.headers["Retry-After"]) <= 120
    clock[0] += 121
    assert (await desk.send("GET", "time")).status == 200


async def test_orders_are_counted_per_account(desk: Desk, clock: list[float]) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    for number in range(1, 301):
        answer = await desk.ask("POST", "order", price="1.0", **order)
        assert answer.headers["X-MBX-ORDER-COUNT-10S"] == str(number)
    refused = await desk.ask("POST", "order", price="49000.0", **order)
    assert (refused.status, refused.code) == (429, -1015)
    assert (await desk.alternative().ask("POST", "order", price="49000.0", **order)).status == 200
    clock[0] += 10
    answer = await desk.ask("POST", "order", price="49000.0", **order)
    assert answer.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert answer.headers["X-MBX-ORDER-COUNT-1M"] == "301"


FAILURES: list[tuple[dict[str, Any], int, int | None]] = [
    ({"kind": FaultKind.HTTP_ERROR}, 503, -1001),
    ({"kind": FaultKind.HTTP_ERROR, "code": "-1008"}, 503, -1008),
    ({"kind": FaultKind.HTTP_ERROR, "status": 502}, 502, -1001),
    ({"kind": FaultKind.UNKNOWN_ERROR}, 503, -1000),
    ({"kind": FaultKind.UNKNOWN_ERROR, "code": "-1007", "status": 408}, 408, -1007),
    ({"kind": FaultKind.RATE_LIMITED, "retry_after": 7}, 429, -1003),
    ({"kind": FaultKind.BANNED, "seconds": 30}, 418, -1003),
    ({"kind": FaultKind.MAINTENANCE}, 503, -1016),
    ({"kind": FaultKind.REJECT, "code": "-2019"}, 400, -2019),
    ({"kind": FaultKind.REJECT, "code": "-1008"}, 503, -1008),
    ({"kind": FaultKind.REJECT, "code": "-2015"}, 401, -2015),
    ({"kind": FaultKind.REJECT, "code": "-9999", "message": "Odd."}, 400, -9999),
    ({"kind": FaultKind.REJECT}, 400, -2010),
]


@pytest.mark.parametrize(("fault", "status", "code"), FAILURES)
async def test_failures_are_said_in_binances_words(
    desk: Desk, fault: dict[str, Any], status: int, code: int
) -> None:
    desk.net.inject(Fault(**fault, operation="order.place", account=desk.name))
    answer = await desk.limit("49000.0")
    assert (answer.status, answer.code) == (status, code)
    assert answer.body["msg"]
    done = fault["kind"] is FaultKind.UNKNOWN_ERROR
    assert bool(desk.truth.open_orders(desk.name)) == done
    if status in (429, 418):
        assert int(answer.headers["Retry-After"]) >= 7


async def test_a_fault_finds_its_account_symbol_and_operation(desk: Desk) -> None:
    desk.net.inject(
        Fault(FaultKind.REJECT, operation="order.*", account=desk.name, symbol="BTC-USDT", code="-2019")
    )
    assert (await desk.limit("49000.0")).code == -2019
    assert (await desk.limit("1900.0", "0.1", symbol="ETHUSDT")).status == 200
    assert (await desk.alternative().limit("49000.0")).status == 200
    body = desk.signed({"symbol": "BTCUSDT", "origClientOrderId": "x"})
    assert (await desk.send("DELETE", "order", body=body)).code == -2019
    assert (await desk.ask("GET", "openOrders", symbol="BTCUSDT")).status == 200


async def test_a_lost_reply_leaves_the_order(desk: Desk) -> None:
    desk.net.inject(Fault(FaultKind.LOST_REPLY, operation="order.place", count=1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await desk.limit("49000.0", newClientOrderId="lost")
    found = await desk.good("GET", "order", symbol="BTCUSDT", origClientOrderId="lost")
    assert found["status"] == "NEW"


async def test_a_late_request_meets_the_window(desk: Desk) -> None:
    """An order that arrives after its window is refused by the exchange, however late that is."""
    desk.net.inject(Fault(FaultKind.LATE_ACCEPT, operation="order.place", seconds=0.3, count=2))
    for name, window in (("in time", 5000), ("too late", 100)):
        with pytest.raises(aiohttp.ClientConnectionError):
            await desk.limit("49000.0", newClientOrderId=name.replace(" ", "-"), recvWindow=window)
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        assert (await user.event("ORDER_TRADE_UPDATE"))["o"]["c"] == "in-time"
        assert await user.silent(0.5)
    assert [order.client_id for order in desk.truth.orders(desk.name)] == ["in-time"]


async def test_a_partial_fill_is_what_it_says(desk: Desk) -> None:
    desk.net.inject(Fault(FaultKind.PARTIAL_FILL, operation="order.place", fraction=0.4, count=1))
    part = await desk.limit("50100.0", "0.100", timeInForce="IOC", newOrderRespType="RESULT")
    assert (part.body["status"], part.body["executedQty"]) == ("EXPIRED", "0.040")


async def test_frames_can_be_hurt(desk: Desk) -> None:
    desk.net.inject(Fault(FaultKind.FRAME_DUPLICATE, topic="user:*@TRADE_LITE", count=1))
    async with desk.stream(f"/private/ws?listenKey={await desk.listen_key()}") as user:
        await user.command("LIST_SUBSCRIPTIONS")
        await desk.market("BUY", "0.01")
        assert await user.event("TRADE_LITE") == await user.event("TRADE_LITE")
    desk.net.inject(Fault(FaultKind.STREAM_DISCONNECT, topic="btcusdt@markPrice*"))
    async with desk.stream("/market/stream?streams=btcusdt@markPrice@1s") as prices:
        message = await prices.socket.receive(5)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
