"""Alerts by mail: a second way to a person, for when the first one is down."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import anyio.to_thread

from fundingarb.builtin.settings import MailSettings
from fundingarb.domain.control import plain
from fundingarb.domain.events import Alert, Severity
from fundingarb.errors import FundingArbError
from fundingarb.ports import OpenContext, Secret

SECRET = "mail-password"  # noqa: S105 - the name of it
"""What the password of ``user`` is called in the vault."""
ANSWER_SECONDS = 8.0
"""Real seconds that the server has for each answer."""
NAME = "[127.0.0.1]"
"""What this machine is called to the server: asking for its real name may take longer than sending the mail."""
LONGEST_LINE = 990

ORDER = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


class NotSent(FundingArbError):
    """The mail server did not take an alert. It is tried again; the journal has it."""


class MailSink:
    """An alert sink. Every mail is a connection of its own, in a thread. Raises ``NotSent``."""

    def __init__(self, settings: MailSettings, password: Secret | None) -> None:
        self._settings = settings
        self._password = password
        self._wanted = ORDER[ORDER.index(Severity(settings.least)) :]

    async def send(self, alert: Alert) -> None:
        """Sends it, unless it is less severe than what is wanted."""
        if alert.severity in self._wanted:
            await anyio.to_thread.run_sync(self._talk, self._written(alert), abandon_on_cancel=True)

    async def check(self) -> str | None:
        try:
            await anyio.to_thread.run_sync(self._talk, None, abandon_on_cancel=True)
        except NotSent as error:
            return f"{error}; correct alerts.mail"
        return None

    def _written(self, alert: Alert) -> EmailMessage:
        settings, message = self._settings, EmailMessage()
        message["Subject"] = f"{alert.severity.value} | {plain(alert.title, LONGEST_LINE)}"
        message["From"] = settings.sender
        message["To"] = ", ".join(settings.to)
        message["Date"] = format_datetime(datetime.now(timezone.utc))
        message["Message-ID"] = make_msgid(domain=settings.sender.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        lines = (*alert.lines, "", f"{alert.at:%Y-%m-%d %H:%M:%S} UTC, fundingarb")
        message.set_content("\n".join(plain(line, LONGEST_LINE) for line in lines))
        return message

    def _talk(self, message: EmailMessage | None) -> None:
        """Log in, and send ``message`` where there is one. Raises ``NotSent``."""
        settings = self._settings
        try:
            with self._connected() as server:
                if self._password is not None and settings.user is not None:
                    server.login(settings.user, self._password.reveal())
                if message is not None:
                    server.send_message(message)
        except OSError as error:  # smtplib's own are of this kind, too
            raise NotSent(
                f"the mail server {settings.host} did not take an alert: {_reason(error)}"
            ) from None

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.tls == "tls":
            return smtplib.SMTP_SSL(
                settings.host,
                settings.port,
                NAME,
                timeout=ANSWER_SECONDS,
                context=ssl.create_default_context(),
            )
        server = smtplib.SMTP(settings.host, settings.port, NAME, timeout=ANSWER_SECONDS)
        if settings.tls == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


def _reason(error: Exception) -> str:
    """What the server or the system says, in one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return plain(f"{error.smtp_code} {text}", 200)
    return plain(str(error) or type(error).__name__, 200)


@asynccontextmanager
async def open_mail(settings: MailSettings, context: OpenContext) -> AsyncIterator[MailSink]:
    """Alerts by mail. A server that is down stops no start: ``fundingarb doctor --alert`` tries it."""
    yield MailSink(settings, None if settings.user is None else context.secret(SECRET))
