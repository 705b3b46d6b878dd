"""The dashboard as a service: a web server in a thread and an event loop of its own.

Nothing a browser does can hold up trading: all the bot's loop does for it is to say now and then that it moves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from hypercorn.asyncio import serve
from hypercorn.config import Config

from fundingarb.errors import ConfigError
from fundingarb_dashboard.web import KnownHosts, build

if TYPE_CHECKING:
    from fundingarb.ports import BotHandle

__all__ = ["Dashboard"]

HOST = "127.0.0.1"
STALLED_AFTER = 2.0
"""Seconds (real) without an answer after which the bot's loop counts as stalled."""
GRACE = 1.0
"""Seconds (real) that open connections get to finish when the dashboard closes."""

logger = logging.getLogger("fundingarb_dashboard")


class Dashboard:
    """A `fundingarb.ports.Service`; `close` stops the server and joins its thread."""

    def __init__(self, port: int) -> None:
        """``port`` on 127.0.0.1; 0 takes any free one."""
        self._port = port
        self._server: ServerThread | None = None

    @property
    def url(self) -> str | None:
        """Where the dashboard answers; None before it was started."""
        return None if self._server is None else f"http://{HOST}:{self._server.port}"

    async def start(self, bot: BotHandle) -> None:
        """Listen, then serve from another thread. Raises `ConfigError` when the port cannot be had."""
        self._server = ServerThread(listen(self._port), Heartbeat(asyncio.get_running_loop()))
        self._server.start()

    async def close(self) -> None:
        """Stop serving; does nothing when the dashboard was never started."""
        if self._server is not None:
            await self._server.stop()


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
    """Hypercorn serving the application on an open socket, in its own thread and event loop."""

    def __init__(self, listening: socket.socket, alive: Heartbeat) -> None:
        self.port: int = listening.getsockname()[1]
        self._config = Config()
        self._config.bind = [f"fd://{listening.detach()}"]
        self._config.errorlog = logger
        self._config.graceful_timeout = GRACE
        self._config.include_server_header = False
        self._app = KnownHosts(build(alive), (f"{HOST}:{self.port}", f"localhost:{self.port}"))
        self._loop = asyncio.new_event_loop()
        self._asked_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fundingarb-dashboard", daemon=True)

    def start(self) -> None:
        """Start serving; the socket listens already, so that a client may connect at once."""
        self._thread.start()

    async def stop(self) -> None:
        """Ask the server to end and wait until its thread has."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._asked_to_stop.set)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        serving = serve(self._app, self._config, shutdown_trigger=self._asked_to_stop.wait)
        try:
            self._loop.run_until_complete(serving)
        except Exception:
            logger.exception("the dashboard's server ended; trading goes on without it")
        finally:
            self._loop.close()


def listen(port: int) -> socket.socket:
    """A listening socket on loopback. Raises `ConfigError` when the port is taken."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"fundingarb-dashboard: port {port} on {HOST} cannot be used ({os.strerror(error.errno or 0)}); "
            "choose another with the dashboard's setting port, 0 for any free one"
        ) from error
