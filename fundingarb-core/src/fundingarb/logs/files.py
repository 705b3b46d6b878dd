"""A file of JSON lines a day, kept for so many days. A disk that is full costs lines, never more."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from fundingarb.folders import make_private

Say = Callable[[str], None]


class DailyFile(logging.Handler):
    """Appends each record to ``folder/name-YYYY-MM-DD.jsonl`` (UTC) and deletes files older than ``days``.

    Several processes may write to one folder: a line is one write, and no file is ever renamed. What cannot be written
    is counted, ``say`` is told once, and the file says how many lines it lacks when it can be written again.
    """

    def __init__(self, folder: Path, name: str, days: int, say: Say) -> None:
        super().__init__()
        self._folder = folder
        self._name = name
        self._keep = timedelta(days=days)
        self._say = say
        self._day: date | None = None
        self._handle = -1
        self._lost = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a line that cannot be made must not end the writer
            line = json.dumps(
                {"event": f"a line was not made: {type(error).__name__}", "logger": record.name}
            )
        at = datetime.fromtimestamp(record.created, timezone.utc)
        try:
            self._open(at.date())
            if self._lost:
                told = {"at": at.isoformat(), "event": f"{self._lost} lines are missing here"}
                self._write(json.dumps(told))
                self._say(f"{self._path(at.date())} is written again; {self._lost} lines are missing")
                self._lost = 0
            self._write(line)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                self._say(f"{self._path(at.date())}: {error.strerror}; lines are lost, trading goes on")

    def close(self) -> None:
        self._shut()
        super().close()

    def _path(self, day: date) -> Path:
        return self._folder / f"{self._name}-{day.isoformat()}.jsonl"

    def _open(self, day: date) -> None:
        if self._handle >= 0 and day == self._day:
            return
        self._shut()
        make_private(self._folder)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._handle = os.open(self._path(day), flags, 0o600)
        self._torn = self._ends_torn()
        if day != self._day:
            self._delete_old(day)
        self._day = day

    def _ends_torn(self) -> bool:
        """Whether the last line was not finished: the disk was full, or the process ended within it."""
        size = os.fstat(self._handle).st_size
        return size > 0 and os.pread(self._handle, 1, size - 1) != b"\n"

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._handle, data)
        except OSError:
            self._shut()  # perhaps the file system went away; it is opened anew
            raise
        self._torn = written < len(data)
        if self._torn:
            raise OSError(28, "No space left on device")

    def _shut(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _delete_old(self, today: date) -> None:
        for path, day in dated(self._folder, self._name):
            if today - day >= self._keep:
                try:
                    path.unlink()
                except OSError as error:
                    self._say(f"{path} is old and cannot be deleted: {error.strerror}")


def dated(folder: Path, name: str) -> list[tuple[Path, date]]:
    """The files of ``name`` in ``folder`` and the days they are of, oldest first."""
    pattern = re.compile(re.escape(name) + r"-(\d{4}-\d\d-\d\d)\.jsonl")
    found = []
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            try:
                found.append((path, date.fromisoformat(match[1])))
            except ValueError:
                continue
    return sorted(found, key=lambda each: each[1])
