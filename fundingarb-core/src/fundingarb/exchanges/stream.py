"""A thin websocket client that stays connected: one reader, one watchdog, reconnects with jittered back-off.

``run_stream`` owns the connection. A ``Subscription`` says where to connect, what to send after connecting and what to
do with a frame; a frame that cannot be understood is quarantined and the reader goes on. All times are real seconds.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio

from fundingarb.errors import ExchangeError
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb.ports import RateSink, StreamSink

__all__ = [
    "Backoff",
    "Connection",
    "Mender",
    "StreamEnded",
    "Subscription",
    "fixed",
    "parts",
    "rate_rows",
    "run_stream",
    "run_streams",
]

_MISUNDERSTOOD = (ExchangeError, ValueError, ArithmeticError, LookupError)
"""What a decoder may raise over a malformed frame (msgspec's errors are ValueErrors)."""

_TEXT, _BINARY = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY

_NOT_CONNECTED = (aiohttp.ClientError, OSError, TimeoutError, ExchangeError, ValueError)


class StreamEnded(Exception):
    """Raised by a frame handler when this connection is of no more use (key expired, gap): connect anew."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: doubling from ``first`` to ``longest`` seconds, each shortened by up to a half.

    A connection that lasted ``settled`` seconds and delivered something (an answer to the login counts; nothing needs
    to come where silence is normal) starts the count again.
    """

    first: float = 0.25
    longest: float = 30.0
    settled: float = 5.0

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds before attempt number ``attempt`` (from 0), ``chance`` in [0, 1) being the jitter."""
        return min(self.longest, self.first * 2.0 ** min(attempt, 20)) * (1 - chance / 2)


class Connection:
    """An open connection as handlers see it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        self.received = 0
        """Frames that handshakes took."""

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def receive(self, timeout: float = 10.0) -> bytes:  # noqa: ASYNC109 (a handshake step, not a scope)
        """The next frame, for handshakes before the reader starts; ``TimeoutError`` or ``StreamEnded``."""
        with anyio.fail_after(timeout):
            message = await self._socket.receive()
        frame = _payload(message)
        if frame is None:
            raise StreamEnded(f"closed during the handshake ({self._socket.close_code})")
        self.received += 1
        return frame


async def _nothing(connection: Connection) -> None:
    return None


@dataclass(frozen=True)
class Subscription:
    """One connection's worth of a stream.

    ``url`` is asked before each attempt (it may cost a request). ``opened`` runs after connecting, before the stream
    counts as connected: log in, subscribe, drop state that a fresh snapshot will replace. ``frame`` gets every data
    frame. ``beside`` runs while connected (keep-alives). ``ping`` is (text, seconds): an application-level ping.
    ``stale_after`` ends a connection that is silent for so long; ``heartbeat`` is a protocol-level ping every so many
    seconds, for streams that may be silent.
    """

    name: str
    url: Callable[[], Awaitable[str]]
    frame: Callable[[bytes], None]
    opened: Callable[[Connection], Awaitable[None]] = _nothing
    beside: Callable[[Connection], Awaitable[None]] | None = None
    ping: tuple[str, float] | None = None
    heartbeat: float | None = None
    stale_after: float | None = 30.0
    connect_timeout: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)


def fixed(url: str) -> Callable[[], Awaitable[str]]:
    """The ``url`` of a subscription whose address never changes."""

    async def answer() -> str:
        return url

    return answer


def parts(ids: Sequence[str], size: int) -> list[tuple[str, list[str]]]:
    """(suffix of the stream's name, symbols) per connection of ``size`` symbols at most."""
    starts = range(0, len(ids), size)
    return [
        ("" if number == 0 else f"-{number + 1}", list(ids[start : start + size]))
        for number, start in enumerate(starts)
    ]


def rate_rows(known: InstrumentMap, symbols: Iterable[str], sink: RateSink) -> dict[str, int]:
    """Exchange id -> row of the rate book, for those of ``symbols`` that the exchange lists."""
    return {
        instrument.exchange_id: sink.book.add(instrument)
        for symbol in symbols
        if (instrument := known.get(symbol)) is not None
    }


class Mender:
    """Gets anew what lacks a snapshot: at once when woken, and whenever one does not come within ``every`` seconds.

    ``missing`` names what lacks one, by the exchange's ids; ``mend`` asks for it (by subscribing again, mostly).
    """

    def __init__(
        self,
        missing: Callable[[], Sequence[str]],
        mend: Callable[[Connection, Sequence[str]], Awaitable[None]],
        every: float = 2.0,
    ) -> None:
        self._missing = missing
        self._mend = mend
        self._every = every
        self._woken = anyio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self, connection: Connection) -> None:
        """Runs beside the reader of ``connection``."""
        while True:
            with anyio.move_on_after(self._every):
                await self._woken.wait()
            self._woken = anyio.Event()
            lacking = self._missing()
            if lacking:
                await self._mend(connection, lacking)


