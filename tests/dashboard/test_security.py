"""Who gets in, and what is refused: every rule of the security checklist that the server enforces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import re
import time
from datetime import datetime, timedelta, timezone

import aiohttp
import pytest
from tests.dashboard.serving import Browser, browsing, settings

from fundingarb.engine.clock import ScaledClock
from fundingarb.errors import ConfigError
from fundingarb.privatefiles import write_private
from fundingarb_dashboard import app as web
from fundingarb_dashboard.passwords import hash_password
from fundingarb_dashboard.place import place_of
from fundingarb_dashboard.security import ANONYMOUS

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def addresses() -> list[tuple[str, str]]:
    """(endpoint, path) of every route there is, with something in place of each variable."""
    from tests.dashboard.sites import bare_site

    rules = web.build(bare_site()).url_map.iter_rules()
    return [
        (
            rule.endpoint,
            rule.rule.replace("<path:filename>", "nothing.js").replace("<uuid:position_id>", "0" * 32),
        )
        for rule in rules
    ]


async def test_every_route_denies_strangers_unless_it_is_on_the_list() -> None:
    assert {"index", "static", "plotly", "health", "login"} == ANONYMOUS
    async with browsing() as browser:
        found = addresses()
        assert {endpoint for endpoint, _ in found} >= ANONYMOUS
        for endpoint, path in [*found, ("", "/nowhere"), ("", "/api/nowhere"), ("", "/api/health/")]:
            for method in METHODS:
                status, document, response = await browser.ask(method, path, allow_redirects=False)
                if endpoint not in ANONYMOUS:
                    assert status == 401, (method, path, status)
                    if method != "HEAD":
                        assert document["error"]["code"] == "unauthorized"
                elif status < 300:
                    assert (method, path) in {
                        ("GET", "/"), ("HEAD", "/"), ("GET", "/api/health"), ("HEAD", "/api/health"),
                        ("GET", "/vendor/plotly.min.js"), ("HEAD", "/vendor/plotly.min.js"),
                    } or method == "OPTIONS", (method, path)  # fmt: skip
                assert response.headers["X-Fundingarb-Api"] == "1"
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_health_says_its_status_only() -> None:
    async with browsing() as browser:
        assert await browser.get("/api/health") == {"status": "ok"}


async def test_headers_of_every_answer() -> None:
    async with browsing() as browser:
        for path in ("/api/health", "/api/session", "/nowhere", "/static/nowhere.js"):
            _, _, response = await browser.ask("GET", path)
            policy = response.headers["Content-Security-Policy"]
            for part in (
                "default-src 'self'",
                "object-src 'none'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ):
                assert part in policy
            assert "unsafe" not in policy
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Strict-Transport-Security" not in response.headers
            assert "Server" not in response.headers


# logging in and out


async def test_the_link_works_once_and_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with browsing() as browser:
        assert browser.said[0].startswith(f"dashboard: open {browser.url}/#token=")
        token = browser.token
        assert len(token) == 43
        await browser.login()
        assert (await browser.get("/api/session"))["csrf"] == browser.csrf
        status, document, _ = await browser.ask("POST", "/api/login", {"token": token})
        assert (status, document["error"]["code"]) == (401, "wrong_credentials")
    assert token not in caplog.text
    assert browser.csrf not in caplog.text


async def test_the_cookie_is_for_this_dashboard_only() -> None:
    async with browsing() as browser:
        _, _, response = await browser.ask("POST", "/api/login", {"token": browser.token})
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith(f"fundingarb_{browser.port}=")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "Max-Age" not in cookie
        assert "Expires" not in cookie
        assert "Domain" not in cookie


async def test_a_logged_out_cookie_is_worth_nothing_and_a_new_link_is_printed() -> None:
    async with browsing() as browser:
        await browser.login()
        cookie = browser.cookie
        status, _, _ = await browser.ask("POST", "/api/logout")
        assert status == 200
        browser.http.cookie_jar.clear()
        status, _, _ = await browser.ask(
            "GET", "/api/session", headers={"Cookie": f"fundingarb_{browser.port}={cookie}"}
        )
        assert status == 401
        assert len(browser.said) == 2
        await browser.login()
        assert browser.cookie != cookie


async def test_a_login_rotates_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secrets") / "password"
    write_private(file, hash_password("a long enough password"), "it")
    async with browsing(password_file=file) as browser:
        assert browser.said == []
        await browser.login(password="a long enough password")
        first, csrf = browser.cookie, browser.csrf
        await browser.login(password="a long enough password")
        assert browser.cookie != first
        assert browser.csrf != csrf
        browser.http.cookie_jar.clear()
        status, _, _ = await browser.ask(
            "GET", "/api/session", headers={"Cookie": f"fundingarb_{browser.port}={first}"}
        )
        assert status == 401
        status, document, _ = await browser.ask("POST", "/api/login", {"password": "another long password"})
        assert status == 401
        assert "password" in document["error"]["message"]


async def test_guessing_is_throttled_and_who_is_in_stays_in() -> None:
    async with browsing() as browser:
        await browser.login()
        codes = [(await browser.ask("POST", "/api/login", {"token": "x" * 43}))[0] for _ in range(12)]
        assert codes[:4] == [401] * 4
        assert set(codes[5:]) == {429}
        _, document, response = await browser.ask("POST", "/api/login", {"password": "x"})
        assert 0 < int(response.headers["Retry-After"]) <= 900
        assert document["error"]["code"] == "too_many_requests"
        await browser.get("/api/session")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 401),
        ({"token": 5}, 400),
        ({"user": "x"}, 400),
        ([], 400),
        ({"token": "x" * 2000}, 400),
        (None, 401),
    ],
)
async def test_login_bodies(body: object, status: int) -> None:
    async with browsing() as browser:
        found, document, _ = await browser.ask("POST", "/api/login", body)
        assert found == status
        if status == 400:
            assert document["error"]["fields"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"token": NaN}', b"[" * 100_000, b'"\\ud800"'])
async def test_what_is_not_json_is_a_plain_400(raw: bytes) -> None:
    async with browsing() as browser:
        options = {"data": raw, "json": None, "headers": {"Content-Type": "application/json"}}
        status, document, _ = await browser.ask("POST", "/api/login", **options)
        assert (status, set(document)) == (400, {"error"})


async def test_a_body_beyond_a_megabyte_is_refused() -> None:
    async with browsing() as browser:
        options = {
            "data": io.BytesIO(b" " * 1_100_000),
            "json": None,
            "headers": {"Content-Type": "application/json"},
        }
        status, document, _ = await browser.ask("POST", "/api/login", **options)
        assert (status, document["error"]["code"]) == (413, "too_large")


async def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS", 0.2)
    async with browsing() as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(
            f"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1:{browser.port}\r\nOrigin: {browser.url}\r\n"
            'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"token"'.encode()
        )
        answer = await asyncio.wait_for(reader.readline(), 30)
        assert b" 408 " in answer
        writer.close()


# other pages


async def logged_in_logout(browser: Browser, **headers: str | None) -> int:
    """Log out with ``headers``: a request that changes something, and shows whether it was let through."""
    status, _, _ = await browser.ask("POST", "/api/logout", headers=headers)
    return status


ORIGINS: list[tuple[dict[str, str | None], int]] = [
    ({"Origin": None}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Origin": "http://127.0.0.1"}, 403),
    ({"Origin": "https://127.0.0.1:PORT"}, 403),
    ({"Origin": "http://127.0.0.1:PORT.evil.example"}, 403),
    ({"Origin": None, "Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": None, "Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": None, "Sec-Fetch-Site": "none"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
    ({"X-CSRF-Token": None}, 403),
    ({"X-CSRF-Token": ""}, 403),
    ({"X-CSRF-Token": "x" * 43}, 403),
    ({"X-CSRF-Token": "\u00fc"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ({"Origin": "http://localhost:PORT"}, 200),
    ({"Origin": None, "Sec-Fetch-Site": "same-origin"}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
]


async def test_only_our_own_page_changes_anything() -> None:
    for headers, expected in ORIGINS:
        async with browsing() as browser:
            await browser.login()
            given = {
                name: value and value.replace("PORT", str(browser.port)) for name, value in headers.items()
            }
            assert await logged_in_logout(browser, **given) == expected, headers
            status, _, _ = await browser.ask("GET", "/api/session")
            assert status == (401 if expected == 200 else 200)


async def test_another_page_cannot_log_in_either() -> None:
    async with browsing() as browser:
        token = browser.token
        for headers in ({"Origin": "http://evil.example"}, {"Origin": None}, {"Content-Type": "text/plain"}):
            status, _, _ = await browser.ask("POST", "/api/login", {"token": token}, headers=headers)
            assert status in (403, 415)
        await browser.login()


async def test_nothing_is_changed_by_a_get() -> None:
    async with browsing() as browser:
        await browser.login()
        for path in ("/api/login", "/api/logout"):
            status, _, response = await browser.ask("GET", path)
            assert status == 405
            assert "POST" in response.headers["Allow"]
        await browser.get("/api/session")


# where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_a_public_address_needs_tls_and_a_password(
    host: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_text("")
    tls = {"tls_certificate": folder / "cert.pem", "tls_key": folder / "key.pem"}
    write_private(folder / "password", hash_password("a long enough password"), "it")
    with pytest.raises(ConfigError, match="tls_certificate"):
        place_of(settings(host=host, password_file=folder / "password"))
    with pytest.raises(ConfigError, match="fundingarb dashboard password"):
        place_of(settings(host=host, **tls))
    names = ("bot.example.org",)
    place = place_of(settings(host=host, names=names, password_file=folder / "password", **tls))
    assert "https://bot.example.org:8642" in place.origins(8642)
    assert "https://bot.example.org" in place.origins(443)


@pytest.mark.parametrize("changes", [{"host": "example.org"}, {"names": ("http://x",)}, {"tls_key": "k"}])
def test_settings_that_cannot_be_used_are_one_line(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        place_of(settings(**changes))
    assert "\n" not in str(refused.value)


async def test_a_websocket_of_a_stranger_is_refused() -> None:
    async with browsing() as browser:
        for headers in ({"Origin": browser.url}, {"Origin": "http://evil.example"}, {}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.http.ws_connect(f"{browser.url}/api/ws", headers=headers)
            assert refused.value.status == 401


async def test_the_page_and_its_charts_come_from_here() -> None:
    async with browsing() as browser:
        async with browser.http.get(browser.url) as response:
            page = await response.text()
            assert response.content_type == "text/html"
        assert "http://" not in page
        assert "https://" not in page
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            async with browser.http.get(browser.url + path) as response:
                assert response.status == 200, path
        async with browser.http.get(f"{browser.url}/vendor/plotly.min.js") as response:
            assert response.status == 200
            bundle = await response.text()
            policy = response.headers["Content-Security-Policy"]
        (style,) = re.findall(r"\.textContent='(\.maplibregl[^']*)'", bundle)
        for text in ("", style):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy


async def test_the_end_of_a_session_is_told_in_real_time_however_fast_the_bot_runs() -> None:
    fast = ScaledClock(epoch=0.0, at_monotonic=time.monotonic(), speed=1000)
    async with browsing(clock=fast) as browser:
        begun = datetime.now(timezone.utc)
        await browser.login()
        told = (await browser.get("/api/session"))["expires_at"]
        ends = datetime.fromisoformat(told.replace("Z", "+00:00"))
        assert timedelta(hours=8) <= ends - begun < timedelta(hours=8, minutes=1)
