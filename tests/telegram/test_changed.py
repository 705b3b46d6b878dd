"""Settings of Telegram change while the bot runs: alerts and commands go on, nobody else listens meanwhile."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.dashboard.trading import market
from tests.telegram.botapi import bot_api
from tests.telegram.rig import CONTEXT, OWNER, Chat, paired, settings

from fundingarb.builtin.telegram.sink import TelegramSink, open_telegram
from fundingarb.domain.events import Alert, Severity
from fundingarb.held import ChangingSink, Held, hold
from fundingarb.ports import AlertSink

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*PTB_TIMEDELTA")]


async def test_another_chat_gets_the_alerts_and_commands_are_heard_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paired(tmp_path)
    with bot_api() as api:
        async with anyio.create_task_group() as tasks:
            first: Held[AlertSink] = await hold(
                tasks, open_telegram(settings(api, tmp_path), CONTEXT), "telegram", alone=True
            )
            sink = ChangingSink("telegram", first)
            assert isinstance(first.value, TelegramSink)
            floor = market()
            floor.sinks = {"telegram": sink}
            async with floor.running():
                chat = Chat(floor, api, first.value, tmp_path)
                assert "/kill" in await chat.ask("/help", "/status")
                opening = open_telegram(settings(api, tmp_path, chat_id=77), CONTEXT)
                second: Held[AlertSink] = await hold(tasks, opening, "telegram", alone=True)
                await sink.listen_after(sink.replace(second))
                floor.bot.bus.publish(Alert(Severity.WARNING, "Stream Down", ("alpha",), floor.clock.now()))
                await chat.message("🟡 WARNING | Stream Down", chat=77)
                assert (await chat.ask("/pause", "Paused: ")).startswith("Paused")
                assert "another process listens" not in caplog.text
                assert not any(text.startswith("🟡") for text in api.texts(OWNER))
            sink.retire()
            await second.closed.wait()
