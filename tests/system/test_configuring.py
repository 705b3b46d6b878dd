"""A bot with its own plugins, database and file: its configuration is changed while it runs, and changed back."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from fundingarb.app import Extras, open_bot
from fundingarb.config import load_config
from fundingarb.demo.runner import DemoOptions, localnet_process, starting
from fundingarb.plugins import load_plugins

pytestmark = pytest.mark.anyio

FILE = """\
# mine
database: {{url: "sqlite:///{folder}/fundingarb.db"}}
trading:
  symbols: [BTC-USDT, ETH-USDT]
  min_net_usd: 5  # five
risk:
  order_rate: {{}}
"""


async def test_a_running_bot_is_configured_anew_and_back(tmp_path: Path) -> None:
    file = tmp_path / "fundingarb.yaml"
    file.write_text(FILE.format(folder=tmp_path))
    plugins, config = load_plugins(), load_config(file, env={})
    options = DemoOptions(headless=True, symbols=("BTC-USDT", "ETH-USDT"))
    exchanges, options = starting(options, ["binance", "bybit"])
    async with (
        localnet_process(exchanges, options, tmp_path / "ready.json") as around,
        open_bot(config, around, plugins, Extras(services=False)) as bot,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(bot.run)
        with anyio.fail_after(120):
            await bot.ready.wait()
        desk, strategy = bot.config, bot.loop.strategy
        assert desk is not None
        first = desk.revision
        document = dict(desk.document())
        trading = {**document["trading"], "min_net_usd": "7", "symbols": ["BTC-USDT"]}
        applied = await desk.apply({**document, "trading": trading}, "me", first)
        assert (applied.revision, applied.restart) == (first + 1, ())
        assert bot.loop.settings.rules.min_net_usd == Decimal(7)
        assert bot.loop.strategy is not strategy
        assert bot.loop.strategy.rules.min_net_usd == Decimal(7)  # type: ignore[attr-defined]
        changed = file.read_text()
        assert changed == FILE.format(folder=tmp_path).replace("usd: 5 ", "usd: 7 ").replace(", ETH-USDT", "")
        back = await desk.rollback(first, "me")
        assert (back.revision, bot.loop.settings.rules.min_net_usd) == (first + 2, Decimal(5))
        assert load_config(file, env={}).trading.symbols == ("BTC-USDT", "ETH-USDT")
        assert [(one.command, one.actor, one.ok) for one in await bot.audit()] == [("CONFIG", "me", True)] * 2
        bot.stop()
