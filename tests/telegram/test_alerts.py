"""Alerts to Telegram: silent or loud, escaped, cut, repeated until somebody acknowledges; the token shows nowhere."""

from __future__ import annotations

import base64
import logging
import os
import time
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError
from tests.dashboard.trading import market
from tests.telegram.botapi import TOKEN, bot_api
from tests.telegram.rig import CONTEXT, OWNER, chatting, paired, settings, token_file

from fundingarb.builtin.settings import TelegramSettings
from fundingarb.builtin.telegram.post import BURST, EVERY, RESERVED, Budget, NotDelivered, NotNow
from fundingarb.builtin.telegram.reminders import LISTED, Reminders, Unacknowledged
from fundingarb.builtin.telegram.sink import TelegramSink, open_telegram, read_token
from fundingarb.builtin.telegram.text import fit, render
from fundingarb.domain.events import Alert, Severity
from fundingarb.errors import ConfigError
from fundingarb.ports import Secret

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*PTB_TIMEDELTA")]

AT = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


def alert(severity: Severity = INFO, title: str = "Position Opened", *lines: str) -> Alert:
    return Alert(severity, title, lines, AT)


# what a message looks like


def test_what_an_exchange_says_cannot_look_like_another_line() -> None:
    hostile = "<b>x</b> *y* _z_ [a](http://b) \r\n🟢 INFO | fine \x1b[31m \u202e reversed \u200b"
    text = render(alert(CRITICAL, "Close Refused", f"Refused: {hostile}"))
    assert text.count("\n") == 1
    assert "<b>x</b> *y* _z_ [a](http://b) \\r\\n" in text
    for char in "\r\x1b\u202e\u200b":
        assert char not in text


def test_long_messages_are_cut_where_telegram_counts() -> None:
    for text in ("x" * 5000, "🟢" * 3000, "x" + "🟢" * 3000):
        cut = fit(text)
        assert len(cut.encode("utf-16-le")) // 2 <= 4096
        assert cut.endswith("(cut; the journal has all of it)")
    assert fit("🟢" * 2048) == "🟢" * 2048


async def test_only_info_is_silent_and_only_critical_has_a_button(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    paired(tmp_path)
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            await sink.listen(market().bot)
            await sink.send(alert(INFO, "Position Opened", "Pair: BTC-USDT"))
            await sink.send(alert(WARNING, "Spread Widening"))
            await sink.send(alert(CRITICAL, "Liquidation Detected", "Pair: ETH-USDT"))
            await sink.send(alert(CRITICAL, "Account does not match", "🟢" * 900, *["x" * 900] * 9))
    first, second, third, long = api.sent
    assert first.text == "🟢 INFO | Position Opened\nPair: BTC-USDT"
    assert third.text == "🔴 CRITICAL | Liquidation Detected\nPair: ETH-USDT"
    assert [each.silent for each in api.sent] == [True, False, False, False]
    assert [list(each.buttons) for each in (first, second, third)] == [[], [], ["Acknowledge"]]
    assert len(long.text.encode("utf-16-le")) // 2 == 4096
    assert {each.chat for each in api.sent} == {OWNER}
    logging.getLogger("asyncio").debug("at this level libraries log what they like")
    assert caplog.records
    assert TOKEN not in caplog.text
    assert base64.b64encode(TOKEN.encode()).decode() not in caplog.text
    assert TOKEN not in repr(sink) + repr(vars(sink))


async def test_another_chat_gets_the_alerts_and_the_paired_person_the_critical_ones(tmp_path: Path) -> None:
    paired(tmp_path)
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path, chat_id=-100), CONTEXT) as sink:
            await sink.listen(market().bot)
            await sink.send(alert(INFO))
            await sink.send(alert(CRITICAL, "Liquidation"))
    assert [(each.chat, bool(each.buttons)) for each in api.sent] == [
        (-100, False),
        (-100, False),
        (OWNER, True),
    ]


async def test_where_no_bot_listens_there_is_no_button_that_would_do_nothing(tmp_path: Path) -> None:
    """As in `fundingarb watch`, and in a kill that does without the bot; and the bot's own buttons still work then."""
    paired(tmp_path)
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            began = time.monotonic()
            for _ in range(5):
                await sink.send(alert(CRITICAL, "Bot Is Silent"))
            assert time.monotonic() - began < 8  # two seconds each, were a listener waited for
    assert [each.buttons for each in api.sent] == [{}] * 5


async def test_nobody_to_tell(tmp_path: Path) -> None:
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            with pytest.raises(NotDelivered, match="run fundingarb telegram pair"):
                await sink.send(alert())
            assert "run fundingarb telegram pair" in str(await sink.check())
            paired(tmp_path)
            assert await sink.check() is None
            await sink.send(alert())
    assert len(api.sent) == 1


