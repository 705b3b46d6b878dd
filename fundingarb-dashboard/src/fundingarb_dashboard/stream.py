"""The websocket: frames out, and the little that a browser may say."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, cast

import msgspec
from quart import Quart, Websocket, websocket

from fundingarb_dashboard.answers import Problem, failure
from fundingarb_dashboard.hub import PATIENCE, Client
from fundingarb_dashboard.security import session_of
from fundingarb_dashboard.site import Site

__all__ = ["LARGEST_MESSAGE", "install"]

LARGEST_MESSAGE = 64 * 1024
"""Bytes of a message."""
MOST_MESSAGES = 100
"""Messages a minute."""
MINUTE = 60.0

LINGER = 0.25
"""Seconds the other side has to take the close code before the connection goes."""

UNSUPPORTED, POLICY, TOO_BIG, TOO_SLOW = 1003, 1008, 1009, 1013


class Subscribe(msgspec.Struct, tag="SUBSCRIBE", forbid_unknown_fields=True):
    """Rates of these pairs only; null: of all."""

    pairs: list[str] | None = None


class Ping(msgspec.Struct, tag="PING", forbid_unknown_fields=True):
    """Nothing; shows that the connection works."""


_decoder = msgspec.json.Decoder(Subscribe | Ping)


def install(app: Quart, site: Site) -> None:
    """``/api/ws``."""

    @app.websocket("/api/ws")
    async def stream() -> Any:
        client = site.hub.join(session_of())
        if client is None:
            return failure(Problem(503, "too many browsers are connected; close some"))
        connection: Websocket = cast("Any", websocket)._get_current_object()
        try:
            await connection.accept()
            await _serve(connection, client, site)
        finally:
            site.hub.leave(client)
        return None


async def _serve(connection: Websocket, client: Client, site: Site) -> None:
    """Until one of the two has enough; then the other one stops too."""
    tasks = [
        asyncio.ensure_future(work)
        for work in (_write(connection, client), _read(connection, client, site), client.over.wait())
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if client.over.is_set():
            await asyncio.wait_for(connection.close(client.code, client.why), PATIENCE)
            await asyncio.sleep(LINGER)  # Quart breaks this off once the other side has closed too
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(connection: Websocket, client: Client) -> None:
    while True:
        frame = await client.next_frame()
        try:
            await asyncio.wait_for(connection.send(frame), PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):
            client.close(TOO_SLOW, "this connection is too slow; it may come back")
            return
        client.sent()


async def _read(connection: Websocket, client: Client, site: Site) -> None:
    times: deque[float] = deque()
    while not client.over.is_set():
        message = await connection.receive()
        moment = time.monotonic()
        times.append(moment)
        while times[0] <= moment - MINUTE:
            times.popleft()
        if not site.sessions.alive(client.session):
            client.close(POLICY, "the session has ended; log in again")
        elif len(times) > MOST_MESSAGES:
            client.close(POLICY, f"more than {MOST_MESSAGES} messages a minute")
        elif not isinstance(message, str):
            client.close(UNSUPPORTED, "text only")
        elif len(message.encode("utf-8", "surrogatepass")) > LARGEST_MESSAGE:
            client.close(TOO_BIG, "64 KiB is the most")
        else:
            _obey(message, client)


def _obey(message: str, client: Client) -> None:
    try:
        said = _decoder.decode(message)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        client.close(POLICY, "not a message that is known here; see /api/docs")
        return
    if isinstance(said, Subscribe):
        client.subscribe(said.pairs)
