"""The bot as a service: started by the unit's own command, killed, stalled, watched, stopped."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.conftest import MakePlugin
from tests.system.programs import Program, program, wait_for
from tests.system.test_control import Town, busy_town

from fundingarb.ports import Secret
from fundingarb.vault import LEAST_COSTS, Vault

__all__ = ["busy_town"]

pytestmark = pytest.mark.slow

SINK = """
@asynccontextmanager
async def open_paper(settings, context):
    class Paper:
        async def send(self, alert):
            with open(settings.file, "a") as file:
                file.write(f"{alert.title}: {' | '.join(alert.lines)}\\n")
    yield Paper()

class Where(BaseModel):
    file: str

@hookimpl
def register_alert_sinks():
    return [Component("paper", Where, open_paper, summary="writes alerts down")]
"""


class Service:
    """What systemd does with a unit: its start command, its socket, its watchdog."""

    def __init__(self, town: Town, env: dict[str, str]) -> None:
        self._town = town
        path = str(town.folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)
        self._env = {**env, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000"}
        unit = town.run_cli("unit", "run", "--config", str(town.config), env=env)
        line = next(line for line in unit.stdout.splitlines() if line.startswith("ExecStart="))
        self.command = shlex.split(line.removeprefix("ExecStart="))
        self.heard: list[str] = []

    @contextmanager
    def started(self, name: str) -> Iterator[Program]:
        self.said()
        self.heard.clear()
        assert self.command[1:4] == ["-m", "fundingarb", "run"]
        with program(self._town.folder, name, *self.command[3:], env=self._env) as running:
            wait_for("word that it is ready", lambda: self._ready(running), 90)
            yield running

    def _ready(self, running: Program) -> bool:
        assert running.process.poll() is None, running.output
        return any("READY=1" in each for each in self.said())

    def said(self) -> list[str]:
        """Everything since the start."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def fed(self) -> int:
        return self.said().count("WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def town(busy_town: Town, make_plugin: MakePlugin) -> Town:
    make_plugin("acme-paper", SINK)
    with busy_town.config.open("a") as file:
        file.write(
            f"ready_file: {busy_town.ready}\nalerts: {{paper: {{file: {busy_town.folder}/alerts.txt}}}}\n"
        )
    return busy_town


def even(town: Town) -> bool:
    """Whether every symbol is as long as it is short."""
    total: dict[str, Decimal] = {}
    for (_, symbol), quantity in town.control.positions().items():
        total[symbol] = total.get(symbol, Decimal(0)) + Decimal(quantity)
    return not any(total.values())


def test_killed_it_comes_back_and_the_watch_tells_of_the_gap(town: Town, with_site: dict[str, str]) -> None:
    service, alerts = Service(town, with_site), town.folder / "alerts.txt"
    alerts.touch()
    try:
        watched = {**with_site, "PYTHONUNBUFFERED": "1"}
        port = next(line for line in town.config.read_text().splitlines() if "port:" in line).split()[1]
        with service.started("first") as bot:
            wait_for("open hedge", lambda: town.hedged() and "Position Opened" in alerts.read_text(), 120)
            assert any("trading on localnet" in each for each in service.said())
            before = service.fed()
            wait_for("watchdog that is fed", lambda: service.fed() >= before + 2, 10)
            # a bot that stalls feeds nobody
            bot.process.send_signal(signal.SIGSTOP)
            service.said()
            fed = service.fed()
            with pytest.raises(AssertionError, match="no food"):
                wait_for("food", lambda: service.fed() > fed, 5)
            with program(
                town.folder, "watch", "watch", "--config", str(town.config),
                "--url", f"http://127.0.0.1:{port}/api/health", env=watched,
            ) as watch:  # fmt: skip
                wait_for("alert of the watch", lambda: "Bot Is Silent" in alerts.read_text(), 90)
                bot.end(signal.SIGKILL)  # what systemd does then
                assert town.hedged(), "hedges stay open"
                before = len(alerts.read_text())
                with service.started("second") as again:
                    wait_for("good news", lambda: "Bot Answers Again" in alerts.read_text(), 60)
                    assert any("READY=1" in each and "no hedges" not in each for each in service.said())

                    def managed() -> bool:
                        """The hedge is known, or its time has come meanwhile (a minute here is two hours there)."""
                        known = "hedge " in town.cli("status").stdout
                        return known or "Position Closed" in alerts.read_text()[before:]

                    wait_for("hedge that is looked after", managed, 60)
                    wait_for("even legs", lambda: even(town), 60)
                    assert again.end(within=90) == 0, again.output
                    assert any("STOPPING=1" in each for each in service.said())
                    assert "stopping; open hedges stay open" in again.output
                    assert even(town)
                    assert town.hedged() == ("the next start goes on with it" in again.output)
                assert watch.end() == 0, watch.output
    finally:
        service.close()


PASSWORD = "correct horse battery"


def start_command(kind: str, config: Path, home: Path) -> tuple[list[str], dict[str, str]]:
    """What systemd executes for the printed unit, and the environment in which the credential is there."""
    env = {**os.environ, "HOME": str(home), "CREDENTIALS_DIRECTORY": str(home)}
    (home / "fundingarb-master-password").write_text(PASSWORD)
    unit = subprocess.run(
        [sys.executable, "-m", "fundingarb", "unit", kind, "--config", str(config)],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = next(line for line in unit.stdout.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    return [each.replace("%%", "%").replace("$$", "$") for each in words], env


@pytest.mark.parametrize("named", [False, True], ids=["usual vault", "vault of the configuration"])
def test_the_watch_is_started_with_a_token_of_the_vault(tmp_path: Path, named: bool) -> None:
    """The unit as it is printed, with nobody at a terminal: it opens the vault, and says that it watches."""
    usual = tmp_path / ".fundingarb"
    usual.mkdir(mode=0o700)
    vault = Vault.create(usual / "credentials.vault", PASSWORD, LEAST_COSTS)
    vault.put_secret("telegram-token", Secret("123456:canary"))
    vault.save()
    folder = tmp_path / "a b $x 100%"
    folder.mkdir()
    config = folder / "watch.yaml"
    config.write_text(
        "alerts: {telegram: {chat_id: 1, commands: false, base_url: 'http://127.0.0.1:9/bot'}}\n"
        + (f"vault: {vault.path}\n" if named else "")
    )
    command, env = start_command("watch", config, tmp_path)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with closing(heard), (tmp_path / "output").open("w") as output:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        watch = subprocess.Popen(
            command, env={**env, "NOTIFY_SOCKET": str(tmp_path / "notify")}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output,
        )  # fmt: skip
        try:
            assert "READY=1\nSTATUS=watching http" in heard.recv(4096).decode()
        except TimeoutError:
            pytest.fail((tmp_path / "output").read_text())
        finally:
            watch.send_signal(signal.SIGTERM)
            assert watch.wait(20) == 0, (tmp_path / "output").read_text()
    assert "canary" not in (tmp_path / "output").read_text()


def test_the_start_command_of_a_vault_reads_the_password_from_its_credential(tmp_path: Path) -> None:
    """The unit's shell, fundingarb itself, and a password that is wrong: it got as far as the vault."""
    folder = tmp_path / "a b $x 100%"
    folder.mkdir()
    config = folder / "fundingarb.yaml"
    config.write_text(
        f"network: testnet\ndatabase: {{url: 'sqlite:///{tmp_path}/bot.db'}}\nvault: {tmp_path}/credentials.vault\n"
        "accounts: {binance: {exchange: binance}, bybit: {exchange: bybit}}\n"
    )
    command, env = start_command("run", config, tmp_path)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "credentials.vault" in done.stderr
    assert "correct horse" not in done.stderr
