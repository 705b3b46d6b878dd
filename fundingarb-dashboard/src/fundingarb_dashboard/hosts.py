"""Which names the dashboard answers to."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from fundingarb_dashboard.answers import Problem, error_of

if TYPE_CHECKING:
    from hypercorn.typing import (
        ASGIReceiveCallable,
        ASGISendCallable,
        HTTPResponseStartEvent,
        HTTPScope,
        Scope,
        WebsocketScope,
    )
    from quart import Quart

__all__ = ["KnownHosts"]

REFUSED = Problem(
    421,
    "this name and port are not the dashboard's own; open the address it printed, or add the name to dashboard.names",
)
"""It does not repeat what was asked for: that comes from whoever made the link."""
BODY = msgspec.json.encode(error_of(REFUSED))
POLICY = 1008


class KnownHosts:
    """Answers only requests whose Host header is known, so that a page on a rebound name cannot read from here.

    It stands before routing, for HTTP and for websockets, so that no later route can forget it. Names are
    the same in capitals and small letters.
    """

    def __init__(self, app: Quart, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """One connection, as ASGI hands it over."""
        if scope["type"] == "lifespan" or self._hosts.issuperset(hosts_of(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY, "reason": "unknown host"})
        else:
            start: HTTPResponseStartEvent = {
                "type": "http.response.start",
                "status": REFUSED.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(BODY)),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ],
                "trailers": False,
            }
            await send(start)
            await send({"type": "http.response.body", "body": BODY, "more_body": False})


def hosts_of(scope: HTTPScope | WebsocketScope) -> list[bytes]:
    """Every Host header of a request in small letters; one that has none counts as having an empty one."""
    return [value.lower() for name, value in scope["headers"] if name.lower() == b"host"] or [b""]
