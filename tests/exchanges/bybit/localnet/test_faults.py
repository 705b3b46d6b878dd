"""Injected faults in Bybit's words, matched by what a request is for."""

from __future__ import annotations

import aiohttp
import anyio
import pytest
from tests.exchanges.bybit.localnet.venue import Bybit

from fundingarb.localnet.faults import Fault, FaultKind

pytestmark = pytest.mark.anyio


def install(bybit: Bybit, kind: FaultKind, operation: str, **fields: object) -> None:
    bybit.venue.faults.install(Fault(kind, operation=operation, count=1, **fields))  # type: ignore[arg-type]


async def test_a_server_error_is_a_page_of_the_proxy_or_a_code(bybit: Bybit) -> None:
    install(bybit, FaultKind.HTTP_ERROR, "order.place")
    answer = await bybit.order("Buy", "1", "990")
    assert (answer.status, answer.text[:6]) == (503, "<html>")
    install(bybit, FaultKind.HTTP_ERROR, "order.place", status=502)
    assert (await bybit.order("Buy", "1", "990")).status == 502
    install(bybit, FaultKind.HTTP_ERROR, "order.place", code="10016")
    answer = await bybit.order("Buy", "1", "990")
    assert (answer.status, answer.code) == (200, 10016)
    assert bybit.truth.orders("main") == []


async def test_an_unknown_outcome_is_a_timeout_of_the_server(bybit: Bybit) -> None:
    install(bybit, FaultKind.UNKNOWN_ERROR, "order.place")
    answer = await bybit.order("Buy", "1", "990", orderLinkId="maybe")
    assert (answer.status, answer.code, answer.body["retMsg"]) == (200, 10000, "Server Timeout")
    assert [row["orderLinkId"] for row in await bybit.orders()] == ["maybe"]


async def test_a_lost_reply_cuts_the_connection_after_the_order(bybit: Bybit) -> None:
    install(bybit, FaultKind.LOST_REPLY, "order.place")
    with pytest.raises(aiohttp.ClientConnectionError):
        await bybit.order("Buy", "1", "990", orderLinkId="done")
    assert [row["orderLinkId"] for row in await bybit.orders()] == ["done"]


async def test_a_late_order_arrives_later(bybit: Bybit) -> None:
    bybit.clock.speed = 50.0
    install(bybit, FaultKind.LATE_ACCEPT, "order.place", seconds=2.0)
    with pytest.raises(aiohttp.ClientConnectionError):
        await bybit.order("Buy", "1", "990", orderLinkId="late")
    assert await bybit.orders() == []
    with anyio.fail_after(30):
        while not bybit.truth.orders("main"):
            await bybit.public("/v5/market/time")
    assert [row["orderLinkId"] for row in await bybit.orders()] == ["late"]


async def test_too_many_requests(bybit: Bybit) -> None:
    install(bybit, FaultKind.RATE_LIMITED, "positions.read", retry_after=2.0)
    answer = await bybit.get("/v5/position/list", category="linear", symbol="BTCUSDT")
    assert (answer.status, answer.code) == (200, 10006)
    assert int(answer.headers["X-Bapi-Limit-Reset-Timestamp"]) == bybit.now_ms + 2000
    assert answer.headers["X-Bapi-Limit-Status"] == "0"


async def test_a_ban_is_403(bybit: Bybit) -> None:
    bybit.venue.faults.install(Fault(FaultKind.BANNED, operation="balance.read", count=1, seconds=600.0))
    answer = await bybit.get("/v5/account/wallet-balance", accountType="UNIFIED")
    assert (answer.status, answer.text) == (403, "403, access too frequent")
    assert (await bybit.public("/v5/market/time")).status == 403
    bybit.venue.faults.clear()
    assert (await bybit.public("/v5/market/time")).status == 200


