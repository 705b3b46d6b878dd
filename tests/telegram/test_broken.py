"""A Telegram that is down, floods, or talks to somebody else costs the bot nothing, and is heard again afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import aiohttp
import anyio
import pytest
from tests.telegram.botapi import soon
from tests.telegram.rig import CONTEXT, OWNER, chatting, settings

from fundingarb.builtin.telegram import listener
from fundingarb.builtin.telegram.sink import open_telegram
from fundingarb.domain.events import Alert, Severity

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*PTB_TIMEDELTA")]


@pytest.mark.parametrize("fault", ["down", "garbage", "nonsense"])
async def test_it_is_heard_again_after_a_failure(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LONGEST_PAUSE", 1.0)
    async with chatting(tmp_path) as chat:
        chat.api.fault = fault
        chat.write("/help")  # ends the long poll that is under way, which was asked before
        await chat.until(lambda: "Telegram does not say what was sent" in caplog.text)
        asked = chat.api.count("getupdates")
        began = time.monotonic()
        await anyio.sleep(2.2)
        assert chat.api.count("getupdates") - asked <= 4, "not in a hot loop"
        assert time.monotonic() - began < 10, "the bot's loop moves"
        chat.api.fault = ""
        assert "/kill" in await chat.ask("/help", "/status")


async def test_an_empty_answer_at_once_is_no_hot_loop(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:

        async def nothing(arguments: dict[str, str]) -> list[object]:
            return []

        chat.api.do_getupdates = nothing  # type: ignore[method-assign]
        chat.write("/help")
        await anyio.sleep(2.5)
        assert chat.api.count("getupdates") < 8


async def test_somebody_else_who_takes_the_messages_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with chatting(tmp_path) as chat:
        async with aiohttp.ClientSession() as http:
            url = f"{chat.api.url}{chat.api.token}/getUpdates"
            async with http.post(url, data={"timeout": "0"}) as answer:
                assert answer.status == 200
        assert (
            "revoke the token" in (await chat.message("🟡 WARNING | Another Program Takes My Messages")).text
        )
        assert "/kill" in await chat.ask("/help", "/status")


async def test_a_webhook_is_taken_away(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.api.webhook = "https://evil.example"
        polling: list[asyncio.Event] = []

        def begun() -> bool:  # between two polls there is none
            polling[:] = [each for each in (chat.api.polling,) if each is not None]
            return bool(polling)

        await chat.until(begun)
        chat.api.loop.call_soon_threadsafe(polling[0].set)
        await chat.until(lambda: not chat.api.webhook)
        assert "/kill" in await chat.ask("/help", "/status")


async def test_two_processes_with_one_bot_take_each_message_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with chatting(tmp_path) as chat, open_telegram(settings(chat.api, tmp_path), CONTEXT) as other:
        await other.listen(chat.floor.bot)
        await chat.until(lambda: "another process listens to this Telegram bot" in caplog.text)
        chat.write("/help")
        await chat.message("/status")
        await chat.quiet()
        assert len(chat.api.texts()) == 1


async def test_commands_can_be_off(tmp_path: Path) -> None:
    async with chatting(tmp_path, commands=False) as chat:
        chat.write("/kill")
        await anyio.sleep(0.5)
        assert chat.api.count("getupdates") == 0
        assert chat.api.texts() == []


async def test_a_hanging_telegram_costs_the_loop_nothing(tmp_path: Path) -> None:
    """The bot's loop does not wait for it, while 300 alerts do; a machine that is busy may be late by itself."""
    async with chatting(tmp_path) as chat:
        chat.api.fault = "hangs"
        loop, worst = asyncio.get_running_loop(), 0.0
        for number in range(300):
            alert = Alert(Severity.WARNING, "Stream Down", (str(number),), chat.floor.clock.now())
            chat.floor.bot.bus.publish(alert)
            before = loop.time()
            await asyncio.sleep(0.005)
            worst = max(worst, loop.time() - before - 0.005)
        assert worst < 2
        assert chat.floor.bot.status().state == "RUNNING"
        chat.api.fault = ""


async def test_questions_to_a_bot_whose_loop_is_silent_are_answered_so(
    tmp_path: Path,
) -> None:
    async with chatting(tmp_path) as chat:
        texts: list[str] = []

        def person() -> None:
            chat.write("/pause")
            soon(lambda: chat.api.texts(OWNER))
            texts.extend(chat.api.texts(OWNER))

        phone = threading.Thread(target=person)
        phone.start()
        time.sleep(6)  # noqa: ASYNC251 - this is what a loop that is busy is
        phone.join(5)
        assert texts == [
            "the trading loop did not answer within 4 s\nThe pause is stored and done as soon as it does."
        ]
        await chat.until(lambda: chat.floor.bot.status().state == "PAUSED")
        assert len([each for each in chat.noted if each[1] == "PAUSE"]) == 1
