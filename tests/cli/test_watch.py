"""Whoever is silent for a minute is told of, once an hour, and so is its return."""

from __future__ import annotations

import anyio
import pytest
from tests.conftest import RunCli
from tests.engine.conftest import anyio_backend

from fundingarb.domain.events import Alert, Severity
from fundingarb.ports import AlertSink
from fundingarb.simulation.virtual import LoopClock
from fundingarb.testing import RecordingAlertSink
from fundingarb.watching import watch

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:8642/api/health"


class Bot:
    """Well, or why not."""

    def __init__(self) -> None:
        self.problem: str | None = None

    async def probe(self) -> str | None:
        await anyio.sleep(0.01)
        return self.problem


class Refusing:
    """A sink that takes nothing."""

    async def send(self, alert: Alert) -> None:
        raise OSError("down")


async def test_a_minute_of_silence_and_the_return() -> None:
    bot, sink, clock, fed = Bot(), RecordingAlertSink(), LoopClock(), list[float]()
    async with anyio.create_task_group() as tasks:
        sinks: dict[str, AlertSink] = {"down": Refusing(), "telegram": sink}
        tasks.start_soon(watch, bot.probe, URL, sinks, clock, lambda: fed.append(clock.monotonic()))
        await anyio.sleep(600)
        assert sink.alerts == []
        for _ in range(3):  # shorter than a minute
            bot.problem = "it cannot be reached"
            await anyio.sleep(50)
            bot.problem = None
            await anyio.sleep(10)
        assert sink.alerts == []
        bot.problem = "it cannot be reached"
        await anyio.sleep(55)
        assert sink.alerts == []
        await anyio.sleep(16)
        (silent,) = sink.alerts
        assert (silent.severity, silent.title) == (Severity.CRITICAL, "Bot Is Silent")
        assert silent.lines[0].startswith("No answer for 0:01:0")
        assert URL in silent.lines
        await anyio.sleep(3500)
        assert len(sink.alerts) == 1
        await anyio.sleep(3700)
        assert [alert.title for alert in sink.alerts] == ["Bot Is Silent"] * 3
        bot.problem = None
        await anyio.sleep(6)
        back = sink.alerts[-1]
        assert (back.severity, back.title) == (Severity.WARNING, "Bot Answers Again")
        assert back.lines[0].startswith("It was silent for 2:01:")
        await anyio.sleep(600)
        assert len(sink.alerts) == 4
        bot.problem = "again"
        await anyio.sleep(70)
        assert len(sink.alerts) == 5
        assert len(fed) > 1000, "the watchdog of the watch is fed"
        tasks.cancel_scope.cancel()


async def test_a_bot_that_was_never_there_is_told_of_too() -> None:
    bot, sink = Bot(), RecordingAlertSink()
    bot.problem = "it cannot be reached"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, bot.probe, URL, {"telegram": sink}, LoopClock())
        await anyio.sleep(70)
        assert [alert.title for alert in sink.alerts] == ["Bot Is Silent"]
        tasks.cancel_scope.cancel()


def test_where_the_bot_is_has_to_be_known(run_cli: RunCli) -> None:
    done = run_cli("watch", env={"FUNDINGARB__SERVICES__DASHBOARD__PORT": "0"})
    assert done.stderr == (
        "error: services.dashboard.port is 0, any free one: say with --url where the bot answers\n"
    )
