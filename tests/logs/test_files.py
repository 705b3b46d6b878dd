"""A file a day, kept so long; a disk that is full costs lines and nothing else."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from fundingarb.logs.files import DailyFile

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def record(text: str, at: datetime) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO", "name": "test"})
    made.created = at.timestamp()
    return made


class Disk:
    """``os.write`` on a disk with so many bytes left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, handle: int, data: bytes) -> int:
        if self.left is None:
            return self._write(handle, data)
        part = data[: self.left]
        self.left -= len(part)
        if not part:
            raise OSError(28, "No space left on device")
        return self._write(handle, part)


def test_a_file_a_day_for_the_owner_only_and_old_ones_go(tmp_path: Path) -> None:
    folder, said = tmp_path / "logs", list[str]()
    handler = DailyFile(folder, "trades", 3, said.append)
    for day in range(6):
        handler.handle(record(f"day {day}", NOON + timedelta(days=day)))
    (folder / "trades-2026-02-30.jsonl").write_text("no such day")
    (folder / "notes.txt").write_text("somebody else's")
    (folder / "errors-2020-01-01.jsonl").write_text("another log's")
    handler.handle(record("day 6", NOON + timedelta(days=6)))
    handler.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "errors-2020-01-01.jsonl",
        "notes.txt",
        "trades-2026-02-30.jsonl",
        "trades-2026-03-05.jsonl",
        "trades-2026-03-06.jsonl",
        "trades-2026-03-07.jsonl",
    ]
    assert (folder / "trades-2026-03-07.jsonl").read_text() == "day 6\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "trades-2026-03-07.jsonl").stat().st_mode & 0o777 == 0o600
    assert said == []


def test_a_full_disk_is_told_once_and_the_gap_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, said = Disk(monkeypatch), list[str]()
    handler = DailyFile(tmp_path, "errors", 90, said.append)
    handler.handle(record('{"n": 1}', NOON))
    disk.left = 4
    for _ in range(5):
        handler.handle(record('{"n": 2}', NOON))
    disk.left = None
    handler.handle(record('{"n": 3}', NOON))
    handler.close()
    lines = (tmp_path / "errors-2026-03-01.jsonl").read_text().splitlines()
    assert lines[0] == '{"n": 1}'
    assert lines[1] == '{"n"'  # what fitted; the next line starts anew
    assert json.loads(lines[2])["event"] == "5 lines are missing here"
    assert lines[3] == '{"n": 3}'
    assert [text.split(": ", 1)[-1] for text in said] == [
        "No space left on device; lines are lost, trading goes on",
        f"{tmp_path / 'errors-2026-03-01.jsonl'} is written again; 5 lines are missing",
    ]


def test_a_line_that_was_cut_off_by_a_crash_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "errors-2026-03-01.jsonl"
    path.write_text('{"half": ')
    handler = DailyFile(tmp_path, "errors", 90, print)
    handler.handle(record('{"n": 1}', NOON))
    handler.close()
    assert path.read_text() == '{"half": \n{"n": 1}\n'


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    said = list[str]()
    (tmp_path / "target").write_text("")
    (tmp_path / "errors-2026-03-01.jsonl").symlink_to(tmp_path / "target")
    handler = DailyFile(tmp_path, "errors", 90, said.append)
    handler.handle(record("x", NOON))
    handler.close()
    assert (tmp_path / "target").read_text() == ""
    assert len(said) == 1
