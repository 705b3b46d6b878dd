"""Where alerts go: the log, and Telegram."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fundingarb.builtin.settings import LogSinkSettings, TelegramSettings
from fundingarb.domain.events import Alert, Severity
from fundingarb.errors import ConfigError
from fundingarb.ports import OpenContext, Secret

if TYPE_CHECKING:
    from telegram import Bot as TelegramBot

log = logging.getLogger("fundingarb.alerts")

SIGNS = {Severity.INFO: "🟢", Severity.WARNING: "🟡", Severity.CRITICAL: "🔴"}
LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.CRITICAL}


def render(alert: Alert) -> str:
    """The alert as the specification writes it: a headline with its severity, then one detail a line."""
    return "\n".join((f"{SIGNS[alert.severity]} {alert.severity.value} | {alert.title}", *alert.lines))


class LogSink:
    """Writes alerts to the log, one line each."""

    async def send(self, alert: Alert) -> None:
        log.log(LEVELS[alert.severity], "%s | %s", alert.title, " | ".join(alert.lines))


class TelegramSink:
    """Sends alerts to one chat; INFO arrives silently, the others with a sound."""

    def __init__(self, bot: TelegramBot, chat_id: int) -> None:
        self._bot = bot
        self._chat_id = chat_id

    async def send(self, alert: Alert) -> None:
        await self._bot.send_message(
            chat_id=self._chat_id,
            text=render(alert),
            disable_notification=alert.severity is Severity.INFO,
        )


def read_token(path: Path) -> Secret:
    """The token in ``path``, refused when others could read it or it is reached through a symbolic link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigError(f"alerts.telegram.token_file: {path}: {error.strerror}") from error
    with os.fdopen(descriptor) as file:
        status = os.fstat(file.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            raise ConfigError(
                f"alerts.telegram.token_file: others can read {path}; chown it to you and chmod 600 it"
            )
        token = file.read().strip()
    if not token:
        raise ConfigError(f"alerts.telegram.token_file: {path} is empty; put the bot's token into it")
    return Secret(token)


@asynccontextmanager
async def open_log(_settings: LogSinkSettings, _context: OpenContext) -> AsyncIterator[LogSink]:
    yield LogSink()


@asynccontextmanager
async def open_telegram(settings: TelegramSettings, _context: OpenContext) -> AsyncIterator[TelegramSink]:
    from telegram import Bot as TelegramBot
    from telegram.error import TelegramError

    logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO lines carry the token in the URL
    token = read_token(settings.token_file)
    try:
        async with TelegramBot(token.reveal(), base_url=settings.base_url) as bot:
            yield TelegramSink(bot, settings.chat_id)
    except TelegramError as error:
        reason = str(error).replace(token.reveal(), "***")
        raise ConfigError(
            f"alerts.telegram: the Bot API refused: {reason}; check token_file and base_url"
        ) from None
