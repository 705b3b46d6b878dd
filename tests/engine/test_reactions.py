"""Alert sinks that fail or hang: the others are served, trading goes on."""

from __future__ import annotations

import anyio
import pytest
from tests.engine.stage import booked, floor, opened, titles

from fundingarb.domain.events import Alert
from fundingarb.domain.hedge import Mode
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio


class Broken:
    async def send(self, alert: Alert) -> None:
        raise RuntimeError("the network is down")


class Hanging:
    async def send(self, alert: Alert) -> None:
        await anyio.sleep_forever()


async def test_sinks_that_fail_or_hang_stop_neither_the_others_nor_trading() -> None:
    memory = RecordingAlertSink()
    made = floor(sinks={"broken": Broken(), "hanging": Hanging(), "memory": memory})
    async with made.running() as bot:
        await opened(made)
        await booked(made)
        await bot.close_hedge(made.hedge.id)
        await made.until(lambda: made.mode() is Mode.DONE)
        assert made.position == (0, 0)
        await made.until(lambda: "Position Closed" in titles(memory))
        assert "Position Opened" in titles(memory)
