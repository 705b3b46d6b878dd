"""Where log records go. The loop that trades only puts them into a queue: one thread formats, redacts and writes."""

from __future__ import annotations

import errno
import json
import logging
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import structlog

from fundingarb.errors import ConfigError
from fundingarb.folders import make_private
from fundingarb.logs.files import DailyFile
from fundingarb.logs.terminal import Redacting, quieten, terminal_or, trace_of

TRADES = "fundingarb.trades"
"""The logger of the trade log."""

WAITING = 20_000
"""Records that wait for the disk at most; further ones are counted and dropped."""
FLUSH_SECONDS = 5.0
"""How long the end of the program waits for the disk."""


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What is kept: lines of at least ``level`` on the terminal or in ``file``; ``folder`` (None: none) has the daily
    files, ``debug`` whether everything is kept there too; then how many days each is kept. ``terminal`` False: nothing
    goes to the terminal, whether there is a ``file`` or not."""

    level: str = "INFO"
    file: Path | None = None
    folder: Path | None = None
    debug: bool = False
    trade_days: int = 365
    error_days: int = 90
    debug_days: int = 7
    terminal: bool = True


def json_lines() -> logging.Formatter:
    """One JSON object a record: ``at`` (UTC), ``level``, ``logger``, ``event``, then what the record brings."""

    def head(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        record: logging.LogRecord = event.pop("_record")
        event.pop("_from_structlog", None)
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat()
        trace = trace_of(record)
        return {
            "at": at,
            "level": record.levelname,
            "logger": record.name,
            **event,
            **({"exception": trace} if trace else {}),
        }

    renderer = structlog.processors.JSONRenderer(serializer=_dumps)
    return Redacting(structlog.stdlib.ProcessorFormatter(processors=[head, renderer]))


def _dumps(value: Any, **_options: Any) -> str:
    return json.dumps(value, default=str)


class _Line(logging.Handler):
    """Puts records into the writer's queue, complete: what they refer to may change before they are written."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            made = logging.makeLogRecord(record.__dict__)
            if not isinstance(made.msg, dict):
                made.msg, made.args = record.getMessage(), None
            made.trace, made.exc_info, made.exc_text = trace_of(record), None, None
        except Exception as error:  # noqa: BLE001 - a line that cannot be made is a line that says so
            made = logging.makeLogRecord({**record.__dict__, "exc_info": None, "args": None})
            made.msg = f"a line was not made: {type(error).__name__}"
        self._writer.put(made)


class _Writer(threading.Thread):
    """The one thread that writes."""

    def __init__(self, handlers: Sequence[logging.Handler]) -> None:
        super().__init__(name="fundingarb-logs", daemon=True)
        self._handlers = handlers
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        self._dropped = 0

    def put(self, record: logging.LogRecord | None) -> None:
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def run(self) -> None:
        while (record := self._queue.get()) is not None:
            self._write(record)
            if self._queue.empty():
                self._tell_dropped()
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._write(_record(f"{dropped} lines were dropped: they came faster than they are written"))

    def _write(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                try:
                    handler.handle(record)
                except Exception:  # noqa: BLE001, S112 - nothing is left to tell it to
                    continue

    def finish(self) -> None:
        """Write what waits, unless the disk takes too long."""
        try:
            self._queue.put(None, timeout=FLUSH_SECONDS)
        except queue.Full:
            return
        self.join(FLUSH_SECONDS)


def _record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "fundingarb.logs", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
    )


@contextmanager
def logging_to(plan: LogPlan) -> Iterator[None]:
    """Log as ``plan`` says until the block is left, then as before.

    Raises ``ConfigError`` when a place cannot be written to.
    """
    terminal = _terminal(plan)
    try:
        files = [] if plan.folder is None else _daily(plan, plan.folder, terminal)
    except ConfigError:
        terminal.close()
        raise
    writer = _Writer([terminal, *files])
    root, line = logging.getLogger(), _Line(writer)
    before = root.level, list(root.handlers)
    root.handlers[:] = [line]
    root.setLevel(logging.DEBUG if plan.debug else min(_level(plan), logging.WARNING))
    logging.getLogger(TRADES).setLevel(logging.INFO)
    quieten()
    writer.start()
    with _last_words():
        try:
            yield
        finally:
            root.setLevel(before[0])
            root.handlers[:] = before[1]
            writer.finish()
            for handler in (terminal, *files):
                with suppress(OSError):
                    handler.close()


def _level(plan: LogPlan) -> int:
    return int(getattr(logging, plan.level))


def _terminal(plan: LogPlan) -> logging.Handler:
    handler = terminal_or(plan.file) if plan.file or plan.terminal else logging.NullHandler()
    handler.setLevel(_level(plan))
    handler.addFilter(lambda record: record.name != TRADES)
    return handler


def _daily(plan: LogPlan, folder: Path, terminal: logging.Handler) -> list[logging.Handler]:
    try:
        make_private(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigError(
                f"logging.folder: {folder}: {error.strerror}; name a folder that can be written"
            ) from error

    def say(text: str) -> None:
        terminal.handle(_record(text))

    trades = DailyFile(folder, "trades", plan.trade_days, say)
    trades.addFilter(lambda record: record.name == TRADES)
    errors = DailyFile(folder, "errors", plan.error_days, say)
    errors.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [trades, errors]
    if plan.debug:
        handlers.append(DailyFile(folder, "debug", plan.debug_days, say))
    for handler in handlers:
        handler.setFormatter(json_lines())
    return handlers


@contextmanager
def _last_words() -> Iterator[None]:
    """What threads and finalizers die of, and warnings, go to the log instead of past it to the terminal."""
    log = logging.getLogger("fundingarb")
    before = threading.excepthook, sys.unraisablehook

    def thread_died(died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread else "a thread"
        log.error(
            "%s died", name, exc_info=(died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback)
        )

    def not_raised(failed: Any) -> None:
        found = failed.exc_value
        log.error("not raised: %s", failed.err_msg or "in a finalizer", exc_info=found)

    threading.excepthook, sys.unraisablehook = thread_died, not_raised
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook = before
