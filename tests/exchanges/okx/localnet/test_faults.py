"""Injected faults in OKX's words, matched by what a request is for; on REST and on the websocket."""

from __future__ import annotations

import asyncio

import aiohttp
import anyio
import pytest
from tests.exchanges.okx.localnet.venue import SWAP, Okx

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio


def install(okx: Okx, kind: FaultKind, operation: str, **fields: object) -> None:
    okx.venue.faults.install(Fault(kind, operation=operation, count=1, **fields))  # type: ignore[arg-type]


async def test_a_server_error_is_a_code_or_a_page_of_the_proxy(okx: Okx) -> None:
    install(okx, FaultKind.HTTP_ERROR, "order.place")
    answer = await okx.order("buy", "1", "990")
    assert (answer.status, answer.code, answer.body["data"]) == (500, "50026", [])
    install(okx, FaultKind.HTTP_ERROR, "order.place", status=502)
    answer = await okx.order("buy", "1", "990")
    assert (answer.status, answer.text[:6]) == (502, "<html>")
    install(okx, FaultKind.HTTP_ERROR, "order.place", code="50013")
    answer = await okx.order("buy", "1", "990")
    assert (answer.status, answer.code) == (429, "50013")
    assert okx.truth.orders("main") == []


async def test_an_order_of_unknown_outcome_timed_out(okx: Okx) -> None:
    install(okx, FaultKind.UNKNOWN_ERROR, "order.place")
    answer = await okx.order("buy", "1", "990", clOrdId="maybe")
    (row,) = answer.body["data"]
    assert (answer.status, answer.code, row["sCode"], row["clOrdId"]) == (500, "1", "51149", "maybe")
    assert (await okx.find(clOrdId="maybe"))["state"] == "live"


async def test_a_setting_of_unknown_outcome_timed_out(okx: Okx) -> None:
    install(okx, FaultKind.UNKNOWN_ERROR, "leverage.set")
    body = {"instId": SWAP, "lever": "9", "mgnMode": "cross"}
    answer = await okx.post("/account/set-leverage", body)
    assert (answer.status, answer.code) == (400, "50004")
    assert okx.truth.leverage("main", SWAP) == 9


async def test_every_order_of_a_batch_fails_alike(okx: Okx) -> None:
    install(okx, FaultKind.UNKNOWN_ERROR, "order.place")
    orders = [okx.request("buy", "1", "990", clOrdId=name) for name in ("a1", "a2")]
    answer = await okx.post("/trade/batch-orders", orders)
    assert (answer.status, answer.code) == (500, "1")
    assert [(row["clOrdId"], row["sCode"]) for row in answer.body["data"]] == [
        ("a1", "51149"),
        ("a2", "51149"),
    ]
    assert len(okx.truth.open_orders("main")) == 2


async def test_a_lost_reply_cuts_the_connection_after_the_order(okx: Okx) -> None:
    install(okx, FaultKind.LOST_REPLY, "order.place")
    with pytest.raises(aiohttp.ClientConnectionError):
        await okx.order("buy", "1", "990", clOrdId="done")
    assert (await okx.find(clOrdId="done"))["state"] == "live"


async def test_a_late_order_arrives_later(okx: Okx) -> None:
    okx.clock.speed = 50.0
    install(okx, FaultKind.LATE_ACCEPT, "order.place", seconds=2.0)
    with pytest.raises(aiohttp.ClientConnectionError):
        await okx.order("buy", "1", "990", clOrdId="late")
    assert okx.truth.orders("main") == []
    with anyio.fail_after(30):
        while not okx.truth.orders("main"):
            await okx.public("/public/time")
    assert (await okx.find(clOrdId="late"))["state"] == "live"


