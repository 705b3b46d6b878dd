"""A file that was changed under the bot that was started with it: each command says so, or looks where that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import RunCli

from fundingarb.config import Config, load_config
from fundingarb.panel.doctor import Verdict, _bots
from fundingarb.process import Process, this_process
from fundingarb.store import upgrade
from fundingarb.store.copies import name_of
from fundingarb.store.database import parse_url
from fundingarb.store.lease import alone_with
from fundingarb.whereabouts import noted, notes


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file that names ``new.db`` while a bot (this process) that was started with it trades on ``old.db``."""
    made = tmp_path / "fundingarb.yaml"
    for name in ("old", "new"):
        upgrade(f"sqlite:///{tmp_path}/{name}.db")
    with noted(written(made, "old")):
        written(made, "new")
        yield made


def written(file: Path, name: str) -> Config:
    file.write_text(
        f"network: localnet\ndatabase: {{url: 'sqlite:///{file.parent}/{name}.db'}}\n"
        "accounts: {binance: {exchange: binance}, bybit: {exchange: bybit}}\n"
    )
    return load_config(file, env={})


def on_another_host(file: Path) -> None:
    (note,) = notes(file)
    content = json.loads(note.path.read_text())
    note.path.write_text(json.dumps({**content, "process": Process("far-away", 7, "then").dump()}))


def test_a_second_bot_is_refused_in_one_line(run_cli: RunCli, file: Path) -> None:
    done = run_cli("run", "--config", str(file))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (
        f"process {this_process().pid} was started with this file and trades on SQLite database"
        in done.stderr
    )
    assert f"{file.parent}/old.db, not on SQLite database {file.parent}/new.db: end it first" in done.stderr


def test_a_second_bot_on_a_database_that_is_named_is_meant(run_cli: RunCli, file: Path) -> None:
    done = run_cli("run", "--config", str(file), "--set", f"database.url=sqlite:///{file.parent}/new.db")
    assert "was started with this file" not in done.stderr
    assert "needs a ready file" in done.stderr


def test_a_bot_on_another_host_may_have_ended(run_cli: RunCli, file: Path) -> None:
    on_another_host(file)
    done = run_cli("run", "--config", str(file))
    first, second = done.stderr.splitlines()
    assert first.startswith(
        "warning: process 7 on far-away, which was started with this file, may still trade on"
    )
    assert "needs a ready file" in second


def test_a_backup_is_of_what_the_bot_trades_on_and_says_so(run_cli: RunCli, file: Path) -> None:
    done = run_cli("backup", "--config", str(file), "--to", str(file.parent / "copies"))
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert "this goes to that bot, which trades on network localnet" in said
    assert f"{file.parent}/old.db" in said
    assert name_of(f"sqlite:///{file.parent}/old.db") in done.stdout


def test_a_restore_waits_for_the_end_of_the_bot_that_runs(run_cli: RunCli, file: Path) -> None:
    copy = run_cli("backup", "--config", str(file), "--to", str(file.parent / "copies")).stdout.strip()
    before = (file.parent / "new.db").read_bytes()
    with alone_with(parse_url(f"sqlite:///{file.parent}/old.db")):
        done = run_cli("restore", "--yes", "--config", str(file), copy)
    assert done.returncode == 2
    assert f"{file.parent}/old.db is in use; end the bot that uses it first" in done.stderr
    assert (file.parent / "new.db").read_bytes() == before


@pytest.mark.parametrize("command", ["current", "upgrade"])
def test_a_schema_is_that_of_the_file_and_the_bot_is_named(run_cli: RunCli, file: Path, command: str) -> None:
    done = run_cli("db", command, "--config", str(file))
    assert done.returncode == 0
    assert f"{file.parent}/new.db" in done.stdout
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        f"warning: process {this_process().pid}, which was started with this file, trades on"
    )
    assert said.endswith(f"{file.parent}/old.db; this is about SQLite database {file.parent}/new.db")
    assert run_cli("db", command, "--url", f"sqlite:///{file.parent}/new.db").stderr == ""


def test_the_doctor_finds_it(file: Path) -> None:
    (found,) = _bots(load_config(file, env={}))
    assert (found.subject, found.check, found.verdict) == ("database", "bot", Verdict.WARNING)
    assert found.detail.endswith(f"old.db; the file names SQLite database {file.parent}/new.db")
    assert found.remedy.startswith("put database.url back")
    assert _bots(written(file, "old")) == []
