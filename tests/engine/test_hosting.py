"""A service that fails ends alone: the bot goes on, says so once, and shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from tests.domain.make import plan
from tests.engine.rig import Floor, Proposing

from fundingarb import hosting
from fundingarb.domain.hedge import Mode
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError
from fundingarb.hosting import service_host
from fundingarb.ports import BotHandle
from fundingarb.simulation.virtual import START

pytestmark = pytest.mark.anyio
T = START + timedelta(minutes=22)


class Fragile:
    """A service with a task that dies when it is told to; ``on_start`` is what its start does."""

    url: str | None = "http://127.0.0.1:1"

    def __init__(self, on_start: Callable[[], object] = lambda: None) -> None:
        self.die = anyio.Event()
        self.on_start = on_start
        self.closed = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fragile]:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._work)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            self.closed = True

    async def _work(self) -> None:
        await self.die.wait()
        raise RuntimeError("a bug\nof the plugin")

    async def start(self, bot: BotHandle) -> None:
        self.on_start()


@asynccontextmanager
async def beside(made: Floor, *services: Fragile) -> AsyncIterator[Bot]:
    """A bot with these services, wired as the program does."""
    async with service_host() as host:
        host.report = lambda name, why: made.bot.service_failed(name, why)
        made.services = {
            f"fragile{number}": await host.open(f"fragile{number}", service.open())
            for number, service in enumerate(services)
        }
        async with made.running() as bot:
            yield bot


def floor() -> Floor:
    made = Floor(Proposing([plan(at=START, settlement=T)]))
    made.prices()
    made.rates("-0.001", "0.004", T)
    return made


async def ended(bot: Bot) -> list[tuple[str, ...]]:
    return [alert.lines for alert in await bot.alerts() if alert.title == "Service Ended"]


async def test_a_task_that_dies_ends_its_service_and_nothing_else() -> None:
    made, doomed, sound = floor(), Fragile(), Fragile()
    async with beside(made, doomed, sound) as bot:
        await made.until(lambda: made.alpha.ledger.orders)
        doomed.die.set()
        await made.until(lambda: bot.status().failed_services)
        assert bot.status().failed_services == {"fragile0": "RuntimeError: a bug of the plugin"}
        assert doomed.closed
        assert not sound.closed
        made.alpha.fill_order(made.sent(made.alpha)[0].client_id)
        await made.until(lambda: made.mode() is Mode.HOLDING and made.hedge.complete_fills)
        await anyio.sleep(60)
        (lines,) = await ended(bot)
        assert lines[:2] == ("Service: fragile0", "Reason: RuntimeError: a bug of the plugin")
        assert bot.status().state == "RUNNING"
        assert bot.parts.services["fragile0"].url is None
        assert bot.parts.services["fragile1"].url == sound.url
    assert sound.closed


async def test_a_start_that_fails_or_hangs_is_told_and_the_bot_trades(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosting, "START", 2.0)

    def fail() -> None:
        raise KeyError("x")

    class Hanging(Fragile):
        async def start(self, bot: BotHandle) -> None:
            await anyio.sleep_forever()

    made = floor()
    async with beside(made, Fragile(fail), Hanging()) as bot:
        assert bot.status().failed_services == {
            "fragile0": "KeyError: 'x'",
            "fragile1": "it was not up within 2 s",
        }
        await anyio.sleep(5)
        assert len(await ended(bot)) == 2
        assert made.alpha.ledger.orders


async def test_what_dies_before_the_bot_runs_is_told_when_it_does() -> None:
    made, doomed = floor(), Fragile()
    doomed.die.set()
    async with beside(made, doomed) as bot:
        assert set(bot.status().failed_services) == {"fragile0"}
        await anyio.sleep(5)
        assert len(await ended(bot)) == 1


async def test_a_service_that_is_configured_wrongly_refuses_the_start() -> None:
    def refuse() -> None:
        raise ConfigError("port 1 is taken")

    @asynccontextmanager
    async def refusing() -> AsyncIterator[Fragile]:
        refuse()
        yield Fragile()

    with pytest.raises(ConfigError, match="port 1 is taken"):
        async with service_host() as host:
            await host.open("dashboard", refusing())

    service = Fragile(refuse)
    async with service_host() as host:
        hosted = await host.open("dashboard", service.open())
        with pytest.raises(ConfigError, match="port 1 is taken"):
            await hosted.start(floor().bot)
    assert service.closed


async def test_a_service_that_does_not_close_properly_is_not_the_bots_failure() -> None:
    @asynccontextmanager
    async def clinging() -> AsyncIterator[Fragile]:
        yield Fragile()
        raise RuntimeError("cannot let go")

    told: list[str] = []
    async with service_host() as host:
        host.report = lambda name, why: told.append(name)
        await host.open("clinging", clinging())
    assert not told
