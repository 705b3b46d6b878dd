"""``kill``, ``resume``, ``status`` and ``reconcile`` as processes, with the bot running, hanging or absent."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from tests.conftest import MakePlugin, RunCli
from tests.system.programs import FUNDINGARB, Control, Program, localnet, program, wait_for

from fundingarb.app import open_accounts, read_ready_file
from fundingarb.config import Config
from fundingarb.domain.order import NewOrder, OrderSide, TimeInForce

CONFIG = """\
network: localnet
database:
  url: {database}
services:
  dashboard:
    port: {port}
trading:
  symbols: [PEPE-USDT, WIF-USDT, ORDI-USDT, DOGE-USDT]
  min_spread_base: {least_spread}
"""
NO_SPREAD = "0.1"
"""Beyond what the localnet offers: the bot opens nothing."""
ANY_SPREAD = "0.0001"
Result = subprocess.CompletedProcess[str]


class Town:
    """Two exchanges and what it takes to command a bot on them."""

    def __init__(
        self,
        folder: Path,
        ready: Path,
        control: Control,
        run_cli: RunCli,
        database: str,
        least_spread: str = NO_SPREAD,
    ) -> None:
        self.folder, self.ready, self.control, self.run_cli = folder, ready, control, run_cli
        self.config = folder / "fundingarb.yaml"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.config.write_text(CONFIG.format(database=database, port=port, least_spread=least_spread))
        self.where = ("--config", str(self.config), "--ready-file", str(ready))

    def cli(self, *arguments: str) -> Result:
        return self.run_cli(*arguments, *self.where, timeout=90)

    @contextmanager
    def bot(self, name: str = "bot") -> Iterator[Program]:
        """A running bot that answers commands."""
        with program(self.folder, name, "run", *self.where) as running:
            wait_for("bot that answers", lambda: "process" in self.answer(running), 60)
            yield running

    def answer(self, running: Program) -> str:
        """What ``status`` says once this process answers; empty before."""
        assert running.process.poll() is None, running.output
        said = self.cli("status")
        return said.stdout if f"process {running.process.pid}, " in said.stdout else ""

    def trade(self, account: str, side: OrderSide, quantity: str, price: str | None = None) -> None:
        """Somebody trades by hand on the account."""

        async def place() -> None:
            async with open_accounts(Config(), read_ready_file(self.ready)) as accounts:
                await accounts[account].place_order(
                    NewOrder(
                        f"web-{time.monotonic_ns()}",
                        "DOGE-USDT",
                        side,
                        Decimal(quantity),
                        None if price is None else Decimal(price),
                        TimeInForce.IOC if price is None else TimeInForce.GTC,
                        False,
                    )
                )

        anyio.run(place)

    def asked_before_a_kill(self, answer: str) -> str:
        """What ``kill`` shows and asks a person at a terminal, who answers."""
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [*FUNDINGARB, "kill", *self.where],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(ours)
        os.close(theirs)
        assert done.returncode == 130, done.stdout + done.stderr
        return done.stdout

    def hedged(self) -> bool:
        """Whether some symbol is held on both exchanges."""
        symbols = [symbol for _, symbol in self.control.positions()]
        return any(symbols.count(symbol) == 2 for symbol in symbols)

    def flat(self) -> bool:
        accounts = self.control.get("/truth")["accounts"]
        resting = [
            o for a in accounts.values() for o in a["orders"] if o["status"] in ("NEW", "PARTIALLY_FILLED")
        ]
        return not self.control.positions() and not resting


@pytest.fixture
def town(tmp_path: Path, run_cli: RunCli) -> Iterator[Town]:
    with localnet(tmp_path, "--seed", "7", "--speed", "60") as (ready, control):
        yield Town(tmp_path, ready, control, run_cli, f"sqlite:///{tmp_path / 'bot.db'}")


@pytest.fixture
def busy_town(tmp_path: Path, run_cli: RunCli) -> Iterator[Town]:
    """Faster: hedges are opened within a minute, and stay open for longer than a test takes."""
    with localnet(tmp_path, "--seed", "7", "--speed", "100") as (ready, control):
        yield Town(tmp_path, ready, control, run_cli, f"sqlite:///{tmp_path / 'bot.db'}", ANY_SPREAD)


def fine(result: Result) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(result: Result, status: int = 2) -> str:
    """The one line of a failure."""
    assert result.returncode == status, result.stdout + result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_without_a_bot_and_without_a_database(town: Town) -> None:
    for command in ("status", "resume", "reconcile"):
        assert "there is no database yet" in refused(town.cli(command))
    assert "add --yes" in refused(town.cli("kill"))
    town.trade("bybit", OrderSide.BUY, "1000")
    asked = town.asked_before_a_kill("n")
    assert "not of this bot: bybit DOGE-USDT 1000" in asked
    assert "Close all of it? [y/N]" in asked
    assert not town.flat()
    assert "kill switch: never used" in fine(town.cli("status"))
    said = fine(town.cli("kill", "--yes"))
    assert "no bot is running: closing everything from here" in said
    assert "flat: no order and no position is left" in said
    assert town.flat()
    assert closes(town) == [("bybit", "DOGE-USDT", "1000")], "in the trade log, although no bot was there"


BROKEN = """
strategy:
  name: no_such_strategy
