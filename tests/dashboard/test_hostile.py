"""A small helping of what `tox -e dashboard` does at length."""

from __future__ import annotations

import logging

import anyio.to_thread
import pytest
from tests.dashboard.hostile import alive, bombard, throw_cases
from tests.dashboard.trading import trading

pytestmark = pytest.mark.anyio


async def test_requests_made_from_the_document() -> None:
    async with trading() as desk:
        document = await desk.browser.get("/api/openapi.json")
        browser = desk.browser
        cookie = f"fundingarb_{browser.port}={browser.cookie}"
        inside = {"Origin": browser.url, "X-CSRF-Token": browser.csrf, "Cookie": cookie}

        def throw() -> tuple[object, object]:
            strangers = throw_cases(browser.url, document, 60, {"Origin": browser.url}, logged_in=False)
            return strangers, throw_cases(browser.url, document, 120, inside, logged_in=True)

        strangers, ours = await anyio.to_thread.run_sync(throw)
        assert strangers
        assert ours
        await alive(browser.http, browser.url)


async def test_malformed_frames(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with trading() as desk:
        ended = await bombard(desk.browser.url, desk.browser.cookie, 300)
        assert sum(ended.values()) > 1
        await alive(desk.browser.http, desk.browser.url)
        async with desk.watching() as stream:
            await stream.until("SNAPSHOT")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
