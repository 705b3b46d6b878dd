"""Where alerts go: the log, and Telegram."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from fundingarb.builtin.settings import LogSinkSettings, TelegramSettings
from fundingarb.domain.events import Alert, Severity
from fundingarb.errors import ConfigError, FundingArbError
from fundingarb.ports import OpenContext, Secret

if TYPE_CHECKING:
    from telegram import Bot as TelegramBot

log = logging.getLogger("fundingarb.alerts")

SIGNS = {Severity.INFO: "🟢", Severity.WARNING: "🟡", Severity.CRITICAL: "🔴"}
LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.CRITICAL}

TOKEN = re.compile(rb"[0-9]+:[A-Za-z0-9_-]+")
MOST_BYTES = 4096


def render(alert: Alert) -> str:
    """The alert as the specification writes it: a headline with its severity, then one detail a line."""
    return "\n".join((f"{SIGNS[alert.severity]} {alert.severity.value} | {alert.title}", *alert.lines))


class LogSink:
    """Writes alerts to the log, one line each."""

    async def send(self, alert: Alert) -> None:
        log.log(LEVELS[alert.severity], "%s | %s", alert.title, " | ".join(alert.lines))


class NotDelivered(FundingArbError):
    """Telegram did not take an alert. The others are sent all the same; the journal has it."""


class TelegramSink:
    """Sends alerts to one chat; INFO arrives silently, the others with a sound. Raises ``NotDelivered``."""

    def __init__(self, bot: TelegramBot, chat_id: int, token: Secret) -> None:
        self._bot = bot
        self._chat_id = chat_id
        self._token = token

    async def send(self, alert: Alert) -> None:
        from telegram.constants import MessageLimit
        from telegram.error import TelegramError

        try:
            await self._bot.send_message(
                chat_id=self._chat_id,
                text=render(alert)[: MessageLimit.MAX_TEXT_LENGTH],
                disable_notification=alert.severity is Severity.INFO,
            )
        except TelegramError as error:
            raise NotDelivered(_without(self._token, error)) from None


def read_token(path: Path) -> Secret:
    """The token in ``path``, refused when others could read it or it is reached through a symbolic link."""
    where = f"alerts.telegram.token_file: {path}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigError(f"{where} is a symbolic link; name the file itself") from error
        raise ConfigError(f"{where}: {error.strerror}; put the bot's token into it") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{where} is not a file; put the bot's token into one")
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            raise ConfigError(f"{where} can be read by others; chown it to you and chmod 600 it")
        token = os.read(descriptor, MOST_BYTES).strip()
    finally:
        os.close(descriptor)
    if not token:
        raise ConfigError(f"{where} is empty; put the bot's token into it")
    if not TOKEN.fullmatch(token):
        raise ConfigError(f"{where} holds no bot token; one looks like 123456:ABC-DEF and stands there alone")
    return Secret(token.decode())


def _without(token: Secret, error: Exception) -> str:
    """What ``error`` says, on one line and without the token, which the library repeats in places."""
    text = str(error).replace(token.reveal(), "***")
    return f"{type(error).__name__}: {' '.join(text.split())}"


@asynccontextmanager
async def open_log(_settings: LogSinkSettings, _context: OpenContext) -> AsyncIterator[LogSink]:
    yield LogSink()


@asynccontextmanager
async def open_telegram(settings: TelegramSettings, _context: OpenContext) -> AsyncIterator[TelegramSink]:
    """Alerts to Telegram. A refused token stops the start; a Telegram that is down does not: hedges come first."""
    from telegram import Bot as TelegramBot
    from telegram.error import BadRequest, NetworkError, TelegramError

    for library in ("telegram", "httpx", "httpcore"):  # their INFO and DEBUG lines carry the token in the URL
        logging.getLogger(library).setLevel(logging.WARNING)
    token = read_token(settings.token_file)
    bot = TelegramBot(token.reveal(), base_url=settings.base_url)
    try:
        await bot.initialize()
    except TelegramError as error:
        reason = _without(token, error)
        if not isinstance(error, NetworkError) or isinstance(error, BadRequest):
            with anyio.CancelScope(shield=True):
                await bot.shutdown()
            raise ConfigError(
                f"alerts.telegram: the Bot API refused: {reason}; check token_file and base_url"
            ) from None
        log.warning("Telegram cannot be reached (%s); alerts are tried as they come", reason)
    try:
        yield TelegramSink(bot, settings.chat_id, token)
    finally:
        with anyio.CancelScope(shield=True):
            await bot.shutdown()
