"""Log lines on a terminal: for people, without secrets and without control characters."""

from __future__ import annotations

import logging
import sys
import traceback
import unicodedata
from datetime import datetime, timezone
from pathlib import Path

from fundingarb.errors import ConfigError
from fundingarb.redaction import redacted

NOISY = (
    "aiohttp.access",
    "alembic",
    "ccxt",
    "httpcore",
    "httpx",
    "hypercorn.access",
    "telegram",
)
"""Libraries whose lines below WARNING say nothing, or repeat URLs that hold secrets."""


class Redacting(logging.Formatter):
    """What another formatter makes, without secrets."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._inner.format(record))


class Plain(logging.Formatter):
    """For people: one line, its control characters made visible, and the traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
        trace = trace_of(record)
        return f"{at} {record.levelname} {record.name}: {visible(record.getMessage())}" + (
            f"\n{trace.rstrip()}" if trace else ""
        )


def visible(text: str) -> str:
    """``text`` on one line, without what would move a terminal's cursor or colour it."""
    if text.isprintable():
        return text
    return "".join(
        each if unicodedata.category(each)[0] != "C" else each.encode("unicode_escape").decode()
        for each in text
    )


def trace_of(record: logging.LogRecord) -> str:
    """The traceback that ``record`` brings; empty when it brings none."""
    if record.exc_info and record.exc_info[0] is not None:
        return "".join(traceback.format_exception(*record.exc_info))
    found: str = getattr(record, "trace", "")
    return found


def quieten() -> None:
    """Libraries that talk too much say warnings only."""
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def terminal_or(file: Path | None) -> logging.Handler:
    """Standard error, or ``file``. Raises ``ConfigError``."""
    try:
        handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise ConfigError(
            f"logging.file: {file}: {error.strerror}; name a file that can be written"
        ) from error
    handler.setFormatter(Redacting(Plain()))
    handler.handleError = lambda record: None  # type: ignore[method-assign] # a full disk, a closed terminal
    return handler
