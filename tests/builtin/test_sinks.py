"""Alerts as the specification writes them, to the log and to Telegram; the token shows nowhere."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError
from tests.domain.make import D, filled, hedge

from fundingarb.builtin.settings import LogSinkSettings, TelegramSettings
from fundingarb.builtin.sinks import NotDelivered, TelegramSink, open_log, open_telegram, read_token, render
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.hedge import Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.order import Purpose
from fundingarb.domain.pnl import HedgePnl, LegPnl
from fundingarb.engine.alerts import Announcer, money, price
from fundingarb.engine.bus import Bus
from fundingarb.errors import ConfigError
from fundingarb.ports import OpenContext
from fundingarb.simulation.virtual import LoopClock

AT = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
CONTEXT = OpenContext("telegram", LoopClock(), "localnet")


def alert(severity: Severity = Severity.INFO, title: str = "Position Opened", *lines: str) -> Alert:
    return Alert(severity, title, lines, AT)


# what an alert looks like


def announced(*, long_price: str = "42150", short_price: str = "42145") -> Alert:
    """The alert of an opened hedge with the figures of the specification's example."""
    bus = Bus()
    quantity = D(25_000) / D(long_price)
    made = hedge(
        filled(Side.LONG, Purpose.ENTRY, str(quantity)),
        filled(Side.SHORT, Purpose.HEDGE, str(quantity)),
        mode=Mode.HOLDING,
        entry_spread=D("0.00032"),
    )
    legs = [
        LegPnl(side, account, account, quantity, D(at), None, D(0), D(0), D(0))
        for side, account, at in ((Side.LONG, "binance", long_price), (Side.SHORT, "bybit", short_price))
    ]
    with bus.subscribe(1, Alert) as alerts:
        Announcer(bus).opened(made, HedgePnl(legs[0], legs[1], D(0)), D(8), AT)
        event = alerts._events[0]
    assert isinstance(event, Alert)
    return event


def test_the_example_of_the_specification() -> None:
    assert render(announced()).splitlines() == [
        "🟢 INFO | Position Opened",
        "Pair: BTC-USDT",
        "Long: binance @ $42,150.00",
        "Short: bybit @ $42,145.00",
        "Size: $25,000.00 | Spread: 0.0320% per 8 h",
        "Expected funding: $8.00",
    ]


@pytest.mark.parametrize(
    ("severity", "headline"),
    [
        (Severity.INFO, "🟢 INFO | Spread"),
        (Severity.WARNING, "🟡 WARNING | Spread"),
        (Severity.CRITICAL, "🔴 CRITICAL | Spread"),
    ],
)
def test_headlines(severity: Severity, headline: str) -> None:
    assert render(alert(severity, "Spread", "one", "two")) == f"{headline}\none\ntwo"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("42150", "$42,150.00"),
        ("42150.1", "$42,150.10"),
        ("0.00001781", "$0.00001781"),
        ("0.000000012345", "$0.000000012345"),
        ("1000000", "$1,000,000.00"),
    ],
)
def test_prices_have_cents_and_all_their_digits(value: str, text: str) -> None:
    assert price(D(value)) == text


def test_money() -> None:
    assert price(None) == "unknown"
    assert [money(D(value)) for value in ("1234.565", "-1234.56", "0", "-0.001")] == [
        "$1,234.56",
        "-$1,234.56",
        "$0.00",
        "$0.00",
    ]


@pytest.mark.anyio
async def test_the_log_sink_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fundingarb.alerts"):
        async with open_log(LogSinkSettings(), CONTEXT) as sink:
            await sink.send(alert(Severity.WARNING, "Spread Widening", "Pair: BTC-USDT", "now 0.1 %"))
    (record,) = caplog.records
    assert record.getMessage() == "Spread Widening | Pair: BTC-USDT | now 0.1 %"
    assert record.levelno == logging.WARNING


# the token file


def token_file(folder: Path, content: bytes = TOKEN.encode(), mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_token_is_read_and_does_not_show(tmp_path: Path) -> None:
    token = read_token(token_file(tmp_path, f"{TOKEN}\n".encode()))
    assert token.reveal() == TOKEN
    assert TOKEN not in f"{token} {token!r}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="can be read by others; chown it to you and chmod 600 it"):
        read_token(token_file(tmp_path, mode=mode))


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(token_file(tmp_path))
    with pytest.raises(ConfigError, match="is a symbolic link; name the file itself"):
        read_token(link)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"not a token", "holds no bot token"),
        (f"{TOKEN}\n{TOKEN}".encode(), "holds no bot token"),
        (b"\xff\xfe\x00\x01", "holds no bot token"),
        (f"{TOKEN}/../getMe".encode(), "holds no bot token"),
    ],
)
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        read_token(token_file(tmp_path, content))
    assert TOKEN not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_token(tmp_path / "absent")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="is not a file"):
        read_token(folder)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="is not a file"):  # and does not wait for a writer
        read_token(pipe)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://api.telegram.org/bot", True),
        ("http://127.0.0.1:8081/bot", True),
        ("http://localhost:8081/bot", True),
        ("http://api.telegram.org/bot", False),
        ("http://127.0.0.1.example.org/bot", False),
        ("ftp://127.0.0.1/bot", False),
    ],
)
def test_the_token_is_not_sent_in_the_clear(tmp_path: Path, url: str, accepted: bool) -> None:
    if accepted:
        assert TelegramSettings(chat_id=1, token_file=tmp_path, base_url=url).base_url == url
    else:
        with pytest.raises(ValidationError, match="base_url"):
            TelegramSettings(chat_id=1, token_file=tmp_path, base_url=url)


