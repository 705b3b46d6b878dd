"""What goes where, and that whoever logs waits for nothing."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fundingarb.config import load_config
from fundingarb.errors import ConfigError
from fundingarb.logs import setup
from fundingarb.logs.setup import TRADES, LogPlan, logging_to
from fundingarb.panel.logs import logs_of_a_bot
from fundingarb.ports import Secret

SECRET = "setup-canary-4711"


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    level = logging.getLogger(TRADES).level
    yield
    logging.getLogger(TRADES).setLevel(level)


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    found = sorted(folder.glob(f"{name}-*.jsonl"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def test_trades_errors_and_everything(tmp_path: Path) -> None:
    file, log = tmp_path / "terminal.log", logging.getLogger("fundingarb.some")
    with logging_to(LogPlan("INFO", file, tmp_path / "logs", debug=True)):
        log.debug("a detail of %s", {"x": 1})
        log.info("news")
        log.error("wrong")
        logging.getLogger(TRADES).info("a trade")
        logging.getLogger("httpx").info("GET https://example.org/bot123:TOKEN/getMe")
    assert [line["event"] for line in lines(tmp_path / "logs", "trades")] == ["a trade"]
    assert [line["event"] for line in lines(tmp_path / "logs", "errors")] == ["wrong"]
    everything = lines(tmp_path / "logs", "debug")
    assert [line["event"] for line in everything] == ["a detail of {'x': 1}", "news", "wrong", "a trade"]
    assert everything[0].keys() == {"at", "level", "logger", "event"}
    said = file.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in said] == [
        "INFO fundingarb.some: news",
        "ERROR fundingarb.some: wrong",
    ]


def test_without_debug_there_is_no_debug_log_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    with logging_to(LogPlan("WARNING", tmp_path / "t.log", tmp_path / "logs")):
        assert not logging.getLogger("fundingarb.some").isEnabledFor(logging.INFO)
        assert logging.getLogger(TRADES).isEnabledFor(logging.INFO)
    assert not list((tmp_path / "logs").glob("debug-*"))


def test_tracebacks_threads_finalizers_and_warnings_are_there_without_secrets(tmp_path: Path) -> None:
    secret = Secret(SECRET)
    log = logging.getLogger("fundingarb.some")

    class Dying:
        def __del__(self) -> None:
            raise ValueError(f"finalizer {secret.reveal()}")

    def die() -> None:
        raise ValueError(f"thread {secret.reveal().encode().hex()}")

    with logging_to(LogPlan("INFO", tmp_path / "t.log", tmp_path / "logs", debug=True)):
        try:
            raise ValueError(f"signed URL ...&key={secret.reveal()}")
        except ValueError:
            log.exception("failed with %s", secret.reveal())
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
        Dying()
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"warned {secret.reveal()}", stacklevel=1)
    found = lines(tmp_path / "logs", "errors")
    text = json.dumps(found)
    for part in ("failed with ***", "&key=***", "thread ***", "finalizer ***", "warned ***"):
        assert part in text
    assert "Traceback" in found[0]["exception"]
    for path in [tmp_path / "t.log", *(tmp_path / "logs").iterdir()]:
        data = path.read_text()
        assert SECRET not in data
        assert SECRET.encode().hex() not in data


def test_what_is_said_cannot_forge_lines_or_move_the_cursor(tmp_path: Path) -> None:
    with logging_to(LogPlan("INFO", tmp_path / "t.log", tmp_path / "logs")):
        logging.getLogger("fundingarb.some").error("symbol BTC\r\n2026 INFO forged \x1b[2J\x9b1m\u202e")
    said = (tmp_path / "t.log").read_text()
    assert said.count("\n") == 1
    assert all(each.isprintable() or each == "\n" for each in said)
    assert (tmp_path / "logs" / f"errors-{said[:10]}.jsonl").read_bytes().isascii()


class Stuck(logging.Handler):
    """A disk that hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.go.wait(20)
        time.sleep(0.0001)  # a disk: other threads go on meanwhile
        self.written.append(record.getMessage())


