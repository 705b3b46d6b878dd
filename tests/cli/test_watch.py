"""Whoever is silent for a minute is told of, once an hour, and so is its return."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import anyio
import pytest
from tests.conftest import RunCli
from tests.engine.conftest import anyio_backend

from fundingarb.domain.events import Alert, Severity
from fundingarb.ports import AlertSink, Secret
from fundingarb.simulation.virtual import LoopClock
from fundingarb.testing import RecordingAlertSink
from fundingarb.vault import LEAST_COSTS, Vault
from fundingarb.watching import asking, watch

__all__ = ["anyio_backend"]


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


@pytest.mark.anyio
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


@pytest.mark.anyio
async def test_a_bot_that_was_never_there_is_told_of_too() -> None:
    bot, sink = Bot(), RecordingAlertSink()
    bot.problem = "it cannot be reached"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, bot.probe, URL, {"telegram": sink}, LoopClock())
        await anyio.sleep(70)
        assert [alert.title for alert in sink.alerts] == ["Bot Is Silent"]
        tasks.cancel_scope.cancel()


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundingarb.watching.LOOK", 0.3)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", None),
        (b"HTTP/1.1 503 Nope\r\nContent-Length: 2\r\n\r\n{}", "it answers 503: its loop does not move"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "it answers 302"),
        (b"no such protocol\r\n\r\n", "it cannot be reached: "),
        (b"", "it cannot be reached: "),
        (None, "it does not answer within 0 s"),
    ],
)
def test_what_counts_as_an_answer(seconds: None, answer: bytes | None, problem: str | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()  # until whoever asked has had enough
        writer.write(answer or b"")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        served.set()

    async def ask() -> str | None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as session:
            found = await asking(session, f"http://127.0.0.1:{port}/api/health")()
        await served.wait()
        server.close()
        await server.wait_closed()
        return found

    served = asyncio.Event()

    found = asyncio.run(ask())
    assert found == problem if problem is None else (found or "").startswith(problem)


def test_nobody_there_is_no_answer() -> None:
    async def ask() -> str | None:
        async with aiohttp.ClientSession() as session:
            return await asking(session, "http://127.0.0.1:9/api/health")()

    assert "it cannot be reached: " in (asyncio.run(ask()) or "")


def test_where_the_bot_is_has_to_be_known(run_cli: RunCli) -> None:
    done = run_cli("watch", env={"FUNDINGARB__SERVICES__DASHBOARD__PORT": "0"})
    assert done.stderr == (
        "error: services.dashboard.port is 0, any free one: say with --url where the bot answers\n"
    )


def test_a_sink_whose_secret_is_in_the_usual_vault_has_it_opened(run_cli: RunCli, tmp_path: Path) -> None:
    """By hand, as the documentation has it: somebody is asked for the password, and it is not said to be missing."""
    usual = tmp_path / ".fundingarb"
    usual.mkdir(mode=0o700)
    vault = Vault.create(usual / "credentials.vault", "correct horse battery", LEAST_COSTS)
    vault.put_secret("telegram-token", Secret("123456:canary"))
    vault.save()
    config = tmp_path / "watch.yaml"
    config.write_text("alerts: {telegram: {chat_id: 1}}\n")
    done = run_cli("watch", "--config", str(config), env={"HOME": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no terminal to ask for the master password of the vault")