# again and again, until somebody has read it


async def test_critical_alerts_are_repeated_until_acknowledged(tmp_path: Path) -> None:
    async with chatting(tmp_path, repeat_minutes=Decimal("0.01")) as chat:
        await chat.sink.send(alert(CRITICAL, "Liquidation", "Pair: BTC-USDT"))
        again = await chat.message(
            "🔁 Not acknowledged yet (2026-01-05 08:00:00 UTC)\n🔴 CRITICAL | Liquidation"
        )
        assert not again.silent
        await chat.sink.send(alert(CRITICAL, "Second Leg Failed"))
        both = await chat.message("🔁 🔴 CRITICAL | 2 alerts are not acknowledged")
        assert "🔴 Liquidation" in both.text
        assert "🔴 Second Leg Failed" in both.text
        assert "CRITICAL alerts not acknowledged: 2" in await chat.ask("/status", "RUNNING")
        first = next(each for each in chat.api.sent if each.text.startswith("🔴 CRITICAL | Liquidation"))
        chat.api.press(OWNER, first, "Acknowledge")
        await chat.until(lambda: not first.buttons)
        await chat.until(lambda: chat.api.sent[-1].text.startswith("🔁 Not acknowledged yet"))
        assert "Second Leg Failed" in chat.api.sent[-1].text
        chat.api.press(OWNER, chat.api.sent[-1], "Acknowledge")
        await chat.until(lambda: len(chat.sink._reminders) == 0)
        count = len(chat.api.sent)
        await anyio.sleep(1.5)
        assert len(chat.api.sent) == count
        assert (f"telegram:{OWNER}", "TELEGRAM ACKNOWLEDGE", True, "1 alerts") in chat.noted