async def run_streams(
    session: aiohttp.ClientSession, subscriptions: Iterable[Subscription], sink: StreamSink
) -> None:
    """Keep every one of ``subscriptions`` connected until cancelled."""
    async with anyio.create_task_group() as tasks:
        for subscription in subscriptions:
            tasks.start_soon(run_stream, session, subscription, sink)
        await anyio.sleep_forever()


async def run_stream(
    session: aiohttp.ClientSession,
    subscription: Subscription,
    sink: StreamSink,
    chance: Callable[[], float] = random.random,
) -> None:
    """Keep ``subscription`` connected until cancelled."""
    attempt = 0
    backoff = subscription.backoff
    while True:
        state = _State()
        started = anyio.current_time()
        reason = await _connect(session, subscription, sink, state)
        if state.open:
            sink.disconnected(subscription.name, reason)
        elif attempt == 0:
            sink.disconnected(subscription.name, f"cannot connect: {reason}")
        lasted = anyio.current_time() - started
        proven = state.frames > 0 or (state.open and subscription.stale_after is None)
        attempt = 0 if proven and lasted >= backoff.settled else attempt + 1
        await anyio.sleep(backoff.delay(attempt, chance()))


@dataclass(slots=True)
class _State:
    open: bool = False
    frames: int = 0
    reason: str = ""


async def _connect(
    session: aiohttp.ClientSession, subscription: Subscription, sink: StreamSink, state: _State
) -> str:
    """One connection, from opening to its end; returns why it ended."""
    socket: aiohttp.ClientWebSocketResponse[bool] | None = None
    try:
        with anyio.fail_after(subscription.connect_timeout):
            url = await subscription.url()
            socket = await session.ws_connect(
                url,
                heartbeat=subscription.heartbeat,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                decode_text=False,
            )
            connection = Connection(socket)
            await subscription.opened(connection)
        state.open, state.frames = True, connection.received
        sink.connected(subscription.name)
        return await _serve(socket, connection, subscription, sink, state)
    except StreamEnded as ended:
        return str(ended)
    except _NOT_CONNECTED as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    finally:
        if socket is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                await socket.close()


async def _serve(
    socket: aiohttp.ClientWebSocketResponse[bool],
    connection: Connection,
    subscription: Subscription,
    sink: StreamSink,
    state: _State,
) -> str:
    async with anyio.create_task_group() as tasks:
        if subscription.stale_after is not None:
            tasks.start_soon(_watch, subscription.stale_after, state, tasks.cancel_scope)
        if subscription.ping is not None:
            tasks.start_soon(_ping, connection, subscription.ping, state, tasks.cancel_scope)
        if subscription.beside is not None:
            tasks.start_soon(_beside, connection, subscription, state, tasks.cancel_scope)
        state.reason = await _read(socket, subscription, sink, state) or state.reason
        tasks.cancel_scope.cancel()
    return state.reason


async def _read(
    socket: aiohttp.ClientWebSocketResponse[bool],
    subscription: Subscription,
    sink: StreamSink,
    state: _State,
) -> str:
    receive, handle = socket.receive, subscription.frame
    while True:
        message = await receive()
        if message.type is not _TEXT and message.type is not _BINARY:
            return f"closed by the exchange ({_close_reason(socket, message)})"
        frame = message.data
        state.frames += 1
        try:
            handle(frame)
        except StreamEnded as ended:
            return str(ended)
        except _MISUNDERSTOOD as error:
            sink.quarantined(subscription.name, frame, f"{type(error).__name__}: {error}")


def _payload(message: Any) -> bytes | None:
    """The bytes of a data frame; None when the connection is over."""
    return bytes(message.data) if message.type is _TEXT or message.type is _BINARY else None


def _close_reason(socket: aiohttp.ClientWebSocketResponse[bool], message: object) -> str:
    error = socket.exception()
    if error is not None:
        return f"{type(error).__name__}: {error}"
    extra = getattr(message, "extra", None)
    return f"code {socket.close_code}" + (f", {extra}" if extra else "")


async def _watch(stale_after: float, state: _State, scope: anyio.CancelScope) -> None:
    """End the connection after ``stale_after`` seconds without a frame (noticed within a quarter of that)."""
    seen, quiet = state.frames, 0
    while True:
        await anyio.sleep(stale_after / 4)
        quiet = quiet + 1 if state.frames == seen else 0
        seen = state.frames
        if quiet >= 4:
            state.reason = f"silent for {stale_after:g} s"
            scope.cancel()


async def _ping(
    connection: Connection, ping: tuple[str, float], state: _State, scope: anyio.CancelScope
) -> None:
    text, seconds = ping
    try:
        while True:
            await anyio.sleep(seconds)
            await connection.send(text)
    except _NOT_CONNECTED as error:
        state.reason = f"ping failed: {error}"
        scope.cancel()


async def _beside(
    connection: Connection, subscription: Subscription, state: _State, scope: anyio.CancelScope
) -> None:
    assert subscription.beside is not None  # noqa: S101 (started only then)
    try:
        await subscription.beside(connection)
    except StreamEnded as ended:
        state.reason = str(ended)
        scope.cancel()
    except _NOT_CONNECTED as error:
        state.reason = f"{type(error).__name__}: {error}"
        scope.cancel()
