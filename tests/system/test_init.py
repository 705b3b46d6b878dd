"""``fundingarb init``: from nothing to a running simulation, at a pseudo-terminal and in a script."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pexpect
import pytest
import yaml
from tests.conftest import RunCli
from tests.system.programs import FUNDINGARB, wait_for


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[pexpect.spawn[str]]:
    """The program at a terminal, in an empty home."""
    env: Mapping[str, str] = {**os.environ, "HOME": str(folder), "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
    child = pexpect.spawn(
        sys.executable, ["-m", "fundingarb", *arguments], cwd=str(folder), env=env, timeout=90, encoding="utf-8",
        dimensions=(50, 200),
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close(force=True)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where ``run_cli`` starts, and its home."""
    return tmp_path / "cwd"


def home(folder: Path) -> Path:
    return folder / ".fundingarb"


def trades(folder: Path) -> bool:
    """Whether a bot of the configuration in ``folder`` runs and answers."""
    result = subprocess.run(
        [*FUNDINGARB, "status", "--config", "fundingarb.yaml"],
        cwd=folder, env={**os.environ, "HOME": str(folder)}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return re.search(r"^bot: .*waiting for", result.stdout, re.MULTILINE) is not None


def answer(child: pexpect.spawn[str], question: str, text: str) -> None:
    child.expect_exact(question)
    child.sendline(text)


@pytest.mark.slow
def test_from_nothing_to_a_running_simulation(tmp_path: Path) -> None:
    with terminal(tmp_path, "init", "--speed", "60") as child:
        answer(child, "Network [localnet]", "moon")
        child.expect_exact("'moon' is not one of localnet, testnet")
        answer(child, "Network [localnet]", "")
        answer(child, "Exchanges, of", "binance")
        child.expect_exact("a hedge needs two exchanges")
        answer(child, "Exchanges, of", "binance, bybit")
        answer(child, "Symbols", "BTCUSDT")
        child.expect_exact("did you mean BTC-USDT?")
        answer(child, "Symbols", "BTC-USDT, eth-usdt")
        answer(child, "USD per leg of a hedge", "a lot")
        child.expect_exact("'a lot' is not an amount")
        answer(child, "USD per leg of a hedge", "$2,000")
        answer(child, "USD over all hedges", "")
        answer(child, "USD of loss a day", "")
        answer(child, "Token of a Telegram bot", "")
        child.expect_exact("fundingarb.yaml: written")
        answer(child, "Set a password for the dashboard?", "y")
        answer(child, "New password", "correct horse battery")
        answer(child, "Repeat for confirmation", "correct horse battery")
        child.expect(re.compile(r"ok +account binance +clock"))
        child.expect(re.compile(r"ok +exchange bybit +stream"))
        child.expect_exact("Starting the bot.")
        child.expect(re.compile(r"dashboard is up at http://127\.0\.0\.1:\d+"))
        wait_for("bot that trades", lambda: trades(tmp_path))
        limits = Path(f"/proc/{child.pid}/limits")
        if limits.exists():
            assert re.search(r"^Max core file size +0 +0 ", limits.read_text(), re.MULTILINE)
        child.sendintr()
        child.expect_exact("SIGINT: stopping")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
        assert "correct horse" not in str(child.before)

    chosen = yaml.safe_load((tmp_path / "fundingarb.yaml").read_text())
    assert chosen["trading"]["symbols"] == ["BTC-USDT", "ETH-USDT"]
    assert chosen["trading"]["target_size_usd"] == 2000
    assert set(chosen["accounts"]) == {"binance", "bybit"}
    assert home(tmp_path).stat().st_mode & 0o777 == 0o700
    (database,) = home(tmp_path).glob("localnet-*.db")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM config_revisions").fetchone() == (1,)


def script(
    run_cli: RunCli, folder: Path, *arguments: str, fds: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run without questions; exit status and everything that was said. ``fds``: option -> what its descriptor says."""
    options: list[str] = list(arguments)
    descriptors: list[int] = []
    for option, text in (fds or {}).items():
        path = folder / option.strip("-")
        path.write_text(text)
        descriptors.append(os.open(path, os.O_RDONLY))
        options += [option, str(descriptors[-1])]
    try:
        result = run_cli("init", "--no-input", "--no-start", *options, pass_fds=descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return result.returncode, result.stdout + result.stderr


def test_a_script_asks_nothing(run_cli: RunCli, here: Path) -> None:
    status, said = script(
        run_cli, here, "--exchange", "binance", "--exchange", "bybit", "--symbols", "BTC-USDT"
    )
    assert status == 0, said
    assert "ok       account bybit" in said
    assert "Starting the bot" not in said

    status, said = script(run_cli, here)
    assert status == 2
    assert "there is a file already" in said


def test_a_check_that_fails_is_said_and_nothing_starts(run_cli: RunCli, here: Path) -> None:
    status, said = script(
        run_cli, here, "--exchange", "binance", "--exchange", "bybit", "--symbols", "NOPE-USDT"
    )
    assert status == 1, said
    assert "FAILED   account binance      symbols" in said
    assert said.splitlines()[-1].startswith("Not started. When it is mended: fundingarb run --config")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--exchange", "binance"), "two exchanges"),
        (("--exchange", "binance", "--exchange", "mtgox"), "mtgox: not installed"),
        (("--symbols", "BTCUSDT"), "did you mean BTC-USDT"),
        (("--size", "0"), "not an amount"),
        (("--network", "testnet"), "--values-fd"),
    ],
)
def test_bad_answers_are_one_line(run_cli: RunCli, here: Path, arguments: tuple[str, ...], says: str) -> None:
    status, said = script(run_cli, here, *arguments)
    assert status == 2
    assert says in said
    assert len(said.strip().splitlines()) == 1, said
    assert not (here / "fundingarb.yaml").exists()
    assert not list(home(here).glob("*.vault"))


def test_keys_go_into_the_vault_and_nowhere_else(run_cli: RunCli, here: Path) -> None:
    """Nothing of this reaches an exchange: the keys of one are missing, which is said before anything is written."""
    keys = {"binance": {"api_key": "canary-key", "api_secret": "canary-secret"}}
    arguments = ("--network", "testnet", "--exchange", "binance", "--exchange", "bybit")
    status, said = script(run_cli, here, *arguments, fds={"--values-fd": json.dumps(keys)})
    assert status == 2
    assert "bybit: no api_key, api_secret" in said
    assert "canary" not in said
    assert not (here / "fundingarb.yaml").exists()
    assert not list(home(here).glob("*.vault"))


@pytest.mark.parametrize("where", ["/proc/x/f.yaml", "file/f.yaml", f"{'n' * 300}.yaml"])
def test_where_nothing_can_be_written_no_secret_is_taken(run_cli: RunCli, here: Path, where: str) -> None:
    here.mkdir(exist_ok=True)
    (here / "file").touch()
    keys = {name: {"api_key": "canary-key", "api_secret": "canary-secret"} for name in ("binance", "bybit")}
    arguments = ("--network", "testnet", "--exchange", "binance", "--exchange", "bybit", "--config", where)
    given = {"--values-fd": json.dumps(keys), "--password-fd": "correct horse battery"}
    status, said = script(run_cli, here, *arguments, fds=given)
    assert status == 2, said
    assert said.startswith(f"error: {where}: ")
    assert said.endswith("; name a file that can be written with --config\n")
    assert said.count("\n") == 1
    assert not list(home(here).glob("*"))
