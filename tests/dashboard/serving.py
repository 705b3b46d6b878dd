"""A dashboard on a real socket, and a browser's worth of client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp

from fundingarb.engine.clock import SystemClock
from fundingarb.ports import BotHandle, Clock
from fundingarb_dashboard.place import place_of
from fundingarb_dashboard.service import Dashboard
from fundingarb_dashboard.settings import DashboardSettings

NOWHERE = Path("/nonexistent/dashboard.password")


@dataclass
class Browser:
    """An aiohttp client that behaves as the dashboard's own page does: origin, session cookie, CSRF token."""

    url: str
    http: aiohttp.ClientSession
    said: list[str]
    csrf: str = ""
    sent: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def token(self) -> str:
        """The one-time token printed last."""
        return self.said[-1].partition("#token=")[2].partition(" ")[0]

    @property
    def cookie(self) -> str:
        (morsel,) = [one for one in self.http.cookie_jar if one.key.endswith(f"fundingarb_{self.port}")]
        return morsel.value

    async def ask(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, decoded JSON (None when it is none) and the response."""
        headers = {"Origin": self.url, "X-CSRF-Token": self.csrf, **self.sent, **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        if body is not None or method not in ("GET", "HEAD"):
            options.setdefault("json", {} if body is None else body)
        async with self.http.request(method, self.url + path, headers=headers, **options) as response:
            raw = await response.read()
            document = await response.json() if raw and response.content_type == "application/json" else None
            return response.status, document, response

    async def get(self, path: str, **options: Any) -> Any:
        status, document, _ = await self.ask("GET", path, **options)
        assert status == 200, (path, status, document)
        return document

    async def login(self, **credentials: str) -> None:
        status, document, _ = await self.ask("POST", "/api/login", credentials or {"token": self.token})
        assert status == 200, document
        self.csrf = document["csrf"]


def settings(**changes: Any) -> DashboardSettings:
    return DashboardSettings(**{"port": 0, "password_file": NOWHERE, **changes})


@asynccontextmanager
async def browsing(
    bot: object = None, *, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Browser]:
    """A running dashboard beside ``bot``, and a browser that is not logged in."""
    said: list[str] = []
    dashboard = Dashboard(place_of(settings(**changes)), clock or SystemClock(), said.append)
    try:
        await dashboard.start(cast(BotHandle, bot))
        assert dashboard.url is not None
        jar = aiohttp.CookieJar(unsafe=True)  # cookies for an IP address
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            yield Browser(dashboard.url, http, said)
    finally:
        await dashboard.close()
