"""The dashboard as a service: a web server in a thread and an event loop of its own.

Nothing a browser does can hold up trading: what the bot's loop does for it is to say now and then that it moves, to
answer questions, and to execute commands.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

import anyio

from fundingarb.errors import FundingArbError
from fundingarb_dashboard.app import build
from fundingarb_dashboard.feed import Feed
from fundingarb_dashboard.hosts import KnownHosts
from fundingarb_dashboard.hub import Hub
from fundingarb_dashboard.line import BotLine
from fundingarb_dashboard.login import Gatekeeper
from fundingarb_dashboard.pages import policy
from fundingarb_dashboard.place import Place, listen
from fundingarb_dashboard.replies import Replies
from fundingarb_dashboard.server import Heartbeat, ServerThread
from fundingarb_dashboard.sessions import Sessions
from fundingarb_dashboard.site import Site

if TYPE_CHECKING:
    from fundingarb.ports import BotHandle, Clock

__all__ = ["Dashboard"]

SWEEP_EVERY = 5.0


class Dashboard:
    """A `fundingarb.ports.Service`; `close` stops the server and joins its thread."""

    def __init__(self, place: Place, clock: Clock, say: Callable[[str], None] | None = None) -> None:
        """``say`` shows one line to whoever sits at the terminal; it is never logged. Standard error by default."""
        self._place = place
        self._clock = clock
        self._say = say or _to_terminal
        self._server: ServerThread | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._url: str | None = None

    @property
    def url(self) -> str | None:
        """Where the dashboard answers; None before it was started."""
        return self._url

    async def start(self, bot: BotHandle) -> None:
        """Listen, then serve from another thread. Raises `ConfigError` when the port cannot be had."""
        loop = asyncio.get_running_loop()
        listening = listen(self._place)
        port: int = listening.getsockname()[1]
        url = self._url = self._place.url(port)
        # A session is about a person, whose hours are not the bot's: its clock may run faster.
        sessions = Sessions(time.monotonic, lambda: datetime.now(timezone.utc))
        site = Site(
            line=BotLine(bot, loop),
            alive=Heartbeat(loop),
            gatekeeper=Gatekeeper(self._place.password_hash, time.monotonic, partial(self._invite, url)),
            sessions=sessions,
            hub=Hub(sessions.alive, self._clock.now),
            replies=Replies(),
            cookie=f"{'__Host-' if self._place.tls else ''}fundingarb_{port}",
            origins=self._place.origins(port),
            policy=policy(),
            tls=self._place.tls,
            metrics_token=self._place.metrics_token,
        )
        app = KnownHosts(build(site), self._place.hosts(port))
        server = self._server = ServerThread(
            listening, self._place, app, partial(_look_after, site), site.hub.close, partial(self._fail, loop)
        )
        site.gatekeeper.invite()
        server.start()
        feed = Feed(bot, partial(server.soon, site.hub.take), lambda: site.hub.watched)
        self._feeding = asyncio.ensure_future(feed.run())

    async def close(self) -> None:
        """Stop serving; does nothing when the dashboard was never started."""
        with anyio.CancelScope(shield=True):
            if self._feeding is not None:
                self._feeding.cancel()
                await asyncio.gather(self._feeding, return_exceptions=True)
            if self._server is not None:
                await self._server.stop()

    async def watch(self) -> None:
        """Return never; raises `FundingArbError` when the server has ended by itself."""
        await self._failed.wait()
        error = self._failure
        raise FundingArbError(f"its server ended: {type(error).__name__}: {error}") from error

    def _fail(self, loop: asyncio.AbstractEventLoop, error: Exception) -> None:
        self._failure = error
        with suppress(RuntimeError):  # the bot's loop may be closed by now
            loop.call_soon_threadsafe(self._failed.set)

    def _invite(self, url: str, token: str) -> None:
        self._say(
            f"dashboard: open {url}/#token={token} (works once; `fundingarb dashboard password` sets a password)"
        )


async def _look_after(site: Site) -> None:
    """Send what has changed to whoever watches, and look after the sessions."""
    await asyncio.gather(site.hub.run(), _sweep(site))


async def _sweep(site: Site) -> None:
    """End the sessions whose time is over; when none is left, whoever has no password needs another link."""
    had_some = False
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        left = site.sessions.sweep()
        if had_some and not left:
            site.gatekeeper.invite()
        had_some = bool(left)


def _to_terminal(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
