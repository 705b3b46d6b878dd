"""The exchanges' own host names on this machine: a TLS front that notes what reached which host, before a localnet."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import aiohttp.abc
import aiohttp.connector
import pytest
from aiohttp import web

from fundingarb.localnet.tls import Authority

KEY_HEADERS = ("x-mbx-apikey", "x-bapi-api-key", "ok-access-key")


@dataclass(frozen=True)
class Heard:
    """A request, or a frame of a stream, as it arrived. ``signed``: it carries a key or a signature."""

    host: str
    what: str
    headers: Mapping[str, str]
    signed: bool


@dataclass
class Front:
    """Answers for every host name over TLS: HTTP from the localnet behind it, streams by listening.

    ``routes`` has the localnets of some hosts where there are several. ``elsewhere``: the host that whoever opens a
    stream is redirected to.
    """

    behind: str
    routes: Mapping[str, str] = field(default_factory=dict)
    chain_id: str = ""
    elsewhere: str = ""
    heard: list[Heard] = field(default_factory=list)
    port: int = 0

    @property
    def signed(self) -> list[Heard]:
        return [each for each in self.heard if each.signed]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        keyed = any(name in headers for name in KEY_HEADERS) or b"broadcast_tx" in body
        self.heard.append(Heard(host, f"{request.method} {request.path}", headers, keyed))
        if headers.get("upgrade", "").lower() == "websocket":
            if self.elsewhere not in ("", host):
                return web.Response(status=302, headers={"location": f"https://{self.elsewhere}/moved"})
            return await self._listen(request, host, headers)
        return await self._forward(request, body)

    async def _listen(
        self, request: web.Request, host: str, headers: Mapping[str, str]
    ) -> web.WebSocketResponse:
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        async for message in stream:
            told = json.loads(message.data) if str(message.data).startswith("{") else {}
            signed = told.get("op") in ("auth", "login")
            self.heard.append(Heard(host, f"frame {told.get('op') or told.get('type')}", headers, signed))
        return stream

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        hop = ("host", "content-length", "connection", "accept-encoding", "x-simulated-trading")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in hop}
        behind = self.routes.get(request.host.partition(":")[0], self.behind)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                behind + request.raw_path,
                data=body or None,
                headers=headers,
            ) as answer,
        ):
            text = await answer.read()
            if self.chain_id and request.path == "/status":
                document = json.loads(text)
                document["result"]["node_info"]["network"] = self.chain_id
                text = json.dumps(document).encode()
            return web.Response(body=text, status=answer.status, content_type=answer.content_type)


@asynccontextmanager
async def front(behind: str, hosts: list[str], folder: Path) -> AsyncIterator[tuple[Front, Path]]:
    """A front for these hosts, and the authority's file that clients have to trust."""
    authority = Authority(folder)
    made = Front(behind)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, sock, ssl_context=authority.server_context("front", hosts)).start()
    made.port = sock.getsockname()[1]
    try:
        yield made, authority.ca
    finally:
        await runner.cleanup()


def point_dns_at(port: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name resolves to this machine; the names that were asked for."""
    asked: list[str] = []

    class Resolver(aiohttp.abc.AbstractResolver):
        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def resolve(
            self, host: str, port_: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[aiohttp.abc.ResolveResult]:
            asked.append(host)
            return [
                aiohttp.abc.ResolveResult(
                    hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
                )
            ]

        async def close(self) -> None:
            pass

    monkeypatch.setattr(aiohttp.connector, "DefaultResolver", Resolver)
    return asked
