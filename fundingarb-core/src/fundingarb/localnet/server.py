"""One exchange on a socket: its dialect's routes, with injected faults around every handler."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from fundingarb.localnet.dialect import Caller, Endpoints, LocalnetDialect, Route
from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.faults import Failure, FailureKind
from fundingarb.localnet.truth.types import Refused
from fundingarb.localnet.venue import ReplyLost, Venue

__all__ = ["HOST", "Served", "listen", "serve_app", "serve_exchange"]

HOST = "127.0.0.1"
"""The localnet is reachable from this machine only."""


@dataclass(frozen=True, slots=True)
class Served:
    """An exchange that is being served."""

    venue: Venue
    dialect: LocalnetDialect
    endpoints: Endpoints


def listen(port: int, what: str) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one. Raises ``LocalnetError`` when it is in use."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(256)
    except OSError as error:
        sock.close()
        raise LocalnetError(
            f"cannot listen on {HOST}:{port} for {what}: {error.strerror or error}; choose another port"
        ) from error
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def serve_app(
    app: web.Application, sock: socket.socket, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve an application on a socket; yields ``HOST:PORT``."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    try:
        await runner.setup()
        await web.SockSite(runner, sock, ssl_context=context).start()
        yield f"{HOST}:{sock.getsockname()[1]}"
    finally:
        await runner.cleanup()
        sock.close()


@asynccontextmanager
async def serve_exchange(
    venue: Venue, dialect: LocalnetDialect, sock: socket.socket, context: ssl.SSLContext | None
) -> AsyncIterator[Served]:
    """Serve an exchange until left: routes, extra servers and background tasks of its dialect."""
    app = web.Application(client_max_size=4 * 1024 * 1024)
    undo = venue.truth.subscribe(dialect.on_event)
    for route in dialect.open(venue):
        app.router.add_route(route.method, route.path, Guard(venue, dialect, route).handle)
    try:
        async with serve_app(app, sock, context) as address, venue.running(), dialect.serve(venue) as extra:
            secure = "s" if context is not None else ""
            found = dialect.endpoints(f"http{secure}://{address}", f"ws{secure}://{address}")
            yield Served(venue, dialect, Endpoints(found.rest, found.ws, {**found.endpoints, **extra}))
            for session in venue.hub.sessions:
                session.close(1001, "Going away")
    finally:
        undo()


class Guard:
    """A dialect's handler with everything around it that is the same for all: time, faults, refusals, bugs."""

    def __init__(self, venue: Venue, dialect: LocalnetDialect, route: Route) -> None:
        self._venue = venue
        self._dialect = dialect
        self._route = route

    async def handle(self, request: web.Request) -> web.StreamResponse:
        venue, operation = self._venue, self._route.operation
        execute: Callable[[], Awaitable[web.StreamResponse]] = partial(self._execute, request)
        if not venue.faults.faults:
            venue.sync()
            return await execute()
        await request.read()
        caller = await self._caller(request)
        outcome = venue.faults.plan(
            caller.operation or operation, account=caller.account, symbol=caller.symbol, real=venue.real()
        )
        try:
            return await venue.carry_out(
                outcome, execute, partial(self._failed, request), account=caller.account
            )
        except ReplyLost:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    async def _caller(self, request: web.Request) -> Caller:
        try:
            return await self._dialect.caller(request)
        except (ValueError, KeyError, UnicodeDecodeError):
            return Caller()

    def _failed(self, request: web.Request, failure: Failure) -> web.StreamResponse:
        return self._dialect.failure(failure, request)

    async def _execute(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route.handler(request)
        except Refused as refused:
            return self._dialect.refused(refused, request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug in a dialect must not look like a dead server
            self._venue.trouble(error)
            return self._dialect.failure(Failure(FailureKind.SERVER_ERROR, message=repr(error)), request)
