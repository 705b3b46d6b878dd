"""Where alerts go besides Telegram: the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fundingarb.builtin.settings import LogSinkSettings
from fundingarb.domain.events import Alert, Severity
from fundingarb.ports import OpenContext

log = logging.getLogger("fundingarb.alerts")

LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.CRITICAL}


class LogSink:
    """Writes alerts to the log, one line each."""

    async def send(self, alert: Alert) -> None:
        log.log(LEVELS[alert.severity], "%s | %s", alert.title, " | ".join(alert.lines))


@asynccontextmanager
async def open_log(_settings: LogSinkSettings, _context: OpenContext) -> AsyncIterator[LogSink]:
    yield LogSink()