async def test_a_late_order_with_a_deadline_does_not(okx: Okx) -> None:
    """What arrives after its ``expTime`` is refused, whoever was late."""
    install(okx, FaultKind.LATE_ACCEPT, "order.place", seconds=0.1)
    deadline = {"expTime": str(okx.now_ms + 1000)}
    with pytest.raises(aiohttp.ClientConnectionError):
        await okx.order("buy", "1", "990", headers=deadline, clOrdId="late")
    okx.clock.advance(2)
    with anyio.move_on_after(0.5):
        while not okx.truth.orders("main"):
            await okx.public("/system/status")
    assert okx.truth.orders("main") == []


async def test_too_many_requests(okx: Okx) -> None:
    install(okx, FaultKind.RATE_LIMITED, "positions.read", retry_after=2.0)
    answer = await okx.get("/account/positions")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "50011", "2")


async def test_a_ban_is_a_page(okx: Okx) -> None:
    okx.venue.faults.install(Fault(FaultKind.BANNED, operation="balance.read", count=1, seconds=600.0))
    answer = await okx.get("/account/balance")
    assert (answer.status, answer.text[:6]) == (403, "<html>")
    assert (await okx.public("/public/time")).status == 403
    okx.venue.faults.clear()
    assert (await okx.public("/public/time")).status == 200


async def test_maintenance(okx: Okx) -> None:
    okx.venue.faults.install(Fault(FaultKind.MAINTENANCE))
    answer = await okx.order("buy", "1", "990")
    assert (answer.status, answer.code) == (503, "50001")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await okx.connect("/ws/v5/private")
    assert refused.value.status == 503


async def test_a_rejection_says_what_the_fault_says(okx: Okx) -> None:
    """Codes about orders stand in the row of the order, others in the reply."""
    install(okx, FaultKind.REJECT, "order.place", code="51008", message="Order failed.")
    assert (await okx.order("buy", "1", "990", clOrdId="no")).failed == ("51008", "Order failed.")
    install(okx, FaultKind.REJECT, "order.place", code="50030", message="No.")
    answer = await okx.order("buy", "1", "990")
    assert (answer.status, answer.code, answer.body["msg"]) == (200, "50030", "No.")
    install(okx, FaultKind.REJECT, "order.cancel")
    assert (await okx.cancel(clOrdId="x")).failed[0] == "51000"
    assert okx.truth.orders("main") == []


@pytest.mark.parametrize(
    ("operation", "path", "params"),
    [
        ("order.query", "/trade/order", {"instId": SWAP, "clOrdId": "x"}),
        ("orders.open", "/trade/orders-pending", {}),
        ("orders.history", "/trade/orders-history", {"instType": "SWAP"}),
        ("fills.read", "/trade/fills", {}),
        ("funding.payments", "/account/bills-archive", {"type": "8"}),
        ("ledger.read", "/account/bills", {}),
        ("positions.read", "/account/positions", {}),
        ("balance.read", "/account/balance", {}),
        ("account.read", "/account/config", {}),
        ("fees.read", "/account/trade-fee", {"instType": "SWAP"}),
        ("leverage.read", "/account/leverage-info", {"instId": SWAP, "mgnMode": "cross"}),
        ("rates.read", "/public/funding-rate", {"instId": "ANY"}),
        ("funding.history", "/public/funding-rate-history", {"instId": SWAP}),
        ("book.read", "/market/books", {"instId": SWAP}),
        ("ticker.read", "/public/mark-price", {"instType": "SWAP"}),
        ("instruments.read", "/public/instruments", {"instType": "SWAP"}),
        ("time.read", "/public/time", {}),
    ],
)
async def test_operations_have_the_names_faults_match(
    okx: Okx, operation: str, path: str, params: dict[str, str]
) -> None:
    """The fault fires for this request and for no other."""
    okx.venue.faults.install(Fault(FaultKind.REJECT, operation=operation, code="77"))
    assert (await okx.get(path, **params)).code == "77"
    for other in {"/public/time", "/account/config"} - {path}:
        assert (await okx.get(other)).code == "0"


