"""Websocket connections of a dialect: topics, fan-out encoded once, slow consumers dropped, injected frame faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from fundingarb.localnet.faults import Fault, FaultKind

if TYPE_CHECKING:
    from fundingarb.localnet.venue import Venue

__all__ = ["Hub", "Session", "encode"]

_encoder = msgspec.json.Encoder(decimal_format="string")

OnMessage = Callable[["Session", str], "Awaitable[None] | None"]
OnOpen = Callable[["Session"], "Awaitable[None] | None"]


def encode(message: Any) -> bytes:
    """JSON of a message; ``Decimal`` as string."""
    return _encoder.encode(message)


class Hub:
    """Which connections listen to which topic. A topic is any string the dialect chooses."""

    def __init__(self) -> None:
        self._sessions: list[Session] = []
        self._listeners: dict[str, dict[Session, None]] = {}

    def wanted(self, topic: str) -> bool:
        """Whether anyone listens; ask before building a frame."""
        return topic in self._listeners

    def topics(self, prefix: str = "") -> list[str]:
        """Topics with listeners that start so."""
        return [topic for topic in self._listeners if topic.startswith(prefix)]

    def publish(self, topic: str, frame: bytes | str) -> None:
        """Send one frame, encoded once, to everyone who listens to the topic."""
        listeners = self._listeners.get(topic)
        if listeners:
            data = frame.encode() if isinstance(frame, str) else frame
            for session in tuple(listeners):
                session.send(data, topic)

    @property
    def sessions(self) -> list[Session]:
        """Open connections, oldest first."""
        return list(self._sessions)

    # -- for sessions and the server -------------------------------------------------------------------------

    def add(self, session: Session) -> None:
        self._sessions.append(session)

    def remove(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.remove(session)
        for topic in tuple(session.topics):
            self.leave(session, topic)

    def join(self, session: Session, topic: str) -> None:
        self._listeners.setdefault(topic, {})[session] = None

    def leave(self, session: Session, topic: str) -> None:
        listeners = self._listeners.get(topic)
        if listeners is not None:
            listeners.pop(session, None)
            if not listeners:
                del self._listeners[topic]


class Session:
    """One websocket connection.

    ``run`` upgrades the request, reads messages and hands each text to ``on_message`` until the client leaves; it
    returns the response the handler must return. ``send`` never waits: a connection with more than ``max_queue``
    frames outstanding is dropped, as exchanges do with slow consumers.

    ``account`` is set by the dialect once the connection has authenticated; ``data`` is the dialect's own (login
    state, formats, sequence numbers); ``topics`` are those it listens to.
    """

    def __init__(
        self,
        venue: Venue,
        request: web.Request,
        *,
        max_queue: int = 2000,
        ping_every: float | None = None,
        pong_within: float | None = None,
    ) -> None:
        """``ping_every`` sends protocol-level pings (real seconds); no pong ``pong_within`` closes the connection."""
        self.venue = venue
        self.request = request
        self.account: str | None = None
        self.topics: set[str] = set()
        self.data: dict[str, Any] = {}
        self.closed = False
        self._max_queue = max_queue
        self._ping_every = ping_every
        self._pong_within = pong_within if pong_within is not None else ping_every
        self._pong_at = 0.0
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._held: bytes | None = None
        self._silent_until: float | None = None
        self._socket = web.WebSocketResponse(autoping=False, compress=False)

    # -- the connection's life -------------------------------------------------------------------------------

    async def run(self, on_message: OnMessage, on_open: OnOpen | None = None) -> web.WebSocketResponse:
        """Serve the connection to its end."""
        await self._socket.prepare(self.request)
        self.venue.hub.add(self)
        self._pong_at = self.venue.real()
        tasks = [asyncio.ensure_future(self._write())]
        if self._ping_every is not None:
            tasks.append(asyncio.ensure_future(self._ping(self._ping_every)))
        try:
            if on_open is not None:
                await _maybe(on_open(self))
            await self._read(on_message)
        finally:
            self.closed = True
            self.venue.hub.remove(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._socket

    async def _read(self, on_message: OnMessage) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await _maybe(on_message(self, message.data))
            elif message.type is WSMsgType.BINARY:
                await _maybe(on_message(self, message.data.decode("utf-8", "replace")))
            elif message.type is WSMsgType.PING:
                if not self._silent():
                    await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._pong_at = self.venue.real()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._socket.send_frame(self._queue.popleft(), WSMsgType.TEXT)
                if self._closing is not None:
                    code, reason = self._closing
                    await self._socket.close(code=code, message=reason.encode())
                    return
        except ConnectionError:
            self.drop()

    async def _ping(self, every: float) -> None:
        try:
            while True:
                await asyncio.sleep(every)
                if self._silent():
                    continue
                sent = self.venue.real()
                await self._socket.ping()
                await asyncio.sleep(min(every, self._pong_within or every))
                if self._pong_at < sent:
                    self.close(1008, "Pong timeout")
                    return
        except ConnectionError:
            self.drop()

    # -- what a dialect does ---------------------------------------------------------------------------------

    def subscribe(self, *topics: str) -> None:
        for topic in topics:
            self.topics.add(topic)
            self.venue.hub.join(self, topic)

    def unsubscribe(self, *topics: str) -> None:
        for topic in topics:
            self.topics.discard(topic)
            self.venue.hub.leave(self, topic)

    def send(self, frame: bytes | str, topic: str = "") -> None:
        """Queue a text frame. ``topic`` is what frame faults match on; replies to commands have none."""
        data = frame.encode() if isinstance(frame, str) else frame
        if self.venue.faults.faults or self._held is not None or self._silent_until is not None:
            for one in self._faulty(data, topic):
                self._put(one)
        else:
            self._put(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close after what is queued has been sent."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    def drop(self) -> None:
        """Cut the connection without a close frame."""
        transport = self.request.transport
        if transport is not None:
            transport.abort()

    # -- inside ----------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> None:
        if self.closed or self._closing is not None:
            return
        if len(self._queue) >= self._max_queue:
            self._queue.clear()
            self.drop()
            return
        self._queue.append(data)
        self._wake.set()

    def _silent(self) -> bool:
        if self._silent_until is None:
            return False
        if self.venue.real() < self._silent_until:
            return True
        self._silent_until = None
        return False

    def _faulty(self, data: bytes, topic: str) -> list[bytes]:
        """The frames to send in place of one, by the faults that fire."""
        frames = [data]
        hold = False
        for fault in self.venue.faults.frame(topic, account=self.account, real=self.venue.real()):
            frames, hold = self._apply(fault, frames, hold)
        if self._silent():
            return []
        if hold and self._held is None:
            self._held = frames[0] if frames else None
            return []
        if self._held is not None:
            frames.append(self._held)
            self._held = None
        return frames

    def _apply(self, fault: Fault, frames: list[bytes], hold: bool) -> tuple[list[bytes], bool]:
        kind = fault.kind
        if kind is FaultKind.FRAME_DUPLICATE:
            frames = frames * 2
        elif kind is FaultKind.FRAME_LOST:
            frames = []
        elif kind is FaultKind.FRAME_REORDER:
            hold = True
        elif kind is FaultKind.FRAME_MALFORMED:
            text = fault.message.encode() if fault.message is not None else None
            frames = [text if text is not None else frame[: len(frame) // 2] for frame in frames]
        elif kind is FaultKind.STREAM_STALL:
            self._silent_until = self.venue.real() + fault.seconds if fault.seconds else float("inf")
        elif kind is FaultKind.STREAM_DISCONNECT:
            self.drop()
            frames = []
        return frames, hold


async def _maybe(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result
