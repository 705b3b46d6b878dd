"""A bot with its own plugins, database and file: its configuration is changed while it runs, and changed back."""

from __future__ import annotations

import signal
import subprocess
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.system.test_control import Town, fine, refused, town
from tests.system.test_services import until

from fundingarb.app import Extras, open_bot
from fundingarb.config import load_config
from fundingarb.demo.runner import DemoOptions, localnet_process, starting
from fundingarb.domain.order import OrderSide
from fundingarb.errors import ConfigError
from fundingarb.plugins import load_plugins

__all__ = ["town"]

EXCHANGES = ["binance", "bybit", "dydx", "okx"]
FILE = """\
# mine
database: {{url: "sqlite:///{folder}/fundingarb.db"}}
trading:
  symbols: [BTC-USDT, ETH-USDT]
  min_net_usd: 5  # five
risk:
  order_rate: {{}}
"""


@pytest.mark.anyio
async def test_a_running_bot_is_configured_anew_and_back(tmp_path: Path) -> None:
    file = tmp_path / "fundingarb.yaml"
    file.write_text(FILE.format(folder=tmp_path))
    plugins, config = load_plugins(), load_config(file, env={})
    options = DemoOptions(headless=True, symbols=("BTC-USDT", "ETH-USDT", "SOL-USDT"))
    exchanges, options = starting(options, EXCHANGES)
    async with (
        localnet_process(exchanges, options, tmp_path / "ready.json") as around,
        open_bot(config, around, plugins, Extras(services=False)) as bot,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(bot.run)
        with anyio.fail_after(120):
            await bot.ready.wait()
        desk, strategy = bot.config, bot.loop.entries.strategy
        assert desk is not None
        first = desk.revision
        document = dict(desk.document())
        trading = {**document["trading"], "min_net_usd": "7", "symbols": ["BTC-USDT"]}
        applied = await desk.apply({**document, "trading": trading}, "me", first)
        assert (applied.revision, applied.restart) == (first + 1, ())
        assert bot.loop.settings.rules.min_net_usd == Decimal(7)
        assert bot.loop.entries.strategy is not strategy
        assert bot.loop.entries.strategy.rules.min_net_usd == Decimal(7)  # type: ignore[attr-defined]
        changed = file.read_text()
        assert changed == FILE.format(folder=tmp_path).replace("usd: 5 ", "usd: 7 ").replace(", ETH-USDT", "")
        back = await desk.rollback(first, "me")
        assert (back.revision, bot.loop.settings.rules.min_net_usd) == (first + 2, Decimal(5))
        assert load_config(file, env={}).trading.symbols == ("BTC-USDT", "ETH-USDT")
        assert [(one.command, one.actor, one.ok) for one in await bot.audit()] == [("CONFIG", "me", True)] * 2
        trading = {**document["trading"], "symbols": ["BTC-USDT", "ETH-USDT", "SOL-USDT"]}
        assert (await desk.apply({**document, "trading": trading}, "me", first + 2)).restart == ()
        markets = bot.markets
        for exchange in EXCHANGES:
            await until(partial(markets.fresh_rate, exchange, "SOL-USDT"))
            await until(partial(markets.fresh_book, exchange, "SOL-USDT"))
            assert markets.fresh_rate(exchange, "BTC-USDT")
        trading["symbols"] = ["BTC-USDT", "SOL-USD"]
        with pytest.raises(ConfigError, match="SOL-USD is listed on no exchange"):
            await desk.apply({**document, "trading": trading}, "me", first + 3)
        bot.stop()


@pytest.mark.slow
def test_a_running_bot_is_configured_from_the_command_line(town: Town) -> None:
    before = town.config.read_text()
    with town.bot():
        where = (town.where[0], town.where[1], "--ready-file", town.where[3])

        def config(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            return town.run_cli("config", command, *where, *arguments, timeout=90)

        said = fine(config("set", "trading.min_net_usd=7", "backup.keep=3"))
        assert "trading.min_net_usd: 1 -> 7\n" in said
        assert "-> 3 (from the next start on)" in said
        written = town.config.read_text()
        assert "stop the bot first" in refused(config("set", "database.url=sqlite:///other.db"))
        assert town.config.read_text() == written
        assert "min_net_usd: 7" in town.config.read_text()
        assert "lots" in refused(config("set", "trading.min_net_usd=lots"))
        town.config.write_text(town.config.read_text().replace("min_net_usd: 7", "min_net_usd: 9"))
        assert "trading.min_net_usd: 7 -> 9" in fine(config("reload"))
        history = fine(config("history"))
        assert "trading.min_net_usd: 7 -> 9" in history
        first = history.splitlines()[-1].split()[0]
        assert "trading.min_net_usd: 9 -> 1" in fine(config("rollback", first))
    assert "min_net_usd: 1" in town.config.read_text() or town.config.read_text() == before


@pytest.mark.slow
def test_a_kill_reaches_the_bot_that_runs_whatever_its_file_says_now(town: Town) -> None:
    """Somebody edits the file by hand while the bot runs: the commands look for it where it is, and say so."""
    before = town.config.read_text()
    with town.bot() as bot:
        other = before.replace("bot.db", "other.db")
        assert other != before
        town.config.write_text(other)
        said = town.cli("status")
        assert f"bot: process {bot.process.pid}, " in said.stdout
        assert "(database.url): this goes to that bot, which trades on network localnet" in said.stderr
        paused = town.cli("pause")
        assert paused.returncode == 0, paused.stderr
        killed = town.cli("kill", "--yes")
        assert killed.returncode == 0, killed.stderr
        assert "no bot is running" not in killed.stdout
        town.config.write_text(before)
        said = town.cli("status")
        assert "kill switch: LATCHED" in said.stdout
        assert f"bot: process {bot.process.pid}, " in said.stdout
        for broken in (other.replace("network: localnet", "network: moon"), "database: ["):
            town.config.write_text(broken)
            said = town.cli("status")
            assert f"bot: process {bot.process.pid}, " in said.stdout, said.stderr
        assert not (town.folder / "other.db").exists()
        assert bot.end() == 0, bot.output
    assert not list(town.folder.glob(".*.running"))


@pytest.mark.slow
def test_a_kill_ends_the_bot_that_hangs_whatever_its_file_says_now(town: Town) -> None:
    with town.bot() as bot:
        town.trade("bybit", OrderSide.BUY, "1000")
        before = town.config.read_text()
        town.config.write_text(before.replace("bot.db", "other.db").replace("localnet", "testnet"))
        bot.process.send_signal(signal.SIGSTOP)
        killed = town.cli("kill", "--yes")
        assert killed.returncode == 0, killed.stderr
        assert f"the bot (process {bot.process.pid}) does not answer; ending it" in killed.stdout
        assert "(network, database.url): this goes to that bot" in killed.stderr
        assert town.flat()
    assert not (town.folder / "other.db").exists()
