"""Hypercorn in a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.to_thread
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from fundingarb_dashboard.place import Place

__all__ = ["Heartbeat", "ServerThread"]

STALLED_AFTER = 2.0
"""Seconds (real) without an answer after which the bot's loop counts as stalled."""
GRACE = 1.0
"""Seconds (real) that open connections get to finish when the dashboard closes."""
LARGEST_MESSAGE = 128 * 1024
"""Characters of a websocket message that are read at all; the application refuses half of it."""

logger = logging.getLogger("fundingarb_dashboard")


class Heartbeat:
    """Tells another thread whether an event loop moves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def __call__(self) -> bool:
        """Ask the loop to do next to nothing; False when it has not within `STALLED_AFTER` seconds, or is closed."""
        done: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(done.set_result, None)
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), STALLED_AFTER)
        except (TimeoutError, asyncio.TimeoutError, RuntimeError):
            return False
        return True


class ServerThread:
    """Hypercorn serving an application on an open socket until ``stop``."""

    def __init__(
        self,
        listening: socket.socket,
        place: Place,
        app: ASGIFramework,
        beside: Callable[[], Awaitable[None]],
        before_end: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """``beside`` runs in the server's loop while it serves; ``before_end`` is called there when it ends.

        ``failed`` is called in the server's thread when it ended without having been asked to."""
        self._config = Config()
        self._config.bind = [f"fd://{listening.detach()}"]
        self._config.errorlog = logger
        self._config.graceful_timeout = GRACE
        self._config.include_server_header = False
        self._config.websocket_max_message_size = LARGEST_MESSAGE
        self._config.read_timeout = None
        if place.certificate is not None and place.key is not None:
            self._config.certfile = str(place.certificate)
            self._config.keyfile = str(place.key)
            self._config.alpn_protocols = ["http/1.1"]
        self._app = app
        self._beside = beside
        self._before_end = before_end
        self._failed = failed
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_note)
        self._asked_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fundingarb-dashboard", daemon=True)

    def start(self) -> None:
        """Start serving; the socket listens already, so that a client may connect at once."""
        self._thread.start()

    def soon(self, call: Callable[..., object], *arguments: object) -> bool:
        """Have the server's loop call something, from any thread; False when it serves no more."""
        try:
            self.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            return False
        return True

    async def stop(self) -> None:
        """Ask the server to end and wait until its thread has."""
        if not self._thread.is_alive():
            return
        self.soon(self._asked_to_stop.set)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self._serve())
        except Exception as error:
            logger.exception("the dashboard's server ended; trading goes on without it")
            self._failed(error)
        finally:
            self.loop.close()

    async def _serve(self) -> None:
        beside = asyncio.ensure_future(self._beside())
        beside.add_done_callback(
            lambda _: self._asked_to_stop.set()
        )  # nothing would reach the browsers any more
        try:
            await serve(self._app, self._config, shutdown_trigger=self._end)
        finally:
            beside.cancel()
            (outcome,) = await asyncio.gather(beside, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _end(self) -> None:
        await self._asked_to_stop.wait()
        self._before_end()


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no part of the server has caught. A connection that was broken off when the server ended is no failure."""
    error = context.get("exception")
    if not isinstance(error, asyncio.CancelledError):
        logger.error("the dashboard's server: %s", context.get("message"), exc_info=error)