async def test_maintenance(bybit: Bybit) -> None:
    bybit.venue.faults.install(Fault(FaultKind.MAINTENANCE))
    answer = await bybit.order("Buy", "1", "990")
    assert (answer.status, answer.code, answer.body["retMsg"]) == (200, 10016, "Service is restarting.")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await bybit.connect("/v5/private")
    assert refused.value.status == 503


async def test_a_rejection_says_what_the_fault_says(bybit: Bybit) -> None:
    install(bybit, FaultKind.REJECT, "order.place", code="110007", message="ab not enough for new order")
    answer = await bybit.order("Buy", "1", "990")
    assert (answer.code, answer.body["retMsg"]) == (110007, "ab not enough for new order")
    assert bybit.truth.orders("main") == []


@pytest.mark.parametrize(
    ("operation", "path", "params"),
    [
        ("order.query", "/v5/order/realtime", {"symbol": "BTCUSDT", "orderLinkId": "x"}),
        ("orders.open", "/v5/order/realtime", {"symbol": "BTCUSDT"}),
        ("orders.history", "/v5/order/history", {}),
        ("fills.read", "/v5/execution/list", {}),
        ("funding.payments", "/v5/execution/list", {"execType": "Funding"}),
        ("funding.payments", "/v5/account/transaction-log", {"type": "SETTLEMENT"}),
        ("ledger.read", "/v5/account/transaction-log", {}),
        ("positions.read", "/v5/position/list", {"symbol": "BTCUSDT"}),
        ("balance.read", "/v5/account/wallet-balance", {"accountType": "UNIFIED"}),
        ("account.read", "/v5/account/info", {}),
        ("fees.read", "/v5/account/fee-rate", {}),
        ("keys.read", "/v5/user/query-api", {}),
        ("rates.read", "/v5/market/tickers", {}),
        ("funding.history", "/v5/market/funding/history", {"symbol": "BTCUSDT"}),
        ("book.read", "/v5/market/orderbook", {"symbol": "BTCUSDT"}),
        ("instruments.read", "/v5/market/instruments-info", {}),
        ("time.read", "/v5/market/time", {}),
    ],
)
async def test_operations_have_the_names_faults_match(
    bybit: Bybit, operation: str, path: str, params: dict[str, str]
) -> None:
    """The fault fires for this request and for no other."""
    bybit.venue.faults.install(Fault(FaultKind.REJECT, operation=operation, code="77"))
    query = {"category": "linear"} | params
    assert (await bybit.get(path, **query)).code == 77
    others = {"/v5/market/time", "/v5/account/info"} - {path}
    for other in others:
        assert (await bybit.get(other)).code == 0


async def test_faults_match_account_and_symbol(bybit: Bybit) -> None:
    fields = {"account": "main", "symbol": "BTC-USDT"}
    bybit.venue.faults.install(Fault(FaultKind.REJECT, operation="order.place", code="77", **fields))  # type: ignore[arg-type]
    assert (await bybit.order("Buy", "1", "990", account="other")).code == 0
    assert (await bybit.order("Buy", "1", "990")).code == 77


async def test_a_skewed_clock_shows_and_refuses(bybit: Bybit) -> None:
    bybit.venue.faults.install(Fault(FaultKind.CLOCK_SKEW, seconds=30.0))
    body = (await bybit.public("/v5/market/time")).body
    assert body["time"] == bybit.now_ms + 30_000
    assert (await bybit.get("/v5/account/info")).code == 10002


async def test_frames_are_matched_by_topic(bybit: Bybit) -> None:
    bybit.venue.faults.install(Fault(FaultKind.FRAME_DUPLICATE, topic="order@*"))
    bybit.venue.faults.install(Fault(FaultKind.FRAME_LOST, topic="execution@*"))
    socket = await bybit.login()
    await socket.subscribe("order", "execution", "wallet")
    await bybit.order("Buy", "1")
    topics = [(await socket.next())["topic"] for _ in range(3)]
    assert topics == ["order", "order", "wallet"]
