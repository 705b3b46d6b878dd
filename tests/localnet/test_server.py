"""A dialect over real sockets: requests, streams, and every kind of fault around them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from tests.localnet.still import START, StillModel
from tests.localnet.toy import OtherDialect, ToyDialect

from fundingarb.localnet.faults import Fault, FaultKind
from fundingarb.localnet.run import Localnet, Options, run_localnets
from fundingarb.localnet.truth.types import OrderStatus

pytestmark = pytest.mark.anyio

DEADLINE = 5.0

Socket = Any
"""A websocket; its type has parameters in some versions of aiohttp."""


@dataclass
class Client:
    """Talks to the toy exchange."""

    net: Localnet
    http: aiohttp.ClientSession
    dialect: ToyDialect

    @property
    def key(self) -> str:
        return str(self.net.ready["exchanges"]["toy"]["accounts"][0]["api_key"])

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        rest = self.net.ready["exchanges"]["toy"]["rest"]
        async with self.http.request(method, rest + path, headers={"X-Key": self.key}, **arguments) as answer:
            return answer.status, await answer.json()

    async def buy(self, client_id: str, **fields: Any) -> tuple[int, Any]:
        body = {"instrument": "BTCUSDT", "side": "BUY", "quantity": "0.1", "client_id": client_id, **fields}
        return await self.call("POST", "/order", json=body)

    async def found(self, client_id: str) -> Any:
        return (await self.call("GET", "/order", params={"client_id": client_id}))[1]

    @asynccontextmanager
    async def stream(self, *topics: str) -> AsyncIterator[Socket]:
        """A private stream, subscribed."""
        async with self.http.ws_connect(self.net.ready["exchanges"]["toy"]["ws"]) as socket:
            await socket.send_json({"op": "login", "key": self.key})
            assert (await receive(socket))["ok"] == "login"
            for topic in topics:
                await socket.send_json({"op": "subscribe", "topic": topic})
                assert (await receive(socket))["ok"] == "subscribe"
            yield socket

    def inject(self, kind: str, **fields: Any) -> None:
        self.net.inject(Fault(FaultKind(kind), exchange="toy", **fields))


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something on the server's side that nobody announces."""
    with anyio.fail_after(DEADLINE):
        while not happened():  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def receive(socket: Socket) -> Any:
    with anyio.fail_after(DEADLINE):
        message = await socket.receive()
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return msgspec.json.decode(message.data)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    dialect = ToyDialect()
    model = StillModel()
    options = Options(seed=3, speed=20, start=START)
    async with (
        run_localnets({"toy": lambda: dialect, "other": OtherDialect}, options, model=model) as net,
        aiohttp.ClientSession() as http,
    ):
        yield Client(net, http, dialect)


async def test_a_request_reaches_the_truth_and_its_answer_comes_back(client: Client) -> None:
    status, order = await client.buy("x", price="990")
    assert (status, order["status"]) == (200, "NEW")
    (truth,) = client.net.truth("toy").open_orders("toy")
    assert truth.id == order["id"]
    assert START <= truth.created_ms / 1000 < START + 20 * DEADLINE
    status, order = await client.call("DELETE", "/order", params={"instrument": "BTCUSDT", "client_id": "x"})
    assert order["status"] == "CANCELED"
    status, answer = await client.call(
        "DELETE", "/order", params={"instrument": "BTCUSDT", "client_id": "nothing"}
    )
    assert (status, answer["refused"]) == (400, "UNKNOWN_ORDER")


async def test_a_bug_in_a_dialect_is_kept_and_answered(client: Client) -> None:
    status, answer = await client.call("GET", "/bug")
    assert (status, answer["failure"]) == (503, "server_error")
    assert [type(problem) for problem in client.net.problems] == [ZeroDivisionError]


