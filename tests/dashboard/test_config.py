"""The configuration over the API: shown, checked, put in force on a running bot, refused field by field, taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.trading import configured, trading

pytestmark = pytest.mark.anyio


def with_net(document: dict[str, Any], value: object) -> dict[str, Any]:
    return {**document, "trading": {**document["trading"], "min_net_usd": value}}


async def test_a_change_is_checked_and_then_in_force(tmp_path: Path) -> None:
    async with configured(tmp_path) as (desk, made):
        found = await desk.browser.get("/api/config")
        assert found["document"]["trading"]["min_net_usd"] == "5"
        assert "trading" in found["schema"]["properties"]
        assert found["restart_keys"]
        draft = with_net(found["document"], "7")
        status, checked, _ = await desk.browser.ask("POST", "/api/config/check", {"document": draft})
        assert (status, checked["errors"]) == (200, {})
        assert checked["diff"] == [
            {"path": "trading.min_net_usd", "before": "5", "after": "7", "restart": False}
        ]
        update = {"document": draft, "base_revision": found["revision"]}
        status, applied = await desk.command("/api/config/update", update)
        assert (status, applied["restart"]) == (200, [])
        assert str(desk.floor.bot.settings.rules.min_net_usd) == "7"
        assert "min_net_usd: 7" in made.file.read_text()

        status, moved = await desk.command("/api/config/update", update)
        assert (status, moved["error"]["code"]) == (409, "version_moved")
        desk.floor.store.noted.clear()  # the audit may be longer than anybody looks back
        revisions = (await desk.browser.get("/api/config/history"))["rows"]
        assert revisions[0]["revision"] == applied["revision"]
        assert revisions[0]["actor"] == "dashboard@127.0.0.1"
        assert made.keeper.schema() is made.keeper.schema()  # making it takes too long for the bot's loop


async def test_mistakes_are_named_at_their_fields_and_nothing_changes(tmp_path: Path) -> None:
    async with configured(tmp_path) as (desk, made):
        found = await desk.browser.get("/api/config")
        draft = with_net(found["document"], "lots")
        _, checked, _ = await desk.browser.ask("POST", "/api/config/check", {"document": draft})
        assert "trading.min_net_usd" in checked["errors"]
        update = {"document": draft, "base_revision": found["revision"]}
        status, refused = await desk.command("/api/config/update", update)
        assert status == 409
        assert "trading.min_net_usd" in refused["error"]["fields"]
        assert desk.floor.bot.settings.config_revision == found["revision"]
        assert "min_net_usd: 5" in made.file.read_text()


async def test_a_change_needs_a_key_and_a_revision(tmp_path: Path) -> None:
    async with configured(tmp_path) as (desk, _):
        document = (await desk.browser.get("/api/config"))["document"]
        status, _, _ = await desk.browser.ask(
            "POST", "/api/config/update", {"document": document, "base_revision": 0}
        )
        assert status == 400
        for body in ({"document": document}, {"document": 5, "base_revision": 0}, {"base_revision": 0}):
            status, refused = await desk.command("/api/config/update", body)
            assert status == 400
            assert refused["error"]["fields"]


async def test_a_bot_without_a_configuration_file_says_so() -> None:
    async with trading() as desk:
        status, document, _ = await desk.browser.ask("GET", "/api/config")
        assert status == 409
        assert "configuration" in document["error"]["message"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"trading": None},
        {"trading": []},
        {"trading": {"symbols": "BTC"}},
        {"trading": {"symbols": [1, None, {}]}},
        {"trading": {"leverage": {"default": "1e400"}}},
        {"trading": {"min_net_usd": 10**400}},
        {"trading": {"min_net_usd": [[[[[[]]]]]]}},
        {"\u0000": {"\r\n": "\x1b[31m"}},
        {"database": {"url": "sqlite:///../../etc/passwd"}},
        {"services": {"dashboard": {"port": -1}}},
        {"accounts": {"a": {"exchange": "nowhere"}}},
        {"network": "mainnet"},
        {"plugins": 5, "logging": "x", "risk": {"x": {}}, "alerts": {"telegram": {"token": "x"}}},
    ],
)
async def test_documents_that_nobody_would_write(document: dict[str, Any], tmp_path: Path) -> None:
    async with configured(tmp_path) as (desk, made):
        before = made.file.read_text()
        status, checked, _ = await desk.browser.ask("POST", "/api/config/check", {"document": document})
        assert status == 200
        assert all("\n" not in line and "\x1b" not in line for line in checked["errors"].values())
        if checked["errors"]:
            update = {
                "document": document,
                "base_revision": (await desk.browser.get("/api/config"))["revision"],
            }
            assert (await desk.command("/api/config/update", update))[0] == 409
            assert made.file.read_text() == before