# the real client against a Bot API of our own


class BotApi:
    """The Bot API's two methods that matter here."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.known = TOKEN
        self.broken = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if self.broken:
            return web.json_response(
                {"ok": False, "error_code": 502, "description": "Bad Gateway"}, status=502
            )
        if request.match_info["token"] != self.known:
            return web.json_response(
                {"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401
            )
        if method == "getMe":
            me = {"id": 123456, "is_bot": True, "first_name": "arb", "username": "arb_bot"}
            return web.json_response({"ok": True, "result": me})
        if method == "sendMessage":
            fields = {key: str(value) for key, value in (await request.post()).items()}
            self.sent.append(fields)
            if fields["chat_id"] == "404":
                return web.json_response(
                    {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}, status=400
                )
            chat = {"id": int(fields["chat_id"]), "type": "private"}
            result = {"message_id": 1, "date": 0, "chat": chat, "text": fields["text"]}
            return web.json_response({"ok": True, "result": result})
        raise web.HTTPNotFound


@asynccontextmanager
async def bot_api() -> AsyncIterator[BotApi]:
    api = BotApi()
    application = web.Application()
    application.router.add_post("/bot{token}/{method}", api.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    api.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/bot"  # type: ignore[attr-defined]
    try:
        yield api
    finally:
        await runner.cleanup()


def settings(api: BotApi, folder: Path, chat_id: int = 42) -> TelegramSettings:
    return TelegramSettings(chat_id=chat_id, token_file=token_file(folder), base_url=api.url)


@pytest.mark.anyio
async def test_alerts_arrive_and_only_info_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bot_api() as api, open_telegram(settings(api, tmp_path), CONTEXT) as sink:
        await sink.send(alert(Severity.INFO, "Position Opened", "Pair: BTC-USDT"))
        await sink.send(alert(Severity.CRITICAL, "Liquidation Detected", "Pair: ETH-USDT"))
    first, second = api.sent
    assert first["text"] == "🟢 INFO | Position Opened\nPair: BTC-USDT"
    assert second["text"] == "🔴 CRITICAL | Liquidation Detected\nPair: ETH-USDT"
    assert (first["chat_id"], second["chat_id"]) == ("42", "42")
    assert first["disable_notification"].lower() == "true"
    assert second.get("disable_notification", "false").lower() == "false"
    logging.getLogger("asyncio").debug("at this level libraries log what they like")
    assert caplog.records
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(sink)


@pytest.mark.anyio
async def test_a_long_alert_is_cut_rather_than_refused(tmp_path: Path) -> None:
    async with bot_api() as api, open_telegram(settings(api, tmp_path), CONTEXT) as sink:
        await sink.send(alert(Severity.CRITICAL, "Account does not match", "x" * 10_000))
    assert len(api.sent[0]["text"]) == 4096


@pytest.mark.anyio
async def test_a_refused_token_is_one_line_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bot_api() as api:
        api.known = "somebody:else"
        with pytest.raises(ConfigError) as caught:
            async with open_telegram(settings(api, tmp_path), CONTEXT):
                pytest.fail("must not open")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("alerts.telegram: the Bot API refused: InvalidToken")
    assert text.endswith("check token_file and base_url")
    assert TOKEN not in text
    assert TOKEN not in caplog.text
    assert caught.value.__suppress_context__


@pytest.mark.anyio
async def test_a_delivery_that_fails_says_why_without_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bot_api() as api:
        async with open_telegram(settings(api, tmp_path, chat_id=404), CONTEXT) as sink:
            with pytest.raises(NotDelivered, match="BadRequest: Chat not found"):
                await sink.send(alert())
            api.known = "somebody:else"
            with pytest.raises(NotDelivered, match="InvalidToken") as caught:
                await sink.send(alert())
            api.broken = True
            with pytest.raises(NotDelivered, match="Bad Gateway"):
                await sink.send(alert())
        assert TOKEN not in str(caught.value)
        assert TOKEN not in caplog.text


@pytest.mark.anyio
async def test_a_telegram_that_is_down_does_not_stop_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Open hedges come first: the sink opens, and delivers once Telegram answers."""
    async with bot_api() as api:
        api.broken = True
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            assert "Telegram cannot be reached" in caplog.text
            with pytest.raises(NotDelivered):
                await sink.send(alert())
            api.broken = False
            await sink.send(alert(Severity.CRITICAL, "Second Leg Failed"))
        assert [message["text"] for message in api.sent] == ["🔴 CRITICAL | Second Leg Failed"]
        assert TOKEN not in caplog.text


@pytest.mark.anyio
async def test_nobody_listening_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = TelegramSettings(chat_id=1, token_file=token_file(tmp_path), base_url="http://127.0.0.1:9/bot")
    async with open_telegram(nowhere, CONTEXT) as sink:
        assert isinstance(sink, TelegramSink)
        with pytest.raises(NotDelivered):
            await sink.send(alert())
    assert TOKEN not in caplog.text


@pytest.mark.anyio
async def test_what_goes_wrong_while_it_is_open_is_not_blamed_on_telegram(tmp_path: Path) -> None:
    from telegram.error import TelegramError

    async with bot_api() as api:
        with pytest.raises(TelegramError, match="somebody else's"):
            async with open_telegram(settings(api, tmp_path), CONTEXT):
                raise TelegramError("somebody else's")