async def test_faults_match_account_and_symbol(okx: Okx) -> None:
    fields = {"account": "main", "symbol": "BTC-USDT"}
    okx.venue.faults.install(Fault(FaultKind.REJECT, operation="order.place", code="51009", **fields))  # type: ignore[arg-type]
    assert (await okx.order("buy", "1", "990", account="other")).code == "0"
    assert (await okx.order("buy", "1", "990")).failed[0] == "51009"
    batch = [okx.request("buy", "1", "990")]
    assert (await okx.post("/trade/batch-orders", batch)).failed[0] == "51009"


async def test_a_skewed_clock_shows_and_refuses(okx: Okx) -> None:
    okx.venue.faults.install(Fault(FaultKind.CLOCK_SKEW, seconds=60.0))
    assert (await okx.public("/public/time")).row["ts"] == str(okx.now_ms + 60_000)
    assert (await okx.get("/account/config")).code == "50102"


async def test_an_order_fills_in_part(okx: Okx) -> None:
    install(okx, FaultKind.PARTIAL_FILL, "order.place", fraction=0.4)
    await okx.order("buy", "10", "1010", ordType="ioc", clOrdId="part")
    found = await okx.find(clOrdId="part")
    assert (found["state"], found["accFillSz"]) == ("canceled", "4")


# -- websockets --------------------------------------------------------------------------------------------------


async def test_frames_are_matched_by_topic(okx: Okx) -> None:
    okx.venue.faults.install(Fault(FaultKind.FRAME_DUPLICATE, topic="orders:main*"))
    okx.venue.faults.install(Fault(FaultKind.FRAME_LOST, topic="positions:*"))
    socket = await okx.login()
    await socket.subscribe(
        {"channel": "orders", "instType": "SWAP"},
        {"channel": "positions", "instType": "SWAP"},
        {"channel": "account", "extraParams": '{"updateInterval":"0"}'},
    )
    await okx.order("buy", "1", "1010")
    channels = [one["arg"]["channel"] for one in await socket.rest()]
    assert channels == ["orders"] * 4 + ["account"]


async def test_orders_over_the_websocket_meet_the_same_faults(okx: Okx) -> None:
    socket = await okx.login()
    order = okx.request("buy", "1", "990")
    install(okx, FaultKind.UNKNOWN_ERROR, "order.place", symbol="BTC-USDT")
    reply = await socket.ask(id="1", op="order", args=[order | {"clOrdId": "maybe"}])
    assert (reply["code"], reply["data"][0]["sCode"]) == ("1", "51149")
    assert (await okx.find(clOrdId="maybe"))["state"] == "live"
    install(okx, FaultKind.HTTP_ERROR, "order.place")
    reply = await socket.ask(id="2", op="order", args=[order])
    assert (reply["code"], reply["data"]) == ("50026", [])
    install(okx, FaultKind.LOST_REPLY, "order.cancel")
    await socket.send(id="3", op="cancel-order", args=[{"instId": SWAP, "clOrdId": "maybe"}])
    message = await socket.raw.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
    assert (await okx.find(clOrdId="maybe"))["state"] == "canceled"


async def test_streams_that_are_cut_or_fall_silent(okx: Okx) -> None:
    arg = {"channel": "tickers", "instId": SWAP}
    socket = await okx.connect()
    await socket.subscribe(arg)
    okx.venue.faults.install(Fault(FaultKind.STREAM_STALL, topic="tickers:*", count=1))
    okx.model.price = 1005.0
    okx.wait(1)
    with pytest.raises(asyncio.TimeoutError):  # of Python 3.10 this is not the builtin one
        await socket.raw.receive(timeout=0.2)
    okx.venue.faults.clear()
    await socket.raw.close()
    other = await okx.connect()
    await other.subscribe(arg)
    okx.venue.faults.install(Fault(FaultKind.STREAM_DISCONNECT, topic="tickers:*", count=1))
    okx.model.price = 1007.0
    okx.wait(1)
    message = await other.raw.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
