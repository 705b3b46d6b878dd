"""The dashboard over a real socket: it answers while the bot's loop moves, to loopback names only, and it stops."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import anyio.to_thread
import pytest
from tests.dashboard.serving import NOWHERE

from fundingarb import load_plugins
from fundingarb.engine.clock import SystemClock
from fundingarb.errors import ConfigError
from fundingarb.hosting import service_host
from fundingarb.ports import BotHandle, OpenContext, Service
from fundingarb_dashboard.place import place_of
from fundingarb_dashboard.settings import DashboardSettings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Service]:
    """The dashboard as the program opens it: through its registered component."""
    component = load_plugins().services["dashboard"].component
    context = OpenContext(name="dashboard", clock=SystemClock(), network="localnet")
    async with component.open(DashboardSettings(port=port, password_file=NOWHERE), context) as service:
        # The health endpoint knows nothing of the bot, so there is none here.
        await service.start(cast(BotHandle, None))
        yield service


def port_of(service: Service) -> int:
    assert service.url is not None
    return int(service.url.rpartition(":")[2])


async def get(port: int, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """One HTTP/1.1 request, by hand: status, headers, body."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        request = f"GET {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nConnection: close\r\n\r\n"
        await stream.send(request.encode())
        answer = b""
        with anyio.fail_after(30):
            async for chunk in stream:
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    pairs = (header.split(": ", 1) for header in headers)
    return int(status.split()[1]), {name.lower(): value for name, value in pairs}, body


async def test_health_is_served_on_loopback_and_the_thread_ends_with_the_component() -> None:
    async with serving() as service:
        port = port_of(service)
        status, headers, body = await get(port, "/api/health")
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    assert not [thread.name for thread in threading.enumerate() if "dashboard" in thread.name]
    with pytest.raises(OSError):
        await anyio.connect_tcp("127.0.0.1", port)


async def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    async with serving() as service:
        idle = await anyio.connect_tcp("127.0.0.1", port_of(service))
        await idle.send(b"GET /api/health HTTP/1.1\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 8  # a second of grace; without, for as long as the client likes
    await idle.aclose()


async def test_only_loopback_names_are_answered() -> None:
    async with serving() as service:
        port = port_of(service)
        assert (await get(port, "/api/health", host=f"localhost:{port}"))[0] == 200
        for evil in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
            status, headers, body = await get(port, "/api/health", host=evil)
            assert (status, headers["content-type"]) == (421, "application/json")
            error = json.loads(body)["error"]
            assert error["code"] == "unknown_host"
            assert "add the name to dashboard.names" in error["message"]
            assert b"evil" not in body


async def test_names_are_the_same_in_capitals() -> None:
    async with serving() as service:
        port = port_of(service)
        assert (await get(port, "/api/health", host=f"LOCALHOST:{port}"))[0] == 200
    place = place_of(DashboardSettings(port=8455, password_file=NOWHERE, names=("Bot.Example.org",)))
    assert "bot.example.org:8455" in place.hosts(8455)
    assert "http://bot.example.org:8455" in place.origins(8455)  # as a browser writes it


async def test_a_bot_whose_loop_stands_still_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundingarb_dashboard.server.STALLED_AFTER", 0.2)
    async with serving() as service:
        port = port_of(service)
        answers: list[tuple[int, dict[str, str], bytes]] = []
        asker = threading.Thread(target=lambda: answers.append(anyio.run(get, port, "/api/health")))
        time.sleep(0.3)  # noqa: ASYNC251 - this is the stall
        asker.start()
        asker.join(30)  # the bot's loop still stands: the answer comes from the dashboard's own
        assert [(status, json.loads(body)) for status, _, body in answers] == [(503, {"status": "stalled"})]


async def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            async with serving(port):
                pass
    message = str(refused.value)
    assert f"port {port}" in message
    assert "setting port" in message
    assert "\n" not in message


async def test_closing_a_dashboard_that_never_started() -> None:
    component = load_plugins().services["dashboard"].component
    context = OpenContext(name="dashboard", clock=SystemClock(), network="localnet")
    async with component.open(DashboardSettings(port=0, password_file=NOWHERE), context) as service:
        assert service.url is None


def test_the_port_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="less than or equal to 65535"):
        DashboardSettings(port=65536)


async def test_a_server_that_dies_ends_the_service_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = threading.Event()

    async def breaks(site: object) -> None:
        await anyio.to_thread.run_sync(broken.wait)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("fundingarb_dashboard.service._look_after", breaks)
    component = load_plugins().services["dashboard"].component
    context = OpenContext(name="dashboard", clock=SystemClock(), network="localnet")
    settings = DashboardSettings(port=0, password_file=NOWHERE)
    told: list[tuple[str, str]] = []
    heard = anyio.Event()

    def report(name: str, why: str) -> None:
        told.append((name, why))
        heard.set()

    async with service_host() as host:
        host.report = report
        service = await host.open("dashboard", component.open(settings, context))
        await service.start(cast(BotHandle, None))
        assert (await get(port_of(service), "/api/health"))[0] == 200
        broken.set()
        with anyio.fail_after(30):
            await heard.wait()
        assert told == [("dashboard", "its server ended: ZeroDivisionError: a bug")]
        assert service.url is None
    assert not [thread.name for thread in threading.enumerate() if "dashboard" in thread.name]
