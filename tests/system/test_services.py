"""A program with a service plugin whose task dies: the bot trades on, says so once, and shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from fundingarb.app import open_bot
from fundingarb.component import Component
from fundingarb.config import load_config
from fundingarb.demo.runner import DemoOptions, localnet_process, starting
from fundingarb.plugins import Registered, load_plugins
from fundingarb.ports import BotHandle, OpenContext, Service
from fundingarb.settings import PluginSettings

pytestmark = pytest.mark.anyio

FILE = """\
database: {{url: "sqlite:///{folder}/fundingarb.db"}}
trading: {{symbols: [BTC-USDT]}}
"""


class Doomed:
    """A service; its task dies a moment after it was started."""

    url: str | None = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.started = anyio.Event()

    async def start(self, bot: BotHandle) -> None:
        self.started.set()

    async def work(self) -> None:
        await self.started.wait()
        raise ZeroDivisionError("a bug of the plugin")


@asynccontextmanager
async def open_doomed(settings: PluginSettings, context: OpenContext) -> AsyncIterator[Service]:
    service = Doomed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.work)
        yield service


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in many places)
            await anyio.sleep(0.1)


async def test_a_plugin_whose_task_dies_ends_alone(tmp_path: Path) -> None:
    file = tmp_path / "fundingarb.yaml"
    file.write_text(FILE.format(folder=tmp_path))
    plugins, config = load_plugins(), load_config(file, env={})
    doomed = Registered("service", Component("doomed", PluginSettings, open_doomed), "acme", "1")
    exchanges, options = starting(DemoOptions(headless=True, symbols=("BTC-USDT",)), ["binance", "bybit"])
    async with (
        localnet_process(exchanges, options, tmp_path / "ready.json") as around,
        open_bot(config, around, replace(plugins, services={"doomed": doomed})) as bot,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(bot.run)
        with anyio.fail_after(120):
            await bot.ready.wait()
        await until(lambda: bot.status().failed_services)
        assert bot.status().failed_services == {"doomed": "ZeroDivisionError: a bug of the plugin"}
        scanned = bot.status().last_scan
        await until(lambda: bot.status().last_scan != scanned)
        assert bot.status().state == "RUNNING"
        assert [alert.title for alert in await bot.alerts()].count("Service Ended") == 1
        bot.stop()
