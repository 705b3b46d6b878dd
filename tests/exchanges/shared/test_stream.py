"""The stream client against a small websocket server: it stays connected, and it survives what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import anyio
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from fundingarb.errors import BadMessage, ExchangeUnavailable
from fundingarb.exchanges.stream import Backoff, Connection, StreamEnded, Subscription, run_stream
from fundingarb.testing import StreamLog

pytestmark = pytest.mark.anyio

Serve = Callable[[web.WebSocketResponse, int], Awaitable[None]]
QUICK = Backoff(first=0.01, longest=0.05, settled=0.2)


@dataclass
class Server:
    url: str
    connections: int = 0
    heard: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    """``serve`` gets the socket and the number of the connection, counted from 1."""
    server = Server("")

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        server.connections += 1
        await serve(socket, server.connections)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class Reader(StreamLog):
    """Counts frames; a frame that says so is malformed, ends the connection or is awaited."""

    frames: list[bytes] = field(default_factory=list)

    def take(self, frame: bytes) -> None:
        if frame == b"bad":
            raise BadMessage("not the documented form")
        if frame == b"worse":
            raise ValueError("not even JSON")
        if frame == b"expired":
            raise StreamEnded("the key expired")
        self.frames.append(frame)


def subscription(url: str, reader: Reader, /, **more: object) -> Subscription:
    async def address() -> str:
        return url

    return Subscription(**{"name": "s", "url": address, "frame": reader.take, "backoff": QUICK, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def running(url: str, reader: Reader, /, **more: object) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as session, anyio.create_task_group() as tasks:
        tasks.start_soon(run_stream, session, subscription(url, reader, **more), reader, lambda: 0.5)
        yield
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in many places)
            await anyio.sleep(0.005)


async def hold(socket: web.WebSocketResponse) -> None:
    """Keep the connection until the client leaves."""
    async for _ in socket:
        pass


async def test_frames_arrive_as_bytes_in_order() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str("one")
        await socket.send_bytes(b"two")
        await hold(socket)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader):
        await until(lambda: len(reader.frames) == 2)
    assert reader.frames == [b"one", b"two"]
    assert reader.ups == ["s"]
    assert reader.bad == []


async def test_a_malformed_frame_is_quarantined_and_the_reader_goes_on() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        for text in ("one", "bad", "worse", "two"):
            await socket.send_str(text)
        await hold(socket)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader):
        await until(lambda: len(reader.frames) == 2)
        assert server.connections == 1
    assert [(raw, reason) for _, raw, reason in reader.bad] == [
        (b"bad", "BadMessage: not the documented form"),
        (b"worse", "ValueError: not even JSON"),
    ]
    assert reader.downs == []


@pytest.mark.parametrize("abrupt", [False, True])
async def test_it_connects_again_when_the_exchange_closes(abrupt: bool) -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str(f"hello {number}")
        if number > 1:
            await hold(socket)
        elif abrupt:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        else:
            await socket.close(code=1012, message=b"service restart")

    opened: list[int] = []

    async def resnapshot(connection: Connection) -> None:
        opened.append(1)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, opened=resnapshot):
        await until(lambda: b"hello 2" in reader.frames)
    assert len(opened) == 2
    assert reader.ups == ["s", "s"]
    ((name, reason),) = reader.downs
    assert name == "s"
    assert "closed" in reason
    if not abrupt:
        assert "1012" in reason


async def test_a_silent_connection_is_given_up() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        if number > 1:
            await socket.send_str("awake")
        await hold(socket)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, stale_after=0.2):
        await until(lambda: reader.frames == [b"awake"])
    assert reader.downs == [("s", "silent for 0.2 s")]


async def test_a_slow_but_steady_stream_is_not_silent() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        for _ in range(8):
            await anyio.sleep(0.1)
            await socket.send_str("tick")
        await hold(socket)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, stale_after=0.4):
        await until(lambda: len(reader.frames) == 8)
        assert server.connections == 1
    assert reader.downs == []


async def test_a_handler_can_end_the_connection() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_str("expired" if number == 1 else "fine")
        await hold(socket)

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader):
        await until(lambda: reader.frames == [b"fine"])
    assert reader.downs == [("s", "the key expired")]


async def test_pings_are_sent_and_subscriptions_come_first() -> None:
    heard: list[str] = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        async for message in socket:
            heard.append(message.data)  # noqa: PERF401 (read while they arrive)

    async def subscribe(connection: Connection) -> None:
        await connection.send("subscribe")

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, opened=subscribe, ping=("ping", 0.05)):
        await until(lambda: heard.count("ping") >= 2)
    assert heard[:2] == ["subscribe", "ping"]


async def test_a_refused_login_is_a_reason_and_is_tried_again() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.receive()
        await socket.send_str("yes" if number == 3 else "no")
        await hold(socket)

    async def login(connection: Connection) -> None:
        await connection.send("key")
        if await connection.receive() != b"yes":
            raise ExchangeUnavailable("login refused")

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, opened=login):
        await until(lambda: reader.ups == ["s"])
        assert server.connections == 3
    assert reader.downs == [("s", "cannot connect: ExchangeUnavailable: login refused")]


async def test_nobody_listens_and_then_somebody_does() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await hold(socket)

    attempts = 0
    reader = Reader()
    async with serving(serve) as server:

        async def address() -> str:
            nonlocal attempts
            attempts += 1
            return "ws://127.0.0.1:1/" if attempts < 3 else server.url

        async with running(server.url, reader, url=address):
            await until(lambda: reader.ups == ["s"])
    assert attempts == 3
    assert len(reader.downs) == 1
    assert reader.downs[0][1].startswith("cannot connect")


async def test_a_failing_keep_alive_ends_the_connection() -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await hold(socket)

    async def keep_alive(connection: Connection) -> None:
        await anyio.sleep(0.02)
        raise StreamEnded("could not be kept alive")

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, beside=keep_alive):
        await until(lambda: len(reader.ups) >= 2)
    assert reader.downs[0] == ("s", "could not be kept alive")


async def test_an_unanswered_protocol_ping_ends_the_connection() -> None:
    """Where silence is normal, only the heartbeat can tell a half-open connection."""

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await anyio.sleep(5)  # reads nothing, so answers no ping

    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, stale_after=None, heartbeat=0.1):
        await until(lambda: len(reader.downs) >= 1)


async def test_cancelling_leaves_at_once_and_says_goodbye() -> None:
    codes: list[int | None] = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await hold(socket)
        codes.append(socket.close_code)

    reader = Reader()
    async with serving(serve) as server:
        async with running(server.url, reader):
            await until(lambda: reader.ups == ["s"])
        await until(lambda: codes == [1000])
    assert reader.downs == []


async def _log_in(connection: Connection) -> None:
    await connection.receive()


@pytest.mark.parametrize(
    "more", [{"stale_after": None}, {"opened": _log_in}], ids=["silence is normal", "the login was answered"]
)
async def test_a_connection_that_lasted_without_data_starts_the_count_again(more: dict[str, object]) -> None:
    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        if "opened" in more:
            await socket.send_str("welcome")
        await anyio.sleep(0.05)

    backoff = Backoff(first=0.01, longest=100.0, settled=0.04)
    reader = Reader()
    async with serving(serve) as server, running(server.url, reader, backoff=backoff, **more):
        await until(lambda: server.connections >= 12)  # the twelfth wait in a row would be of 20 s


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_limit_and_are_shortened_by_at_most_a_half(attempt: int, chance: float) -> None:
    backoff = Backoff(first=0.25, longest=30.0)
    full = min(30.0, 0.25 * 2.0 ** min(attempt, 20))
    assert full / 2 <= backoff.delay(attempt, chance) <= full
