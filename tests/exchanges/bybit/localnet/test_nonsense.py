"""Whatever is sent: an answer in Bybit's form, never a bug of the dialect."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit

from fundingarb.localnet.limits import LimitRule, LimitState
from fundingarb_bybit.localnet.desk import Desk
from fundingarb_bybit.localnet.dialect import _PRIVATE, _PUBLIC

pytestmark = pytest.mark.anyio

NAMES = [
    "category", "symbol", "side", "orderType", "qty", "price", "timeInForce", "positionIdx", "orderLinkId",
    "orderId", "reduceOnly", "closeOnTrigger", "takeProfit", "stopLoss", "tpslMode", "triggerPrice", "settleCoin",
    "baseCoin", "coin", "limit", "cursor", "startTime", "endTime", "start", "end", "interval", "intervalTime",
    "execType", "openOnly", "orderStatus", "accountType", "setMarginMode", "mode", "buyLeverage", "sellLeverage",
    "timeWindow", "request", "type", "currency", "coinName", "status",
]  # fmt: skip
VALUES: list[Any] = [
    None, "", " ", "linear", "spot", "BTCUSDT", "USDT", "Buy", "Sell", "Limit", "Market", "GTC", "IOC", "PostOnly",
    "1", "0", "-1", "990", "0.0001", "1e400", "1e-400", "NaN", "Infinity", "0x10", "9" * 100, "1_000", "١",
    0, 1, 2, 3, -5, 10**30, 1.5, True, False, [], {}, [1], [{}], {"a": 1}, "UNIFIED", "1h", "5", "D",
    "Trade", "Funding", "a,b", "%25", "%", "first=X&last=Y", "\u0000", "💥", "ISOLATED_MARGIN", "x" * 300,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    free = LimitState(LimitRule("free", 10_000, 1.0), 1, False, 1.0)
    monkeypatch.setattr(Desk, "charge", lambda self, rule, key: free)


def parameters(rng: random.Random) -> dict[str, Any]:
    """Usually a plausible category and symbol, and some of everything."""
    chosen = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.randrange(8))}
    if rng.random() < 0.8:
        chosen["category"] = "linear"
    if rng.random() < 0.7:
        chosen["symbol"] = "BTCUSDT"
    if rng.random() < 0.3:
        chosen["request"] = [parameters(rng)]
    return chosen


@pytest.mark.parametrize("seed", range(4))
async def test_rest(bybit: Bybit, seed: int) -> None:
    rng = random.Random(seed)
    await bybit.order("Buy", "1")
    await bybit.order("Buy", "1", "990", orderLinkId="1")
    codes = set()
    for _ in range(12):
        for entry in _PRIVATE:
            params = parameters(rng)
            if entry.method == "POST":
                answer = await bybit.post(entry.path, **params)
            else:
                answer = await bybit.get(entry.path, **{k: v for k, v in params.items() if v is not None})
            assert answer.status == 200, (entry.path, params, answer.text)
            codes.add(answer.code)
        for public in _PUBLIC:
            params = parameters(rng)
            answer = await bybit.public(public.path, **{k: v for k, v in params.items() if v is not None})
            assert answer.status == 200, (public.path, params, answer.text)
            codes.add(answer.code)
    assert {0, 10001} <= codes
    assert bybit.venue.problems == []


async def test_bodies_that_are_not_objects(bybit: Bybit) -> None:
    for body in ("[]", "1", '"x"', "null", "{", "\ufeff{}", '{"a":', "NaN"):
        answer = await bybit.send("POST", "/v5/order/create", headers=bybit.headers(body), body=body)
        assert (answer.status, answer.code) == (200, 10001), body


@pytest.mark.parametrize("path", ["/v5/public/linear", "/v5/private", "/v5/trade"])
async def test_websockets(bybit: Bybit, path: str) -> None:
    rng = random.Random(path)
    socket = await (bybit.connect(path) if "public" in path else bybit.login(path=path))
    ops = [
        "subscribe",
        "unsubscribe",
        "ping",
        "order.create",
        "order.cancel",
        "order.create-batch",
        "nothing",
        5,
        None,
    ]
    topics: list[Any] = [
        "tickers.BTCUSDT",
        "orderbook.50.BTCUSDT",
        "order",
        "x",
        ".",
        "kline..",
        "orderbook.50",
        None,
        7,
        {},
    ]
    sent = 0
    for _ in range(150):
        message: dict[str, Any] = {"op": rng.choice(ops)}
        if rng.random() < 0.8:
            message["args"] = rng.choice(
                [[rng.choice(topics)], rng.choice(VALUES), [parameters(rng)], [rng.choice(topics), "order"]]
            )
        for name in ("req_id", "reqId"):
            if rng.random() < 0.4:
                message[name] = rng.choice([*VALUES, f"{sent}"])
        if rng.random() < 0.7:
            message["header"] = rng.choice(
                [{"X-BAPI-TIMESTAMP": str(bybit.now_ms)}, {}, None, "x", {"X-BAPI-TIMESTAMP": []}]
            )
        await socket.raw.send_str(json.dumps(message))
        sent += 1
    for text in ("", "{", "[]", "5", "null"):
        await socket.raw.send_str(text)
        sent += 1
    bybit.wait(1)
    await socket.send(op="ping", req_id="last", reqId="last")
    replies = 0
    while True:
        reply = await socket.next()
        if "topic" in reply:
            continue
        if "last" in (reply.get("req_id"), reply.get("reqId")):
            break
        replies += 1
    assert replies == sent
    assert bybit.venue.problems == []