def test_whoever_logs_never_waits_for_a_disk_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stuck = Stuck()
    monkeypatch.setattr(setup, "terminal_or", lambda file: stuck)
    monkeypatch.setattr(setup, "WAITING", 1000)
    log = logging.getLogger("fundingarb.some")
    with logging_to(LogPlan("INFO")):
        began = time.perf_counter()
        for number in range(3000):
            log.info("line %d", number)
        assert time.perf_counter() - began < 2.0
        stuck.go.set()
    assert 1000 <= len(stuck.written) <= 1003
    assert stuck.written[-1].endswith("lines were dropped: they came faster than they are written")


def test_lines_that_were_dropped_are_told_of_also_when_the_program_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = Stuck()
    monkeypatch.setattr(setup, "terminal_or", lambda file: stuck)
    monkeypatch.setattr(setup, "WAITING", 10)
    with logging_to(LogPlan("INFO")):
        for number in range(30):
            logging.getLogger("fundingarb.some").info("line %d", number)
        threading.Timer(0.1, stuck.go.set).start()  # when the end of the program waits behind them
    assert 11 <= len(stuck.written) <= 12
    assert stuck.written[-1].endswith("lines were dropped: they came faster than they are written")


def test_a_disk_that_hangs_at_the_end_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck()
    monkeypatch.setattr(setup, "terminal_or", lambda file: stuck)
    monkeypatch.setattr(setup, "FLUSH_SECONDS", 0.1)
    began = time.perf_counter()
    with logging_to(LogPlan("INFO")):
        logging.getLogger("fundingarb.some").info("line")
    assert time.perf_counter() - began < 2.0
    stuck.go.set()


def test_a_full_disk_never_reaches_whoever_logs(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with logging_to(LogPlan("INFO", Path("/dev/full"), tmp_path / "logs")):
        for _ in range(10):
            logging.getLogger("fundingarb.some").error("line")
    assert len(lines(tmp_path / "logs", "errors")) == 10


def test_a_line_that_cannot_be_made_is_a_line_that_says_so(tmp_path: Path) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with logging_to(LogPlan("INFO", tmp_path / "t.log")):
        logging.getLogger("fundingarb.some").info("a %s", Odd())
        logging.getLogger("fundingarb.some").info("%d", "text")
        logging.getLogger("fundingarb.some").info("next")
    said = (tmp_path / "t.log").read_text().splitlines()
    assert [line.rsplit(": ", 1)[1] for line in said] == ["RuntimeError", "TypeError", "next"]


def test_a_folder_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"logging.folder: .*file/logs: Not a directory; name a folder"):
        logging_to(LogPlan("INFO", None, tmp_path / "file" / "logs")).__enter__()


def test_a_log_that_cannot_be_written_keeps_nobody_from_closing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken, fine = tmp_path / "file" / "x", tmp_path / "t.log"
    said: list[str] = []

    def kept(file: Path, folder: Path) -> None:
        said.clear()
        config = load_config(None, {"logging.file": str(file), "logging.folder": str(folder)}, {})
        with logs_of_a_bot(config, said.append):
            logging.getLogger(TRADES).info({"event": "trade"})
            logging.getLogger("x").warning("a word")

    kept(fine, tmp_path / "logs")
    assert (said, fine.read_text().count("a word")) == ([], 1)
    assert len(list((tmp_path / "logs").glob("trades-*.jsonl"))) == 1
    kept(broken, tmp_path / "other")
    assert len(list((tmp_path / "other").glob("trades-*.jsonl"))) == 1
    (line,) = said
    assert line.startswith(f"logging.file: {broken}: Not a directory; ")
    assert line.endswith("; going on without that log")
    kept(fine, broken)
    assert fine.read_text().count("a word") == 2
    (line,) = said
    assert line.startswith("logging.folder: ")
    kept(broken, broken)
    assert len(said) == 2


def test_what_was_logged_to_before_is_again_afterwards(tmp_path: Path) -> None:
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    level = root.level
    with logging_to(LogPlan("INFO", tmp_path / "t.log")):
        assert root.handlers != before
    assert (root.handlers, root.level) == (before, level)


def test_a_command_that_says_everything_itself_has_a_quiet_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logging_to(LogPlan("INFO", None, tmp_path, terminal=False)):
        logging.getLogger("x").error("a word")
    assert "a word" in next(tmp_path.glob("errors-*.jsonl")).read_text()
    assert capfd.readouterr().err == ""
