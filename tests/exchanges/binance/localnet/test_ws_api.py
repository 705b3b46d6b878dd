"""Orders over the websocket API: signatures, sessions, errors, faults."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.exchanges.binance.localnet.desk import Desk, Stream

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio

PATH = "/ws-fapi/v1"
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "49000.0",
    "quantity": "0.010",
}


def signed(desk: Desk, **params: Any) -> dict[str, Any]:
    """Parameters with time stamp, key and signature."""
    full = {"apiKey": desk.account["api_key"], "timestamp": round(time.time() * 1000), **params}
    payload = "&".join(f"{name}={full[name]}" for name in sorted(full))
    return {**full, "signature": desk.sign(payload)}


async def test_an_order_from_placing_to_cancelling(desk: Desk) -> None:
    async with desk.stream(PATH) as api:
        placed = await api.command("order.place", signed(desk, **ORDER), "first")
        assert (placed["id"], placed["status"], placed["result"]["status"]) == ("first", 200, "NEW")
        kinds = [(one["rateLimitType"], one["interval"], one["count"]) for one in placed["rateLimits"]]
        assert kinds[:2] == [("ORDERS", "SECOND", 1), ("ORDERS", "MINUTE", 1)]
        named = {"symbol": "BTCUSDT", "orderId": placed["result"]["orderId"]}
        assert (await api.command("order.status", signed(desk, **named)))["result"]["status"] == "NEW"
        changed = signed(desk, **named, side="BUY", price="48000.0", quantity="0.020")
        assert (await api.command("order.modify", changed))["result"]["price"] == "48000.00"
        assert (await api.command("order.cancel", signed(desk, **named)))["result"]["status"] == "CANCELED"
        again = await api.command("order.cancel", signed(desk, **named))
        assert (again["status"], again["error"]["code"]) == (400, -2011)


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("account.balance", "availableBalance"),
        ("v2/account.balance", "availableBalance"),
        ("account.status", "canTrade"),
        ("v2/account.status", "totalWalletBalance"),
        ("account.position", "leverage"),
        ("v2/account.position", "adl"),
    ],
)
async def test_account_requests(desk: Desk, method: str, field: str) -> None:
    await desk.market("BUY", "0.01")
    async with desk.stream(PATH) as api:
        result = (await api.command(method, signed(desk)))["result"]
    assert field in (result[0] if isinstance(result, list) else result)


async def test_market_data_needs_no_signature(desk: Desk) -> None:
    async with desk.stream(PATH) as api:
        assert (await api.command("ping"))["result"] == {}
        assert abs((await api.command("time"))["result"]["serverTime"] / 1000 - time.time()) < 5
        assert (await api.command("ticker.price", {"symbol": "BTCUSDT"}))["result"]["symbol"] == "BTCUSDT"
        assert len((await api.command("ticker.book"))["result"]) == 3
        assert (await api.command("depth", {"symbol": "BTCUSDT", "limit": 5}))["result"]["bids"]


async def test_refusals(desk: Desk) -> None:
    async with desk.stream(PATH) as api:
        good = signed(desk, **ORDER)
        bad = [
            ("order.place", {**good, "signature": "0" * 64}, -1022),
            ("order.place", {**good, "price": "48000.0"}, -1022),
            ("order.place", signed(desk, **ORDER, apiKey="a" * 64), -2015),
            ("order.place", ORDER, -2014),
            ("order.place", signed(desk, **{**ORDER, "timestamp": 1}), -1021),
            ("order.place", signed(desk, **{**ORDER, "price": "49000.05"}), -4014),
            ("order.dance", good, -1000),
        ]
        for method, params, code in bad:
            answer = await api.command(method, params)
            assert (answer["error"]["code"], "result" in answer) == (code, False)
        await api.socket.send_str("nonsense")
        assert (await api.next())["error"]["code"] == -1135
    assert desk.truth.orders(desk.name) == []


async def test_numbers_are_signed_as_they_are_written(desk: Desk) -> None:
    """0.010 and 0.01 are one number but two texts, and the signature is over the text."""
    stamp = round(time.time() * 1000)
    fields = {
        "apiKey": json.dumps(desk.account["api_key"]),
        "price": "49000.0",
        "quantity": "0.010",
        "reduceOnly": "false",
        "side": '"BUY"',
        "symbol": '"BTCUSDT"',
        "timeInForce": '"GTC"',
        "timestamp": str(stamp),
        "type": '"LIMIT"',
    }
    payload = "&".join(f"{name}={value.strip(chr(34))}" for name, value in sorted(fields.items()))
    fields["signature"] = json.dumps(desk.sign(payload))
    body = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    async with desk.stream(PATH) as api:
        await api.socket.send_str(f'{{"id": 12, "method": "order.place", "params": {{{body}}}}}')
        answer = await api.next()
    assert (answer["id"], answer["status"]) == (12, 200), answer


async def test_rate_limits_may_be_left_out(desk: Desk) -> None:
    async with desk.stream(PATH) as api:
        answer = await api.command("account.balance", signed(desk, returnRateLimits="false"))
        assert "rateLimits" not in answer
        assert answer["status"] == 200


async def test_a_session_signs_once(desk: Desk) -> None:
    extra = desk.account["credentials"]
    private = load_pem_private_key(extra["ed25519_private_key"].encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    params = {"apiKey": extra["ed25519_api_key"], "timestamp": round(time.time() * 1000)}
    payload = f"apiKey={params['apiKey']}&timestamp={params['timestamp']}"
    signature = base64.b64encode(private.sign(payload.encode())).decode()
    async with desk.stream(PATH) as api:
        assert (await api.command("session.status"))["result"]["apiKey"] is None
        logon = await api.command("session.logon", {**params, "signature": signature})
        assert logon["result"]["apiKey"] == params["apiKey"]
        stamp = {"timestamp": round(time.time() * 1000)}
        placed = await api.command("order.place", {**ORDER, **stamp})
        assert placed["result"]["status"] == "NEW"
        assert (await api.command("order.place", {**ORDER, "timestamp": 1}))["error"]["code"] == -1021
        assert (await api.command("session.logout"))["result"]["apiKey"] is None
        assert (await api.command("order.place", {**ORDER, **stamp}))["error"]["code"] == -2014


async def test_sessions_are_for_ed25519_keys(desk: Desk) -> None:
    async with desk.stream(PATH) as api:
        assert (await api.command("session.logon", signed(desk)))["error"]["code"] == -4056


async def test_listen_keys(desk: Desk) -> None:
    key = {"apiKey": desk.account["api_key"]}
    async with desk.stream(PATH) as api:
        started = (await api.command("userDataStream.start", key))["result"]["listenKey"]
        assert started == await desk.listen_key()
        assert (await api.command("userDataStream.ping", key))["result"]["listenKey"] == started
        assert (await api.command("userDataStream.stop", key))["result"] == {}
        assert (await api.command("userDataStream.ping", key))["error"]["code"] == -1125


async def test_faults_reach_orders_over_the_websocket(desk: Desk) -> None:
    desk.net.inject(Fault(FaultKind.REJECT, operation="order.place", code="-2019", count=1))
    async with desk.stream(PATH) as api:
        answer = await api.command("order.place", signed(desk, **ORDER))
        assert (answer["status"], answer["error"]["code"]) == (400, -2019)
        desk.net.inject(Fault(FaultKind.LOST_REPLY, operation="order.place", account=desk.name, count=1))
        await api.socket.send_str(
            json.dumps({"id": 1, "method": "order.place", "params": signed(desk, **ORDER)})
        )
        assert await dropped(api)
    assert len(desk.truth.open_orders(desk.name)) == 1


async def dropped(api: Stream) -> bool:
    """Whether the connection ends without an answer."""
    message = await api.socket.receive(5)
    return message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
