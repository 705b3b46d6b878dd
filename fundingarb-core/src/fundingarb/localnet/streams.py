"""Websocket connections of a dialect: topics, fan-out encoded once, slow consumers dropped, injected frame faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from fundingarb.localnet.venue import Venue

__all__ = ["Hub", "Session", "encode"]


def encode(message: Any) -> bytes:
    """JSON of a message; ``Decimal`` as string."""
    raise RuntimeError


class Hub:
    """Which connections listen to which topic. A topic is any string the dialect chooses."""

    def wanted(self, topic: str) -> bool:
        """Whether anyone listens; ask before building a frame."""
        raise RuntimeError

    def topics(self, prefix: str = "") -> list[str]:
        """Topics with listeners that start so."""
        raise RuntimeError

    def publish(self, topic: str, frame: bytes | str) -> None:
        """Send one frame, encoded once, to everyone who listens to the topic."""
        raise RuntimeError

    @property
    def sessions(self) -> list[Session]:
        """Open connections, oldest first."""
        raise RuntimeError


class Session:
    """One websocket connection.

    ``run`` upgrades the request, reads messages and hands each text to ``on_message`` until the client leaves; it
    returns the response the handler must return. ``send`` never waits: a connection with more than ``max_queue``
    frames outstanding is dropped, as exchanges do with slow consumers.
    """

    account: str | None = None
    """Set by the dialect once the connection has authenticated."""
    topics: set[str]
    data: dict[str, Any]
    """For the dialect: login state, formats, sequence numbers."""

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

    async def run(
        self,
        on_message: Callable[[Session, str], Awaitable[None] | None],
        on_open: Callable[[Session], Awaitable[None] | None] | None = None,
    ) -> web.WebSocketResponse:
        raise RuntimeError

    def subscribe(self, *topics: str) -> None: ...

    def unsubscribe(self, *topics: str) -> None: ...

    def send(self, frame: bytes | str, topic: str = "") -> None:
        """Queue a text frame. ``topic`` is what frame faults match on; replies to commands have none."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close after what is queued has been sent."""

    def drop(self) -> None:
        """Cut the connection without a close frame."""