async def test_lost_reply_happened_and_lost_request_did_not(client: Client) -> None:
    client.inject("lost_reply", operation="order.place", count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.buy("happened")
    assert (await client.found("happened"))["status"] == "FILLED"
    client.inject("lost_request", operation="order.place", count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.buy("lost")
    assert await client.found("lost") is None
    assert (await client.buy("fine"))[0] == 200


async def test_a_late_request_is_executed_later(client: Client) -> None:
    client.inject("late_accept", operation="order.place", count=1, seconds=6.0)
    with pytest.raises(aiohttp.ClientError):
        await client.buy("late")
    assert await client.found("late") is None
    truth = client.net.venues["toy"].truth
    await until(lambda: bool(truth.orders("toy")))
    assert (await client.found("late"))["status"] == "FILLED"
    assert client.net.problems == []


async def test_latency(client: Client) -> None:
    client.inject("latency", operation="book.read", seconds=0.3)
    begun = time.monotonic()
    await client.call("GET", "/book", params={"instrument": "BTCUSDT"})
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(
    ("kind", "fields", "status", "failure", "executed"),
    [
        ("http_error", {"status": 502}, 502, "server_error", False),
        ("unknown_error", {}, 503, "unknown", True),
        ("rate_limited", {"retry_after": 7}, 429, "rate_limited", False),
        ("banned", {"seconds": 90}, 418, "banned", False),
        ("maintenance", {}, 503, "maintenance", False),
        ("reject", {"code": "-4164", "message": "too small"}, 400, "rejected", False),
    ],
)
async def test_failures_are_rendered_by_the_dialect(
    client: Client, kind: str, fields: dict[str, Any], status: int, failure: str, executed: bool
) -> None:
    client.inject(kind, operation="order.place", count=1, **fields)
    got, answer = await client.buy("x")
    assert (got, answer["failure"], answer["code"]) == (status, failure, fields.get("code"))
    client.net.control.clear()
    assert (await client.found("x") is not None) is executed


async def test_faults_match_account_and_symbol(client: Client) -> None:
    client.inject("reject", account="toy-alt")
    client.inject("reject", symbol="ETH-USDT")
    assert (await client.buy("x"))[0] == 200
    client.inject("reject", account="toy", symbol="BTC-USDT")
    assert (await client.buy("y"))[0] == 400


async def test_partial_fill(client: Client) -> None:
    client.inject("partial_fill", operation="order.place", count=1, fraction=0.5)
    _, order = await client.buy("x", price="1001")
    assert (order["status"], Decimal(order["filled"])) == ("PARTIALLY_FILLED", Decimal("0.05"))


async def test_order_events_and_books_are_streamed(client: Client) -> None:
    async with client.stream("book:BTCUSDT") as socket:
        assert (await receive(socket))["book"]["instrument"] == "BTCUSDT"
        await client.buy("x")
        seen: list[tuple[str, str]] = []
        while len(seen) < 2:
            message = await receive(socket)
            if "order" in message:
                seen.append((message["execution"], message["order"]["client_id"]))
        assert seen == [("NEW", "x"), ("TRADE", "x")]


async def test_publishing_keeps_to_its_rhythm(client: Client) -> None:
    """Every simulated second at speed 20 is every 50 ms."""
    async with client.stream("book:BTCUSDT") as socket:
        begun = time.monotonic()
        for _ in range(12):
            await receive(socket)
        passed = time.monotonic() - begun
    assert 0.4 < passed < 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("frame_duplicate", ["NEW", "NEW", "TRADE", "TRADE"]),
        ("frame_lost", []),
        ("frame_reorder", ["TRADE", "NEW"]),
    ],
)
async def test_frame_faults(client: Client, kind: str, expected: list[str]) -> None:
    async with client.stream() as socket:
        client.inject(kind, topic="orders:*")
        await client.buy("x")
        await socket.send_json({"op": "marker"})
        seen = []
        while "ok" not in (message := await receive(socket)):
            seen.append(message["execution"])
        assert seen == expected


async def test_malformed_frames(client: Client) -> None:
    async with client.stream() as socket:
        client.inject("frame_malformed", topic="orders:*", count=1)
        await client.buy("x")
        message = await socket.receive()
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(message.data)
        assert (await receive(socket))["execution"] == "TRADE"


async def test_a_stream_is_cut_or_falls_silent(client: Client) -> None:
    async with client.stream() as cut, client.stream() as silent:
        client.inject("stream_disconnect", topic="orders:*", count=1)
        client.inject("stream_stall", topic="orders:*", count=1, skip=1)
        await client.buy("x")
        with anyio.fail_after(DEADLINE):
            message = await cut.receive()
            assert message.type in (
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.ERROR,
            )
        await silent.send_json({"op": "marker"})
        seen = []
        with anyio.move_on_after(0.3):
            while True:
                seen.append((await silent.receive()).data)
        assert len(seen) <= 1, "at most the frame before the stall"
        assert not silent.closed


