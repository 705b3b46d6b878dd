"""Whatever is sent: an answer in the words of indexer or node, never a bug of the dialect."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, Dydx, message, packed

from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb_dydx.localnet.dialect import _INDEXER, DydxDialect

pytestmark = pytest.mark.anyio

NAMES = [
    "address", "subaccountNumber", "parentSubaccountNumber", "limit", "page", "ticker", "market", "marketType",
    "status", "side", "type", "returnLatestOrders", "goodTilBlockAfter", "goodTilBlockBeforeOrAt",
    "goodTilBlockTimeAfter", "createdBeforeOrAt", "createdBeforeOrAtHeight", "effectiveBeforeOrAt", "afterOrAt",
    "effectiveBeforeOrAtHeight", "resolution", "fromISO", "toISO", "timePeriod", "zeroPayments",
]  # fmt: skip
VALUES = [
    "", " ", "0", "1", "-1", "999999999999999999", "1e3", "NaN", "x" * 99, "BTC-USD", "PEPE-USD", "OPEN",
    "OPEN,FILLED",
    "BUY", "LIMIT", "true", "1MIN", "1DAY", "ONE_DAY", "2026-01-05T07:00:00.000Z", "2026-01-05", "0001-01-01T00:00:00",
    "9999-12-31T23:59:59Z", "2026-13-45", "\u0661", "\U0001f4a5", "%00", "PERPETUAL", "a,b", "50000000", "{}", "[]",
]  # fmt: skip


@pytest.fixture
def free(dydx: Dydx, monkeypatch: pytest.MonkeyPatch) -> DydxDialect:
    """Without limits of requests."""
    monkeypatch.setattr(dydx.dialect, "_rate_limits", False)
    return dydx.dialect


def parameters(rng: random.Random, address: str) -> dict[str, str]:
    """Usually an account that is there, and some of everything."""
    chosen = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.randrange(6))}
    if rng.random() < 0.8:
        chosen |= {"address": address, "subaccountNumber": "0", "parentSubaccountNumber": "0"}
    return chosen


@pytest.mark.parametrize("seed", range(3))
async def test_the_indexer(dydx: Dydx, free: DydxDialect, seed: int) -> None:
    rng = random.Random(seed)
    await dydx.order(1, BUY, "1", "1010", tif=IOC)
    await dydx.order(2, BUY, "1", "900", time=dydx.now + 600)
    dydx.block()
    statuses = set()
    for _ in range(10):
        for entry in _INDEXER:
            path = entry.path
            for name in ("address", "subaccountNumber", "parentSubaccountNumber", "ticker", "orderId"):
                known = {"address": dydx.main.address, "ticker": "BTC-USD"}.get(name, "0")
                value = known if rng.random() < 0.7 else rng.choice(["nope", "-1", "7", "%F0%9F%92%A5"])
                path = path.replace(f"{{{name}}}", value)
            params = parameters(rng, dydx.main.address)
            async with dydx.http.get(dydx.rest + path, params=params) as response:
                body = await response.json()
                statuses.add(response.status)
                assert response.status in (200, 400, 404), (path, params, body)
                assert response.status == 200 or body["errors"][0]["msg"], (path, params, body)
    assert statuses == {200, 400, 404}
    assert dydx.venue.problems == []


async def test_the_node(dydx: Dydx) -> None:
    # with a fault installed, requests are looked at before they are answered
    dydx.venue.faults.install(Fault(FaultKind.LATENCY, operation="nothing"))
    for body in (b"", b"[]", b"1", b"null", b"{", b'{"method": 5}', b'{"method": "x", "params": 1}'):
        for path in ("/", "/cosmos/tx/v1beta1/txs"):
            async with dydx.http.post(dydx.rest + path, data=body) as response:
                answer = await response.json()
                assert response.status in (200, 400, 500), (path, body, answer)
    for tx in ("", "0x", "0x1", "zz", '"quoted"', "0x" + "ff" * 2000):
        async with dydx.http.get(f"{dydx.rest}/broadcast_tx_sync", params={"tx": tx}) as response:
            answer = await response.json()
            assert ("error" in answer) == (response.status == 500), (tx, answer)
    for query in ("block?height=0", "block?height=x", "tx?hash=0xAB", "block?height=99999999999999999999"):
        async with dydx.http.get(f"{dydx.rest}/{query}") as response:
            assert response.status == 500
    assert dydx.venue.problems == []


async def test_transactions_with_bits_turned(dydx: Dydx) -> None:
    rng = random.Random(1)
    height = await dydx.height()
    good = dydx.main.sign(dydx.main.place(1, BUY, 10**7, 9 * 10**7, block=height + 5, tif=IOC))
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        result = await dydx.broadcast(bytes(data))
        assert result["code"] in (2, 4, 8, 9, 18) or bytes(data) == good, result
    # and signed ones whose fields are anything
    for number in range(60):
        fields = {f"{rng.choice('fx')}{rng.randrange(2, 18)}": rng.randrange(2**32) for _ in range(5)}
        order = message(f1=dydx.main.order_id(number, rng.choice([0, 32, 64, 7])), **fields)
        placed = packed("/dydxprotocol.clob.MsgPlaceOrder", message(f1=order))
        await dydx.broadcast(dydx.main.sign(placed, sequence=dydx.sequence()))
        dydx.block()
    assert dydx.venue.problems == []


async def test_the_websocket(dydx: Dydx) -> None:
    socket = await dydx.connect()
    for text in ("", "{", "[]", "1", "null", '"x"', "{}", '{"type": ["subscribe"]}'):
        await socket.raw.send_str(text)
        assert (await socket.next())["type"] == "error", text
    rng = random.Random(2)
    values: list[Any] = [
        None,
        1,
        -1,
        True,
        [],
        {},
        "",
        "v4_orderbook",
        "v4_markets",
        "BTC-USD",
        "x/y",
        "\u0000",
    ]
    for _ in range(100):
        fields = {name: rng.choice(values) for name in ("channel", "id", "batched", "timestamp")}
        await socket.raw.send_str(
            json.dumps({"type": rng.choice(["subscribe", "unsubscribe", "ping"])} | fields)
        )
    await socket.send(type="ping", id="last")
    while (answer := await socket.next()).get("id") != "last" or answer["type"] != "pong":
        pass
    assert dydx.venue.problems == []
