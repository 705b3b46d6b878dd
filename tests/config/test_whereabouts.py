"""The note beside a configuration's file of which bot runs with it, and commands that look there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fundingarb.config import Config, load_config
from fundingarb.process import Process, this_process
from fundingarb.whereabouts import noted, notes, there

FILE = """\
network: localnet
database: {{url: "sqlite:///{folder}/{name}.db"}}
accounts: {{binance: {{exchange: binance}}, bybit: {{exchange: bybit}}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "fundingarb.yaml")


def write(file: Path, name: str = "bot", old: str = "", new: str = "") -> Path:
    file.write_text(FILE.format(folder=file.parent, name=name).replace(old, new))
    return file


@contextmanager
def another(file: Path, process: Process, name: str) -> Iterator[None]:
    """A note of another process, which runs with a database of that name."""
    with noted(loaded(file)):
        (note,) = notes(file)
        content = json.loads(note.path.read_text())
    content["process"] = process.dump()
    content["settings"]["database"] = {"url": f"sqlite:///{file.parent}/{name}.db"}
    path = file.with_name(f".{file.name}.elsewhere-7.running")
    path.write_text(json.dumps(content))
    yield
    path.unlink()


def loaded(file: Path) -> Config:
    return load_config(file, env={})


def test_without_a_note_the_file_counts(file: Path) -> None:
    config = loaded(file)
    assert there(config, file) == (config, [])


def test_while_a_bot_runs_its_database_network_and_accounts_count(file: Path) -> None:
    with noted(loaded(file)):
        assert there(loaded(file), file)[1] == [], "nothing to be told of"
        write(file, "other", "bybit}", "okx}").write_text(f"{file.read_text()}trading: {{min_net_usd: 7}}\n")
        found, (told,) = there(loaded(file), file)
        assert found is not None
        assert found.database.url.endswith("/bot.db")
        assert found.accounts["bybit"].exchange == "bybit"
        assert found.trading.min_net_usd == 7, "what else the file says is taken from it"
        assert found.origin is not None
        assert "(database.url, accounts.bybit.exchange)" in told
        assert f"process {this_process().pid}" in told
        broken, (told,) = there(None, file)
        assert broken is not None
        assert broken.database.url.endswith("/bot.db")
        assert "cannot be used" in told
    found, told_after = there(loaded(file), file)
    assert found is not None
    assert (found.database.url.endswith("/other.db"), told_after) == (True, [])
    assert list(file.parent.glob(".*")) == []


def test_a_relative_database_is_found_from_another_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    file.write_text('database: {url: "sqlite:///bot.db"}\n')
    monkeypatch.chdir(tmp_path)
    with noted(loaded(file)):
        found, told = there(loaded(file), file)
        assert found is not None
        assert (found.database.url, told) == ("sqlite:///bot.db", [])
        monkeypatch.chdir(tmp_path / "elsewhere")
        found, told = there(loaded(file), file)
        assert found is not None
        assert found.database.url == f"sqlite:///{tmp_path}/bot.db"


def test_a_password_is_in_no_note_and_is_taken_from_the_file(file: Path) -> None:
    url = "postgresql://me:s3cret@localhost/bot"
    file.write_text(f'database: {{url: "{url}"}}\n')
    with noted(loaded(file)):
        (note,) = notes(file)
        assert "s3cret" not in note.path.read_text()
        assert note.path.stat().st_mode & 0o777 == 0o600
        found, told = there(loaded(file), file)
        assert found is not None
        assert (found.database.url, told) == (url, [])


def test_a_process_that_has_ended_is_not_followed_and_its_note_goes_with_the_next_start(file: Path) -> None:
    me = this_process()
    with another(file, Process(me.host, me.pid, "another start"), "old"):
        config = loaded(file)
        assert there(config, file) == (config, [])
        with noted(config):
            assert len(list(file.parent.glob(".*.running"))) == 1
        file.with_name(f".{file.name}.elsewhere-7.running").touch()


def test_a_process_on_another_host_is_named(file: Path) -> None:
    with another(file, Process("far-away", 7, "then"), "old"):
        config = loaded(file)
        found, (told,) = there(config, file)
        assert found == config
        assert told.startswith("process 7 on far-away was started with")


def test_another_bot_with_the_same_file_is_named(file: Path) -> None:
    with another(file, this_process(), "old"), noted(loaded(file)):
        found, (told,) = there(loaded(file), file)
        assert found is not None
        assert found.database.url.endswith("/bot.db")
        assert f"--set database.url=sqlite:///{file.parent}/old.db" in told


def test_a_note_that_is_none_and_a_folder_that_cannot_be_written_keep_nobody(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = file.with_name(f".{file.name}.x-1.running")
    for text in ("", "[]", '{"process": "", "settings": {}}', '{"process": 5}'):
        bad.write_text(text)
        config = loaded(file)
        assert there(config, file) == (config, [])
    bad.unlink()

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fundingarb.config.edit.os.fsync", full)
    with noted(loaded(file)):
        assert "no note of it" in caplog.text
