"""A bot that only looks after what is open: no alert sink keeps it from that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.domain.make import NOW

from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.caretaker import NotOpen, SinkMeanwhile
from fundingarb.errors import ConfigError
from fundingarb.ports import AlertSink
from fundingarb.testing import RecordingAlertSink

pytestmark = pytest.mark.anyio
ALERT = Alert(Severity.CRITICAL, "Kill Switch", ("latched",), NOW)


async def test_a_sink_delivers_from_when_it_is_open_and_is_closed_in_the_end() -> None:
    memory, closed = RecordingAlertSink(), anyio.Event()

    @asynccontextmanager
    async def slowly() -> AsyncIterator[AlertSink]:
        await anyio.sleep(3)
        yield memory
        closed.set()

    sink, said = SinkMeanwhile("slow"), list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.run, slowly, said.append)
        await anyio.sleep(1)
        with pytest.raises(NotOpen, match="slow is not open"):
            await sink.send(ALERT)
        await anyio.sleep(3)
        await sink.send(ALERT)
        tasks.cancel_scope.cancel()
    assert memory.alerts == [ALERT]
    assert said == []
    with pytest.raises(NotOpen):
        await sink.send(ALERT)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConfigError("alerts.telegram: no\ntoken"), "alerts.telegram: no token"),
        (OSError("x"), "OSError('x')"),
    ],
)
async def test_one_that_cannot_be_opened_is_told_of_and_that_is_all(error: Exception, why: str) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[AlertSink]:
        if why:
            raise error
        yield RecordingAlertSink()

    sink, said = SinkMeanwhile("telegram"), list[str]()
    await sink.run(failing, said.append)
    assert said == [f"alert sink telegram cannot be opened ({why}); going on without it"]
    with pytest.raises(NotOpen):
        await sink.send(ALERT)
