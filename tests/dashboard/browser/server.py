"""A development server that speaks the dashboard's HTTP and WebSocket contract with a made-up bot behind it.

``python -m tests.dashboard.browser.server`` serves the pages on loopback for looking at them; tests run it in a thread
and read from ``requests`` what the pages sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from tests.dashboard.browser.world import PRESETS, Refused, Row, World, iso, now

from fundingarb_dashboard import __file__ as package
from fundingarb_dashboard.pages import plotly_bundle, policy

STATIC = Path(package).parent / "static"
PASSWORD = "correct horse battery"
COOKIE = "session"


class BrowserServer:
    """The server: `world` is what it shows, `requests` every command it got, `share` of the rates moves per frame.

    While it is ``deaf`` commands are carried out and nobody is told; ``behind`` is for how long the bot stalls.
    """

    def __init__(self, world: World, share: float = 0.1) -> None:
        self.world = world
        self.share = share
        self.requests: list[tuple[str, Row]] = []
        self.keys: list[str] = []
        self.reports: list[str] = []
        self.silent = False
        self.deaf = False
        self.behind = 0.0
        self.port = 0
        self._answers: dict[str, Row] = {}
        self._sessions: dict[str, str] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._pending: deque[Row] = deque()  # of any thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._index)
        app.router.add_static("/static", STATIC)
        app.router.add_get("/vendor/plotly.min.js", self._plotly)
        app.router.add_get("/api/ws", self._stream)
        app.router.add_get("/api/{path:.*}", self._read)
        app.router.add_post("/api/{path:.*}", self._command)
        return app

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self._loop = asyncio.get_running_loop()
        moving = asyncio.create_task(self._move())
        try:
            yield
        finally:
            moving.cancel()
            await runner.cleanup()

    def push(self, kind: str, data: Any) -> None:
        """An event for every page, with the next frame."""
        self._pending.append({"type": kind, "data": data})

    def cut(self) -> None:
        """Every page loses its connection."""

        async def there() -> None:
            await asyncio.gather(
                *(socket.close(code=1001) for socket in self._sockets), return_exceptions=True
            )

        asyncio.run_coroutine_threadsafe(there(), self._loop)

    def change(self, what: Callable[[], object]) -> None:
        """Do something to the world, or to this, while nobody else reads or changes it."""

        async def there() -> None:
            what()

        asyncio.run_coroutine_threadsafe(there(), self._loop).result(30)

    async def _move(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(0.1)
            turn += 1
            events = [self._pending.popleft() for _ in range(len(self._pending))]
            if self.world.state and self.share:
                events += [
                    {"type": "FUNDING_RATE_UPDATE", "data": row} for row in self.world.move(self.share)
                ]
            if turn % 10 == 0:
                events.append({"type": "HEARTBEAT", "data": {"at": iso(now()), "behind_s": self.behind}})
                events.append(
                    {"type": "ENGINE_STATUS", "data": {"status": self.world.state, **self.world.status()}}
                )
                if self.world.state:
                    events += [
                        {"type": "POSITION_UPDATE", "data": row} for row in self.world.positions.values()
                    ]
                    events.append({"type": "SUMMARY_UPDATE", "data": self.world.summary()})
            if events and not self.silent:
                frame = json.dumps(events)
                await asyncio.gather(
                    *(socket.send_str(frame) for socket in self._sockets), return_exceptions=True
                )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if request.path.startswith("/api/") and request.path not in ("/api/login", "/api/health"):
                self._session(request)
            answer: web.StreamResponse = await handler(request)
        except Refused as refused:
            answer = web.json_response(refused.document, status=refused.status)
        if not answer.prepared:
            answer.headers["Content-Security-Policy"] = policy()
            answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    def _session(self, request: web.Request) -> str:
        csrf = self._sessions.get(request.cookies.get(COOKIE, ""))
        if csrf is None:
            raise Refused(401, "session", "Log in first.")
        return csrf

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _plotly(self, request: web.Request) -> web.FileResponse:
        bundle = plotly_bundle()
        if bundle is None:
            raise web.HTTPNotFound
        return web.FileResponse(bundle)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)  # before the page knows anything: whoever changes something then reaches it
        try:
            await socket.send_json([{"type": "SNAPSHOT", "data": self.world.snapshot()}])
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
        finally:
            self._sockets.discard(socket)
        return socket

    async def _read(self, request: web.Request) -> web.Response:
        world, query = self.world, request.query
        path = request.match_info["path"]
        if path == "session":
            return web.json_response(
                {"csrf": self._session(request), "actor": "trader", "expires_at": iso(now())}
            )
        if path == "health" and request.cookies.get(COOKIE) not in self._sessions:
            return web.json_response({"status": "ok"})
        if path == "health":
            return web.json_response(
                {"status": "ok", "ready": True, "loop_lag_ms": 1.4, "streams": [], "database": world.database}
            )
        if path.startswith("history/"):
            found = world.account(path.partition("/")[2])
            if found is None:
                raise Refused(404, "unknown", "There is no such position.")
            return web.json_response(found)
        answers: dict[str, Any] = {
            "status": world.status,
            "opportunities": world.opportunities,
            "orders": lambda: {"rows": world.orders},
            "history": lambda: world.history(query.get("before"), int(query["limit"])),
            "alerts": lambda: {"rows": world.alerts},
            "audit": lambda: {"rows": world.audit},
            "simulation": lambda: {
                "hours": 31.2,
                "hedges": 14,
                "net": "212.40",
                "win_rate": "0.78",
                "worst_unhedged_s": 1.9,
                "refusals": {"spread": 5120, "window": 2214, "net": 310, "size": 4},
                "alerts": {"INFO": 41, "WARNING": 3},
            },
            "calculator": lambda: world.calculator(query),
            "rates/history": lambda: world.history_of_rates(
                query["pair"], query.getall("exchange", []), float(query["days"])
            ),
            "config": lambda: {
                "revision": world.revision,
                "document": world.document,
                "restart_keys": ["database", "network", "accounts"],
                "schema": config_schema(),
            },
            "live": world.way,
            "config/history": lambda: {
                "rows": [
                    {"revision": world.revision - step, "at": iso(now()), "actor": "trader"}
                    for step in range(4)
                ]
            },
        }
        if path not in answers:
            raise Refused(404, "unknown", "There is no such thing.")
        return web.json_response(answers[path]())

    async def _command(self, request: web.Request) -> web.Response:
        path, body = request.match_info["path"], await request.json()
        if path == "login":
            return self._login(body)
        if request.headers.get("X-CSRF-Token") != self._session(request):
            raise Refused(403, "csrf", "Reload the page.")
        if path == "config/check":
            return web.json_response(self._check(body["document"]))
        if not request.headers.get("Idempotency-Key"):
            raise Refused(400, "key", "Send an Idempotency-Key.")
        self.keys.append(request.headers["Idempotency-Key"])
        self.requests.append((path, body))
        self.world.audit.insert(
            0, {"at": iso(now()), "actor": "trader", "command": path, "arguments": body, "result": "done"}
        )
        key = request.headers["Idempotency-Key"]
        done = self._answers[key] = self._answers.get(key) or self._done(path, body)
        if self.deaf and request.transport is not None:
            request.transport.abort()
        return web.json_response(done, status=201 if path == "positions/open" else 200)

    def _login(self, body: Row) -> web.Response:
        if body.get("password") != PASSWORD and body.get("token") != "T" * 43:
            raise Refused(401, "refused", "That is neither the password nor a fresh token; try again.")
        session, csrf = secrets.token_hex(16), secrets.token_hex(16)
        self._sessions[session] = csrf
        answer = web.json_response({"csrf": csrf})
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Strict")
        return answer

    def _done(self, path: str, body: Row) -> Row:
        world = self.world
        if path == "positions/open":
            if float(body["size_usd"]) > 50000:
                raise Refused(
                    409, "refused", "Refused by pair_limit: at most 50000 USD per pair; choose less."
                )
            long, short = (world.accounts[body[side]] for side in ("long", "short"))
            position = world.open(body["pair"], long, short, float(body["size_usd"]))
            self.push("POSITION_UPDATE", position)
            return {"position_id": position["position_id"]}
        if path.startswith("positions/"):
            return self._position(path, body)
        if path == "engine/kill":
            world.killed = True
            world.not_flat = [
                {
                    "account": leg["account"],
                    "exchange": leg["exchange"],
                    "symbol": position["pair"],
                    "quantity": leg["quantity"],
                    "reason": "closing at the market",
                }
                for position in world.positions.values()
                for leg in position["legs"]
            ]
            self.push("ENGINE_STATUS", world.status())
        elif path == "engine/resume":
            world.killed = False
        elif path == "live":
            return world.go_live(body)
        elif path in ("engine/start", "engine/stop"):
            world.state = "RUNNING" if path == "engine/start" else "PAUSED"
            self.push("ENGINE_STATUS", world.status())
        elif path == "config/update":
            if body["base_revision"] != world.revision:
                raise Refused(409, "revision", "Somebody else saved meanwhile; reload the configuration.")
            world.document, world.revision = body["document"], world.revision + 1
            return {"revision": world.revision, "restart": []}
        return {"status": world.status()}

    def _position(self, path: str, body: Row) -> Row:
        _, position_id, act = path.split("/")
        position = self.world.positions.get(position_id)
        if position is None:
            raise Refused(404, "unknown", "There is no such position.")
        if body.get("version", position["version"]) != position["version"]:
            raise Refused(409, "version", "The position has changed meanwhile; look at it again.")
        if act == "close":
            self.world.close(position)
            self.push("POSITION_UPDATE", {"position_id": position_id, "status": "CLOSED"})
        else:
            preset = body.get("preset")
            position.update(
                tolerance=PRESETS[preset] if preset else body["value"],
                tolerance_preset=preset,
                version=position["version"] + 1,
            )
            self.push("POSITION_UPDATE", position)
            return {"position_id": position_id, "version": position["version"]}
        return {"position_id": position_id}

    def flatten(self) -> None:
        """The kill's next step: one more leg is flat, the last one ends it."""
        self.change(self._flatten)

    def _flatten(self) -> None:
        world = self.world
        if world.not_flat:
            flat = world.not_flat.pop()
            for position in world.positions.values():
                for leg in position["legs"]:
                    if (leg["account"], position["pair"]) == (flat["account"], flat["symbol"]):
                        leg["quantity"] = "0"
                self.push("POSITION_UPDATE", position)
        if not world.not_flat:
            for position in list(world.positions.values()):
                world.close(position, "KILL")
                self.push("POSITION_UPDATE", {"position_id": position["position_id"], "status": "CLOSED"})
        self.push("ENGINE_STATUS", world.status())

    def _check(self, document: Row) -> Row:
        errors: Row = {}
        if not float(document["trading"]["min_net_usd"]) < 10**9:
            errors["trading.min_net_usd"] = "is too large; choose at most 1000000000"
        return {"errors": errors, "diff": list(differences(self.world.document, document))}


def differences(before: Any, after: Any, path: str = "") -> Iterator[Row]:
    """What differs between two documents, leaf by leaf."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield {"path": path, "before": before, "after": after, "restart": path.startswith("database")}


def config_schema() -> Row:
    """The JSON schema of the real configuration."""
    from fundingarb.config.schema import Config

    return Config.model_json_schema()


@contextmanager
def running(world: World, share: float = 0.1) -> Iterator[BrowserServer]:
    """The server in a thread of its own."""
    server = BrowserServer(world, share)
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.serving():
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


async def look(port: int, pairs: int) -> None:
    """Serves until it is interrupted."""
    server = BrowserServer(World(pairs=pairs))
    async with server.serving(port):
        print(f"{server.url} password: {PASSWORD}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--pairs", type=int, default=40)
    arguments = parser.parse_args()
    asyncio.run(look(arguments.port, arguments.pairs))
