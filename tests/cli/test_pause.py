"""Pausing and going on from the command line while no bot runs: kept, shown, audited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fundingarb.app import Surroundings
from fundingarb.cli.status import describe
from fundingarb.config import load_config
from fundingarb.domain.control import CommandKind
from fundingarb.engine.clock import SystemClock
from fundingarb.errors import ConfigError, LeaseTaken
from fundingarb.panel import Panel, open_panel
from fundingarb.plugins import load_plugins
from fundingarb.store import hold_lease, open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def panel_of(folder: Path) -> AsyncIterator[Panel]:
    config = load_config(None, {"database.url": f"sqlite:///{folder}/bot.db"}, env={})
    async with open_panel(config, Surroundings(), load_plugins(), create=True) as panel:
        yield panel


def silent(_line: str) -> None:
    return None


async def test_a_pause_lasts_until_it_is_ended_and_is_audited(tmp_path: Path) -> None:
    async with panel_of(tmp_path) as panel:
        with pytest.raises(ConfigError, match="nothing is paused"):
            await panel.resume(silent)
        assert (await panel.pause(silent)).startswith("paused; the next fundingarb run opens nothing")
    async with panel_of(tmp_path) as panel:
        assert any(line.startswith("paused by cli:") for line in await describe(panel))
    async with open_store(f"sqlite:///{tmp_path}/bot.db", SystemClock()) as store:
        assert (await store.glance()).paused, "the next bot is"
    async with panel_of(tmp_path) as panel:
        assert (await panel.resume(silent)).startswith("not paused any more")
        assert not any("paused" in line for line in await describe(panel))
        noted = [(one.command, one.ok, one.actor.split(":")[0]) for one in await panel.store.audited(limit=9)]
        assert sorted(noted) == [("PAUSE", True, "cli"), ("UNPAUSE", True, "cli")]


async def test_a_bot_that_has_just_started_is_not_passed_over(tmp_path: Path) -> None:
    async with panel_of(tmp_path) as panel, hold_lease(panel.config.database.url, ["binance"]):
        with pytest.raises(LeaseTaken):
            await panel._switch_entries(CommandKind.PAUSE, off=True)
        assert await panel.store.pause() is None
