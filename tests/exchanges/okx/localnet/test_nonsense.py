"""Whatever is sent: an answer in OKX's form, never a bug of the dialect."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx

from fundingarb_okx.localnet.dialect import _ORDERS, _PRIVATE, _PUBLIC

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unlimited")]

NAMES = [
    "instType", "instId", "instIdCode", "instFamily", "uly", "tdMode", "mgnMode", "side", "posSide", "ordType", "sz",
    "px", "newSz", "newPx", "reqId", "clOrdId", "ordId", "tag", "reduceOnly", "tgtCcy", "attachAlgoOrds", "ccy",
    "limit", "after", "before", "begin", "end", "type", "subType", "state", "bar", "lever", "posMode", "timeOut",
    "tier", "quoteCcy", "posId", "autoCxl", "ctType",
]  # fmt: skip
VALUES: list[Any] = [
    None, "", " ", "SWAP", "SPOT", SWAP, "BTC-USDT", "buy", "sell", "limit", "market", "ioc", "fok", "post_only",
    "cross", "isolated", "net", "long", "1", "0", "-1", "990", "0.0001", "1e400", "1e-400", "NaN", "Infinity", "0x10",
    "9" * 100, "1_000", "١", 0, 1, 2, 3, -5, 10**30, 1.5, True, False, [], {}, [1], [{}], {"a": 1}, "ANY", "1H", "USDT",
    "net_mode", "a,b", "%25", "%", "\u0000", "💥", "x" * 300, "true", "10458", "8",
]  # fmt: skip


def parameters(rng: random.Random) -> dict[str, Any]:
    """Usually a plausible contract and mode, and some of everything."""
    chosen = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.randrange(8))}
    likely = {"instType": "SWAP", "instId": SWAP, "tdMode": "cross", "mgnMode": "cross"}
    return chosen | {name: value for name, value in likely.items() if rng.random() < 0.7}


@pytest.mark.parametrize("seed", range(4))
async def test_rest(okx: Okx, seed: int) -> None:
    rng = random.Random(seed)
    await okx.order("buy", "1")
    await okx.order("buy", "1", "990", clOrdId="1")
    codes = set()
    for _ in range(12):
        for entry in _PRIVATE:
            params = parameters(rng)
            if entry.method == "POST":
                answer = await okx.post(entry.path, params)
            else:
                answer = await okx.get(entry.path, **{k: v for k, v in params.items() if v is not None})
            assert answer.status in (200, 400), (entry.path, params, answer.text)
            codes.add(answer.code)
        for order in _ORDERS:
            body = [parameters(rng) for _ in range(rng.randrange(1, 4))]
            answer = await okx.post(order.path, body if order.batch else body[0])
            assert answer.status == 200, (order.path, body, answer.text)
            codes.update(row["sCode"] for row in answer.body["data"])
        for public in _PUBLIC:
            params = parameters(rng)
            answer = await okx.public(public.path, **{k: v for k, v in params.items() if v is not None})
            assert answer.status in (200, 400), (public.path, params, answer.text)
            codes.add(answer.code)
    assert {"0", "51000", "51001"} <= codes
    assert okx.venue.problems == []


async def test_bodies_that_are_not_orders(okx: Okx) -> None:
    path = "/api/v5/trade/order"
    for body in ("[]", "1", '"x"', "null", "{", "\ufeff{}", '{"a":', "NaN", "[" * 5000, "[{},{}]"):
        answer = await okx.send("POST", path, headers=okx.headers("POST", path, body), body=body)
        assert (answer.status, answer.code) == (400, "50002"), body


@pytest.mark.parametrize("path", ["/ws/v5/public", "/ws/v5/private", "/ws/v5/business"])
async def test_websockets(okx: Okx, path: str) -> None:
    rng = random.Random(path)
    socket = await (okx.login() if "private" in path else okx.connect(path))
    ops = [
        "subscribe",
        "unsubscribe",
        "order",
        "batch-orders",
        "cancel-order",
        "amend-order",
        "batch-cancel-orders",
        "nothing",
        5,
        None,
        [],
    ]
    channels: list[Any] = [
        "tickers",
        "books",
        "orders",
        "account",
        "positions",
        "x",
        "",
        None,
        7,
        {},
        "status",
    ]
    for _ in range(200):
        message: dict[str, Any] = {"op": rng.choice(ops)}
        if rng.random() < 0.8:
            subscription = parameters(rng) | {"channel": rng.choice(channels)}
            message["args"] = rng.choice(
                [[subscription], [subscription, subscription], rng.choice(VALUES), [parameters(rng)]]
            )
        if rng.random() < 0.6:
            message["id"] = rng.choice(VALUES)
        if rng.random() < 0.2:
            message["expTime"] = rng.choice(VALUES)
        await socket.raw.send_str(json.dumps(message))
    for text in (
        "",
        "{",
        "[]",
        "5",
        "null",
        "pong",
        "[" * 5000,
        '{"op":"login"}' if "private" not in path else "x",
    ):
        await socket.raw.send_str(text)
    okx.wait(1)
    heard = [await socket.raw.receive_json(timeout=5) for _ in range(150)]
    assert {"error"} <= {one.get("event") for one in heard}
    assert okx.venue.problems == []