risk:
  order_rate: {per_minute: many}
  no_such_rule: {}
alerts:
  telegram: {chat_id: 1, token_file: no-such-file}
  no_such_sink: {}
margin:
  act_distance: 7
logging:
  file: no-such-folder/file.log
"""
REFUSED_BY_RUN = "margin.act_distance: '7' must be at most 1"


@pytest.mark.slow
def test_a_kill_closes_whatever_else_the_configuration_gets_wrong(town: Town) -> None:
    """What neither accounts nor database need is left out, and nothing else stands in the way of a kill."""
    town.trade("bybit", OrderSide.BUY, "1000")
    good = town.config.read_text()
    town.config.write_text(good + BROKEN)
    assert REFUSED_BY_RUN in refused(town.cli("run"))
    done = town.cli("kill", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("flat: no order and no position is left\n")
    assert "alert sink telegram cannot be opened" in done.stdout
    assert "alert sink no_such_sink: no plugin of that name is installed" in done.stdout
    first, second = done.stderr.splitlines()
    assert closes(town) == [("bybit", "DOGE-USDT", "1000")], "the other log cannot be written"
    assert REFUSED_BY_RUN in first
    assert "logging.file: no-such-folder/file.log: No such file or directory" in second
    assert town.flat()
    for command in ("status", "reconcile", "resume"):
        done = town.cli(command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert REFUSED_BY_RUN in done.stderr
        assert done.stderr.count("\n") == 2
    right = {"FUNDINGARB__MARGIN__ACT_DISTANCE": "0.04", "FUNDINGARB__LOGGING__FILE": "bot.log"}
    said = refused(town.run_cli("run", *town.where, env=right))
    assert "strategy.name: there is no strategy no_such_strategy" in said


@pytest.mark.slow
def test_a_kill_goes_on_without_plugins_that_cannot_be_used(
    town: Town, make_plugin: MakePlugin, site: Path, with_site: dict[str, str]
) -> None:
    """One that no account needs is left out; of an exchange's, the accounts are named and the others closed."""
    for account in ("binance", "bybit"):
        town.trade(account, OrderSide.BUY, "1000")
    make_plugin("acme-spy", "raise RuntimeError('out of order')\n", bare=True)
    said = refused(town.run_cli("run", *town.where, env=with_site))
    assert "acme-spy 1.2.3: its plugin module acme_spy cannot be imported" in said
    (site / "fundingarb_bybit").mkdir()
    (site / "fundingarb_bybit" / "__init__.py").write_text("raise RuntimeError('half an update')\n")
    named = "".join(f"  {name}: {{exchange: {name}}}\n" for name in ("binance", "bybit"))
    town.config.write_text(town.config.read_text() + "accounts:\n" + named)
    with program(town.folder, "kill", "kill", "--yes", *town.where, env=with_site) as killing:
        wait_for(
            "leg that is left", lambda: "half an update" in killing.output and not held("binance", town), 40
        )
        assert "warning: acme-spy 1.2.3: its plugin module acme_spy cannot be imported" in killing.output
        assert killing.process.poll() is None, "it repeats until everything is flat"
        assert held("bybit", town)
    done = town.run_cli("kill", "--yes", *town.where, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert town.flat()


def closes(town: Town) -> list[tuple[str, str, str]]:
    """What the trade log says that the program, and nobody by hand, has filled: exchange, pair and size."""
    files = sorted((town.folder / "logs").glob("trades-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    fills = [row for row in rows if row["event"] == "trade" and not row["client_order_id"].startswith("web-")]
    return [(row["exchange"], row["pair"], row["size"]) for row in fills]


def held(account: str, town: Town) -> bool:
    return any(name == account for name, _ in town.control.positions())


@pytest.mark.slow
def test_with_the_bot_absent(town: Town) -> None:
    with town.bot() as bot:
        assert bot.end() == 0
    said = fine(town.cli("status"))
    assert said.startswith("bot: not running\nkill switch: never used\nhedges: none open\n")
    assert "nothing is paused" in refused(town.cli("resume"))
    assert fine(town.cli("pause")).startswith("paused; the next fundingarb run opens nothing")
    town.trade("bybit", OrderSide.BUY, "1000")
    town.trade("binance", OrderSide.SELL, "500")
    town.trade("binance", OrderSide.BUY, "500", "0.01")

    # books and exchanges differ, and one of them is accepted
    result = town.cli("reconcile")
    assert "3 lines differ (binance DOGE-USDT, bybit DOGE-USDT)" in refused(result, 1)
    assert result.stdout.count("DIFFERS") == 3
    assert "no account gamma; configured: binance, bybit" in refused(
        town.cli("reconcile", "--account", "gamma")
    )
    assert "choose one" in refused(town.cli("reconcile", "--accept", "--flatten"))
    said = fine(town.cli("reconcile", "--accept", "--account", "bybit"))
    assert "bybit DOGE-USDT: foreign position is 0 here, 1000 on the exchange: accepted" in said
    assert "accepted: 1000" in said
    said = fine(town.cli("reconcile", "--flatten", "--account", "binance"))
    assert "cancelled" in said
    assert town.control.positions() == {("bybit", "DOGE-USDT"): "1000"}
    assert closes(town) == [("binance", "DOGE-USDT", "500")]
    fine(town.cli("reconcile"))

    # kill closes what was accepted as well; resume only when nothing is left
    fine(town.cli("kill", "--yes"))
    assert town.flat()
    town.trade("bybit", OrderSide.SELL, "700")
    assert "not flat: bybit (bybit) DOGE-USDT -700" in refused(town.cli("resume"))
    assert "kill switch: LATCHED by cli:" in fine(town.cli("status"))
    fine(town.cli("kill", "--yes"))
    assert "entries stay paused: run fundingarb resume once more" in fine(town.cli("resume"))
    said = fine(town.cli("status"))
    assert "kill switch: released by cli:" in said
    assert "\npaused by cli:" in said
    assert fine(town.cli("resume")) == "not paused any more; the next fundingarb run trades again\n"
    assert audited(town) == ["PAUSE", "RELEASE", "UNPAUSE"]
    with town.bot() as bot:
        assert "RUNNING" in town.answer(bot), "a kill that is over is not executed again"


def audited(town: Town) -> list[str]:
    """What people have switched, while no bot was running, one after the other."""
    with closing(sqlite3.connect(town.folder / "bot.db")) as database:
        rows = database.execute("SELECT command, actor, result FROM audit ORDER BY at").fetchall()
    assert all(str(actor).startswith("cli:") for _, actor, _ in rows)
    return [str(command) for command, _, result in rows if "no bot was running" in str(result)]


@pytest.mark.slow
def test_with_the_bot_running(town: Town) -> None:
    with town.bot() as bot:
        assert "is in use: process" in refused(town.cli("run"))
        town.trade("bybit", OrderSide.BUY, "1000")
        refused(town.cli("reconcile"), 1)
        wait_for("halt", lambda: "entries off: bybit DOGE-USDT: foreign position" in town.answer(bot), 40)
        fine(town.cli("reconcile", "--accept"))
        wait_for("entries", lambda: "entries off" not in town.answer(bot), 40)
        said = fine(town.cli("kill", "--yes"))
        assert said.startswith("kill switch latched\n")
        assert said.endswith("flat: no order and no position is left\n")
        assert "closing everything from here" not in said
        assert town.flat()
        assert ", KILLED, " in town.answer(bot)
        assert fine(town.cli("resume")).startswith("released")
        assert ", RUNNING, " in town.answer(bot)
        assert fine(town.cli("pause")).startswith("paused; open hedges are looked after")
        assert ", PAUSED, " in town.answer(bot)
        assert fine(town.cli("resume")) == "entries are on again\n"
        assert ", RUNNING, " in town.answer(bot)
        assert bot.end() == 0, bot.output


@contextmanager
def in_the_middle_of_a_commit(database: Path) -> Iterator[None]:
    """The database takes nothing from anybody: where a bot may happen to hang."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as connection:
        # the bot may hang there by itself
        with suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.slow
def test_with_the_bot_hanging(town: Town) -> None:
    with town.bot() as bot:
        town.trade("bybit", OrderSide.BUY, "1000")
        bot.process.send_signal(signal.SIGSTOP)
        with in_the_middle_of_a_commit(town.folder / "bot.db"):
            assert "does not answer; fundingarb kill ends it and flattens" in refused(
                town.cli("reconcile", "--flatten")
            )
        assert "does not answer" in fine(town.cli("status"))
        said = fine(town.cli("kill", "--yes"))
        assert f"the bot (process {bot.process.pid}) does not answer; ending it" in said
        assert said.endswith("flat: no order and no position is left\n")
        assert bot.process.wait(5) == -signal.SIGKILL
        assert town.flat()
    with town.bot("second") as again:
        assert ", KILLED, " in town.answer(again), "the latch outlives every process"
        town.trade("binance", OrderSide.SELL, "300")
        wait_for("flat", town.flat, 30)


@pytest.mark.slow
def test_a_bot_that_dies_in_the_middle_of_a_kill(town: Town) -> None:
    """Killed with -9 while it closes: the waiting command takes over; with both gone the next start does."""
    with town.bot() as bot:
        town.trade("bybit", OrderSide.BUY, "1000")
        town.control.post(
            "/faults", {"kind": "http_error", "operation": "order.place", "account": "bybit", "count": 6}
        )
        with program(town.folder, "kill", "kill", "--yes", *town.where) as kill:
            wait_for("leg that is named", lambda: "not flat: bybit (bybit) DOGE-USDT 1000" in kill.output)
            bot.end(signal.SIGKILL)
            assert kill.process.wait(60) == 0, kill.output
            assert "no bot is running: closing everything from here" in kill.output
            assert town.flat()
    assert fine(town.cli("resume")).startswith("released")
    with town.bot("second") as bot:
        town.trade("bybit", OrderSide.BUY, "1000")
        town.control.post("/faults", {"kind": "http_error", "operation": "order.place", "account": "bybit"})
        with program(town.folder, "again", "kill", "--yes", *town.where) as kill:
            wait_for("leg that is named", lambda: "not flat: bybit" in kill.output)
            kill.end(signal.SIGKILL)
            bot.end(signal.SIGKILL)
        town.control.post("/faults", {"clear": True})
        assert town.control.positions() == {("bybit", "DOGE-USDT"): "1000"}
    with town.bot("third") as bot:
        wait_for("flat", town.flat, 30)
        assert ", KILLED, " in town.answer(bot)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["running", "hanging", "absent"])
def test_open_hedges_are_closed(busy_town: Town, how: str) -> None:
    town = busy_town
    with town.bot() as bot:
        wait_for("open hedge", lambda: town.hedged() and "Position Opened" in bot.output, 120)
        assert "hedge " in fine(town.cli("status"))
        town.trade("bybit", OrderSide.BUY, "1000")
        if how == "hanging":
            bot.process.send_signal(signal.SIGSTOP)
        elif how == "absent":
            bot.end(signal.SIGKILL)
        said = fine(town.cli("kill", "--yes"))
        assert said.endswith("flat: no order and no position is left\n")
        assert town.flat()
        assert "hedges: none open" in wait_for(
            "books", lambda: said if "none open" in (said := town.cli("status").stdout) else None, 30
        )
        fine(town.cli("reconcile"))


@pytest.mark.slow
def test_on_postgresql(tmp_path: Path, run_cli: RunCli, postgres_url: str) -> None:
    with localnet(tmp_path, "--seed", "7", "--speed", "60") as (ready, control):
        town = Town(tmp_path, ready, control, run_cli, postgres_url)
        test_with_the_bot_running(town)
        test_with_the_bot_hanging(town)
