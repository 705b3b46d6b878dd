"""The mail sink against a mail server on loopback."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fundingarb.builtin.mail import MailSink, NotSent, open_mail
from fundingarb.builtin.settings import MailSettings
from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.clock import SystemClock
from fundingarb.errors import ConfigError
from fundingarb.localnet.tls import Authority
from fundingarb.ports import OpenContext, Secret

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
PASSWORD = "canary-of-the-mail-server"
ALERT = Alert(
    Severity.CRITICAL, "Liquidation Detected", ("Pair: ETH-USDT", "Loss: -$1,234.56 – naïve €"), NOW
)


@dataclass
class Server:
    """What a mail server was told. ``refuses``: command -> its answer."""

    port: int = 0
    refuses: dict[str, str] = field(default_factory=dict)
    offers: tuple[str, ...] = ("AUTH PLAIN LOGIN", "8BITMIME")
    said: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(*lines: str) -> None:
            writer.write("".join(f"{line}\r\n" for line in lines).encode())

        answer("220 ready")
        while line := (await reader.readline()).decode().strip():
            self.said.append(line)
            command = line.split()[0].upper()
            if command in self.refuses:
                answer(self.refuses[command])
            elif command == "EHLO":
                answer("250-mail.example.org", *(f"250-{offer}" for offer in self.offers), "250 HELP")
            elif command == "AUTH":
                answer("235 welcome")
            elif command == "DATA":
                answer("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                found = email.message_from_bytes(raw[:-5], policy=email.policy.default)
                assert isinstance(found, EmailMessage)
                self.mails.append(found)
                answer("250 taken")
            else:
                answer("221 bye" if command == "QUIT" else "250 fine")
            if command == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def mail_server(context: ssl.SSLContext | None = None, **changes: Any) -> AsyncIterator[Server]:
    made = Server(**changes)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def settings(port: int, **changes: Any) -> MailSettings:
    values = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "sender": "bot@example.org",
        "to": ["me@example.org", "you@example.org"],
    }
    return MailSettings.model_validate({**values, **changes})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_critical_alert_is_a_mail() -> None:
    async with mail_server() as server:
        await MailSink(settings(server.port), None).send(ALERT)
    (mail,) = server.mails
    assert mail["Subject"] == "CRITICAL | Liquidation Detected"
    assert (mail["From"], mail["To"]) == ("bot@example.org", "me@example.org, you@example.org")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [*ALERT.lines, "", "2026-03-01 12:00:00 UTC, fundingarb"]
    assert sum(line.lower().startswith("rcpt to:") for line in server.said) == 2
    assert not any(line.startswith("AUTH") for line in server.said)


async def test_only_what_is_wanted_is_sent() -> None:
    warning, info = (Alert(each, "Something", (), NOW) for each in (Severity.WARNING, Severity.INFO))
    async with mail_server() as server:
        for alert in (warning, info):
            await MailSink(settings(server.port), None).send(alert)
        assert server.said == []
        for alert in (warning, info):
            await MailSink(settings(server.port, least="WARNING"), None).send(alert)
    assert [mail["Subject"] for mail in server.mails] == ["WARNING | Something"]


async def test_what_an_exchange_says_is_no_header_and_no_other_line() -> None:
    nasty = Alert(Severity.CRITICAL, "Refused\r\nBcc: all@example.org", ("one\r\n.\r\nMAIL FROM:<x>",), NOW)
    async with mail_server() as server:
        await MailSink(settings(server.port), None).send(nasty)
    (mail,) = server.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == r"CRITICAL | Refused\r\nBcc: all@example.org"
    assert mail.get_content().splitlines()[0] == r"one\r\n.\r\nMAIL FROM:<x>"


async def test_it_logs_in_over_tls_with_the_password_of_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    wanted = settings(1, tls="tls", user="bot", host="localhost")
    async with mail_server(authority.server_context("mail", ["localhost"])) as server:
        context = OpenContext("mail", SystemClock(), "testnet", secrets={"mail-password": Secret(PASSWORD)})
        async with open_mail(wanted.model_copy(update={"port": server.port}), context) as sink:
            with pytest.raises(NotSent, match="certificate verify failed"):
                await sink.send(ALERT)
            assert server.said == []
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
            await sink.send(ALERT)
    (login,) = [line for line in server.said if line.startswith("AUTH PLAIN")]
    assert base64.b64decode(login.split()[2]).decode() == f"\0bot\0{PASSWORD}"
    assert len(server.mails) == 1


async def test_the_password_is_asked_of_the_vault_when_it_is_opened() -> None:
    context = OpenContext("mail", SystemClock(), "testnet")
    with pytest.raises(ConfigError, match="fundingarb vault add secret mail-password"):
        async with open_mail(settings(1, tls="starttls", user="bot"), context):
            pass


async def test_nothing_is_said_in_the_clear_where_the_server_does_not_encrypt() -> None:
    async with mail_server() as server:
        sink = MailSink(settings(server.port, tls="starttls", user="bot"), Secret(PASSWORD))
        with pytest.raises(NotSent, match="STARTTLS"):
            await sink.send(ALERT)
    assert [line.split()[0] for line in server.said] == ["ehlo"]


@pytest.mark.parametrize(
    ("command", "answer", "says"),
    [
        ("AUTH", "535 5.7.8 who are you", "535 5.7.8 who are you"),
        ("MAIL", "451 4.3.0 not now", "451 4.3.0 not now"),
        ("DATA", "554 no spam", "554 no spam"),
    ],
)
async def test_a_refusal_is_one_line_without_the_password(command: str, answer: str, says: str) -> None:
    async with mail_server(refuses={command: answer}) as server:
        sink = MailSink(settings(server.port, user="bot"), Secret(PASSWORD))
        with pytest.raises(NotSent, match=f"127.0.0.1 did not take an alert: {says}") as caught:
            await sink.send(ALERT)
    assert PASSWORD not in str(caught.value)
    assert server.mails == []


async def test_asked_it_logs_in_and_sends_nothing() -> None:
    async with mail_server() as server:
        sink = MailSink(settings(server.port, user="bot"), Secret(PASSWORD))
        assert await sink.check() is None
        server.refuses["AUTH"] = "535 who are you"
        assert "535 who are you; correct alerts.mail" in str(await sink.check())
    assert server.mails == []
    assert not any(line.lower().startswith("mail") for line in server.said)


async def test_nobody_there() -> None:
    async with mail_server() as server:
        gone = server.port
    with pytest.raises(NotSent, match="did not take an alert"):
        await MailSink(settings(gone), None).send(ALERT)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail.example.org"},
        {"to": []},
        {"to": ["me"]},
        {"to": ["me@example.org\r\nBcc: you@example.org"]},
        {"sender": "Bot <bot@example.org>"},
        {"password": "x"},
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(25, **changes)