async def test_what_nobody_acknowledged_is_said_again_after_a_restart(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sink.send(alert(CRITICAL, "Liquidation"))
    async with chatting(tmp_path, pair=False) as chat:
        again = await chat.message("🔁 Not acknowledged yet")
        chat.api.press(OWNER, again, "Acknowledge")
        await chat.until(lambda: not again.buttons)
    async with chatting(tmp_path, pair=False) as chat:
        await anyio.sleep(1)
        assert chat.api.sent == []


def test_reminders_say_all_of_many_in_one_message(tmp_path: Path) -> None:
    now = 0.0
    made = Reminders(tmp_path / "alerts.json", 300, lambda: now)
    for _ in range(LISTED + 3):
        made.sent(Unacknowledged(made.next_number(), "🔴 " + "x" * 500, "text", "2026"))
    assert made.due() is None
    now = 300.0
    text = made.due()
    assert text is not None
    assert len(text.encode("utf-16-le")) // 2 <= 4096
    made.said_again()
    assert made.due() is None
    now = 601.0
    assert made.due() is not None
    assert made.acknowledge(3, and_older=False) == 1
    assert made.acknowledge(5, and_older=True) == 4
    assert made.acknowledge(10**9, and_older=True) == LISTED + 3 - 5
    assert made.due() is None
    (tmp_path / "alerts.json").write_text("[")
    assert len(Reminders(tmp_path / "alerts.json", 300, lambda: now)) == 0


# not too many


def test_a_burst_and_then_one_every_few_seconds_with_some_kept_for_critical_ones() -> None:
    now = 0.0
    budget = Budget(lambda: now)
    for _ in range(BURST - RESERVED):
        budget.take(urgent=False)
    with pytest.raises(NotNow, match="come together"):
        budget.take(urgent=False)
    for _ in range(RESERVED):
        budget.take(urgent=True)
    with pytest.raises(NotNow) as caught:
        budget.take(urgent=True)
    assert caught.value.seconds == pytest.approx(EVERY)
    now = EVERY
    budget.take(urgent=True)
    with pytest.raises(NotNow):
        budget.take(urgent=False)


async def test_a_flood_comes_in_digests(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        for number in range(60):
            chat.floor.bot.bus.publish(
                Alert(WARNING, "Stream Down", (f"number {number}",), chat.floor.clock.now())
            )

        def all_there() -> bool:
            told = "\n".join(chat.api.texts())
            return all(f"number {number}\n" in f"{told}\n" for number in range(60))

        await chat.until(all_there, 40)
        assert len(chat.api.sent) < 12
        assert any("Alerts Not Delivered Before" in text for text in chat.api.texts())


async def test_telegrams_wish_for_silence_is_honoured(tmp_path: Path) -> None:
    paired(tmp_path)
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            api.retry_after, api.flood_until = 2, time.monotonic() + 1.0
            with pytest.raises(NotNow, match="wants no messages for 2 s"):
                await sink.send(alert(WARNING))
            asked = api.count("sendmessage")
            await anyio.sleep(1.2)
            with pytest.raises(NotNow):
                await sink.send(alert(WARNING))
            assert api.count("sendmessage") == asked, "not even asked"
            await anyio.sleep(1.0)
            await sink.send(alert(WARNING))
    assert len(api.sent) == 1


# when it does not work


@pytest.mark.parametrize(
    ("fault", "text"),
    [("down", "Bad Gateway"), ("garbage", "Invalid server response"), ("nonsense", "nonsense")],
)
async def test_a_delivery_that_fails_says_why_without_the_token(
    fault: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    paired(tmp_path)
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            api.fault = fault
            with pytest.raises(NotDelivered, match=text) as caught:
                await sink.send(alert())
            api.fault = ""
            await sink.send(alert(CRITICAL, "Second Leg Failed"))
        assert [each.text for each in api.sent] == ["🔴 CRITICAL | Second Leg Failed"]
        assert TOKEN not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("chat", "text"), [(404, "BadRequest: Chat not found"), (403, "Forbidden: bot was blocked by the user")]
)
async def test_a_chat_that_is_not_there(chat: int, text: str, tmp_path: Path) -> None:
    with bot_api() as api:
        async with open_telegram(settings(api, tmp_path, chat_id=chat), CONTEXT) as sink:
            with pytest.raises(NotDelivered, match=text):
                await sink.send(alert())
            api.token = "somebody:else"
            with pytest.raises(NotDelivered, match="InvalidToken"):
                await sink.send(alert())


async def test_a_telegram_that_hangs_delays_no_start_for_long_and_no_end(tmp_path: Path) -> None:
    paired(tmp_path)
    with bot_api() as api:
        api.fault = "hangs"
        began = time.monotonic()
        async with open_telegram(settings(api, tmp_path), CONTEXT) as sink:
            assert time.monotonic() - began < 20
            with anyio.move_on_after(0.5) as patience:
                await sink.send(alert())
            assert patience.cancelled_caught
            began = time.monotonic()
        assert time.monotonic() - began < 20


async def test_nobody_listening_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = TelegramSettings(
        chat_id=1, token_file=token_file(tmp_path), base_url="http://127.0.0.1:9/bot", state_folder=tmp_path
    )
    async with open_telegram(nowhere, CONTEXT) as sink:
        assert isinstance(sink, TelegramSink)
        assert "Telegram cannot be reached" in caplog.text
        with pytest.raises(NotDelivered):
            await sink.send(alert())
    with pytest.raises(NotDelivered, match="closed"):
        await sink.send(alert())
    assert TOKEN not in caplog.text


async def test_a_refused_token_is_one_line_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with bot_api() as api:
        api.token = "somebody:else"
        with pytest.raises(ConfigError) as caught:
            async with open_telegram(settings(api, tmp_path), CONTEXT):
                pytest.fail("must not open")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("alerts.telegram: the Bot API refused: InvalidToken")
    assert text.endswith("check the token and base_url")
    assert TOKEN not in text + caplog.text
    assert caught.value.__suppress_context__


# the token


async def test_the_token_may_be_in_the_vault(tmp_path: Path) -> None:
    paired(tmp_path)
    with bot_api() as api:
        made = settings(api, tmp_path, token_file=None)
        with pytest.raises(ConfigError, match="fundingarb vault add secret telegram-token"):
            async with open_telegram(made, CONTEXT):
                pytest.fail("must not open")
        with pytest.raises(ConfigError, match="is no bot token"):
            async with open_telegram(
                made, replace(CONTEXT, secrets={"telegram-token": Secret("hunter2 hunter2")})
            ):
                pytest.fail("must not open")
        async with open_telegram(made, replace(CONTEXT, secrets={"telegram-token": Secret(TOKEN)})) as sink:
            await sink.send(alert())
    assert len(api.sent) == 1


def test_the_token_is_read_and_does_not_show(tmp_path: Path) -> None:
    token = read_token(token_file(tmp_path, f"{TOKEN}\n".encode()))
    assert token.reveal() == TOKEN
    assert TOKEN not in f"{token} {token!r}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="can be reached by others; chown it to you and chmod 600 it"):
        read_token(token_file(tmp_path, mode=mode))


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(token_file(tmp_path))
    with pytest.raises(ConfigError, match="it has to be a plain file of yours"):
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
    with pytest.raises(ConfigError, match="is not a plain file"):
        read_token(folder)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="is not a plain file"):  # and does not wait for a writer
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
