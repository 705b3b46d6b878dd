"""``fundingarb config`` on a file, and through the command that a running bot takes; ``fundingarb completion``."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.config.test_configuring import Desk, anyio_backend
from tests.conftest import RunCli

from fundingarb.domain.control import Command, CommandKind
from fundingarb.ports.configuring import with_setting
from fundingarb.store import upgrade

__all__ = ["anyio_backend"]

FILE = """\
# mine
database: {{url: "sqlite:///{folder}/bot.db"}}
trading:
  min_net_usd: 5  # five
  symbols: [BTC-USDT]
"""


@dataclass
class Shop:
    """A configuration file and the command."""

    folder: Path
    run_cli: RunCli
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.folder / "fundingarb.yaml"
        self.file.write_text(FILE.format(folder=self.folder))

    def __call__(self, *arguments: str) -> str:
        done = self.run_cli("config", arguments[0], "--config", str(self.file), *arguments[1:])
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run_cli("config", arguments[0], "--config", str(self.file), *arguments[1:])
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture
def shop(tmp_path: Path, run_cli: RunCli) -> Shop:
    return Shop(tmp_path, run_cli)


def test_without_a_bot_the_file_is_shown_and_changed(shop: Shop) -> None:
    assert "  min_net_usd: '5'\n" in shop("show")
    assert shop("show", "trading.symbols") == "- BTC-USDT\n"
    assert shop("show", "trading.order_fill_timeout_seconds") == "'30'\n"
    assert "there is no such setting" in shop.refused("show", "trading.nothing")
    said = shop("set", "trading.min_net_usd=7", "trading.symbols=[BTC-USDT, ETH-USDT]")
    assert said.splitlines() == [
        "trading.symbols: ['BTC-USDT'] -> ['BTC-USDT', 'ETH-USDT']",
        "trading.min_net_usd: 5 -> 7",
        str(shop.file),
    ]
    text = FILE.format(folder=shop.folder).replace("usd: 5 ", "usd: 7 ")
    assert shop.file.read_text() == text.replace("[BTC-USDT]", "[BTC-USDT, ETH-USDT]")
    assert shop("set", "trading.min_net_usd=7") == "nothing changes\n"


def test_without_a_bot_a_change_is_in_the_audit_of_its_database(shop: Shop) -> None:
    upgrade(f"sqlite:///{shop.folder}/bot.db")
    shop("set", "trading.min_net_usd=7")
    with closing(sqlite3.connect(shop.folder / "bot.db")) as database:
        ((command, actor, arguments, ok),) = database.execute(
            "SELECT command, actor, arguments, ok FROM audit"
        )
    assert (command, str(actor).split(":")[0], bool(ok)) == ("CONFIG", "cli", True)
    assert json.loads(arguments) == {"changes": {"trading.min_net_usd": ["5", 7]}}


def test_what_is_wrong_changes_nothing(shop: Shop) -> None:
    before = shop.file.read_text()
    assert "trading.min_net_usd" in shop.refused(
        "set", "trading.min_net_usd=lots", "trading.cooldown_minutes=5"
    )
    assert "trading.min_net: " in shop.refused("set", "trading.min_net=5")
    assert "write PATH=VALUE" in shop.refused("set", "trading.min_net_usd")
    assert "credentials do not belong here" in shop.refused("set", "exchanges.binance.api_key=abc")
    assert "fundingarb run reads the file when it starts" in shop.refused("reload")
    assert "there is no revision 3" in shop.refused("rollback", "3")
    assert "there is no database yet" in shop.refused("history")
    assert "going live takes a review and the master password" in shop.refused("set", "network=mainnet")
    assert shop.file.read_text() == before
    done = shop.run_cli("config", "set", "trading.min_net_usd=3")
    assert "no bot runs and no file is named" in done.stderr


def command(kind: CommandKind, desk: Desk, **arguments: Any) -> Command:
    return Command(uuid4(), uuid4().hex, kind, "cli:me", desk.floor.clock.now(), arguments)


@pytest.mark.anyio
async def test_a_running_bot_takes_settings_a_reload_and_a_rollback(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "fundingarb.yaml")
    desk.floor.bot.config = desk.keeper

    async with desk.running() as bot:
        bot.commands.config = desk.keeper

        async def do(**arguments: Any) -> Mapping[str, Any]:
            done = await bot.commands.perform(command(CommandKind.CONFIGURE, desk, **arguments))
            assert done.result is not None
            return done.result

        first = desk.keeper.revision
        done = await do(set={"trading.min_net_usd": "7"})
        assert done["ok"], done
        (change,) = done["changes"]
        assert (change["path"], change["after"], change["restart"]) == ("trading.min_net_usd", "7", False)
        assert str(bot.settings.rules.min_net_usd) == "7"
        text = desk.file.read_text()
        desk.file.write_text(f"{text}# by hand\n".replace("min_net_usd: 7", "min_net_usd: 9"))
        done = await do(reload=True)
        assert done["ok"], done
        assert str(bot.settings.rules.min_net_usd) == "9"
        assert desk.file.read_text().endswith("# by hand\n"), "what was written there stays as it is"
        desk.file.write_text(f"{text}\nnonsense: 1\n")
        assert "nonsense" in (await do(reload=True))["text"]
        desk.file.write_text(text)
        assert "lots" in (await do(set={"trading.min_net_usd": "lots"}))["text"]
        assert "nothing to change" in (await do())["text"]
        assert (await do(reload=True))["ok"]
        done = await do(rollback=first + 1)
        assert done["ok"], done
        actors = {entry.actor for entry in desk.floor.store.noted if entry.command == "CONFIG"}
        assert actors == {"cli:me"}


def test_with_setting_leaves_the_document_alone() -> None:
    before = {"a": {"b": 1, "c": 2}}
    assert with_setting(before, ["a", "b"], 3) == {"a": {"b": 3, "c": 2}}
    assert with_setting(before, ["x", "y", "z"], 1) == {**before, "x": {"y": {"z": 1}}}
    assert before == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run_cli: RunCli, shell: str, tmp_path: Path) -> None:
    done = run_cli("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_FUNDINGARB_COMPLETE" in done.stdout
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.stdout)
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
    at = "ba" if shell == "fish" else "1"
    words = run_cli(
        env={"_FUNDINGARB_COMPLETE": f"{shell}_complete", "COMP_WORDS": "fundingarb ba", "COMP_CWORD": at}
    )
    assert "backup" in words.stdout