async def test_maintenance_closes_streams(client: Client) -> None:
    async with client.stream() as socket:
        client.inject("maintenance")
        with anyio.fail_after(DEADLINE):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1012
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with client.stream():
                pass
        client.net.control.clear()
        async with client.stream():
            pass


async def test_a_slow_consumer_is_dropped(client: Client) -> None:
    async with client.stream() as socket:
        (session,) = client.net.venues["toy"].hub.sessions
        frame = b'"' + b"x" * 100_000 + b'"'
        for _ in range(5000):
            session.send(frame)
        with anyio.fail_after(DEADLINE):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        await until(lambda: not client.net.venues["toy"].hub.sessions)
    assert not client.net.venues["toy"].hub.wanted("orders:toy")


async def test_clock_skew_moves_the_exchanges_clock_only(client: Client) -> None:
    venue = client.net.venues["toy"]
    now = round(client.net.clock.now() * 1000)
    assert abs(venue.age_ms(now)) < 1000
    client.inject("clock_skew", seconds=30)
    assert venue.server_ms() - client.net.clock.now() * 1000 == pytest.approx(30_000 * 20, abs=20_000)
    assert venue.age_ms(client.net.clock.now() * 1000) == pytest.approx(30_000, abs=500)
    assert venue.truth.now == pytest.approx(client.net.clock.now(), abs=60)


async def test_immediate_faults(client: Client) -> None:
    truth = client.net.truth("toy")
    await client.buy("x")
    mark = truth.mark("BTCUSDT")
    client.inject("price_gap", symbol="BTC-USDT", factor=0.9)
    assert float(truth.mark("BTCUSDT") / mark) == pytest.approx(0.9)
    assert client.net.truth("other").mark("BTCUSDT") == mark
    client.inject("funding_interval", symbol="BTC-USDT", hours=1)
    assert truth.funding("BTCUSDT").interval_hours == 1
    client.inject("adl", account="toy", symbol="BTC-USDT", fraction=0.5)
    assert truth.positions("toy")[0].quantity == Decimal("0.05")
    client.inject("liquidation", account="toy", symbol="BTC-USDT")
    assert truth.positions("toy") == []
    assert truth.orders("toy")[-1].status is OrderStatus.FILLED
    assert client.net.venues["toy"].faults.faults == ()


async def test_time_runs_and_funding_settles_while_nobody_asks(client: Client) -> None:
    await client.buy("x")
    truth = client.net.venues["toy"].truth
    truth.set_funding("BTCUSDT", rate=truth.funding("BTCUSDT").cap)
    before = truth.now
    await until(lambda: truth.now >= before + 10)


async def test_a_seed_gives_the_same_keys(client: Client) -> None:
    async with run_localnets({"toy": ToyDialect}, Options(seed=3), model=StillModel()) as again:
        accounts = again.ready["exchanges"]["toy"]["accounts"]
    assert accounts == client.net.ready["exchanges"]["toy"]["accounts"]
    assert [one["name"] for one in accounts] == ["toy", "toy-alt"]
    assert accounts[0]["credentials"] == {"name": "toy"}
    assert accounts[0]["api_key"] != accounts[1]["api_key"]


async def test_time_to_get_ready_is_not_counted() -> None:
    """With ``lead`` the simulated clock reaches the start so many real seconds after the localnet is up."""
    options = Options(speed=1000, start=START, lead=2.0)
    async with run_localnets({"toy": ToyDialect}, options, model=StillModel()) as net:
        assert net.clock.now() < START
        assert net.ready["clock"]["epoch"] == START - 2000


async def test_what_a_caller_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with run_localnets({"toy": ToyDialect}, Options(start=START), model=StillModel()):
            raise ZeroDivisionError


async def test_a_bug_of_the_truth_is_kept_and_the_other_exchange_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(now: float) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(client.net.venues["toy"].truth, "advance", broken)
    other = client.net.venues["other"].truth
    before = other.now
    await until(lambda: other.now > before + 2 and bool(client.net.problems))
    assert {str(problem) for problem in client.net.problems} == {"broken"}
