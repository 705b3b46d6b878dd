"""Commanding from outside: what is waited for, and what a person is told meanwhile."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import anyio
import pytest
from tests.engine.rig import MemoryStore
from tests.engine.stage import booked, floor, opened

from fundingarb.app import Surroundings
from fundingarb.config import Config
from fundingarb.domain.control import Command, CommandKind
from fundingarb.errors import ExchangeUnavailable, RateLimited, StoreError
from fundingarb.panel.panel import LONGEST_WAIT, Panel, patiently
from fundingarb.plugins import load_plugins
from fundingarb.store import SqlStore

pytestmark = pytest.mark.anyio


async def test_an_exchange_that_wants_fewer_requests_is_asked_again_for_a_minute() -> None:
    asked: list[float] = []

    async def busy_until(end: float) -> str:
        asked.append(anyio.current_time())
        if anyio.current_time() < end:
            raise RateLimited("too many requests", retry_after=1.0)
        return "flat"

    begin = anyio.current_time()
    assert await patiently(lambda: busy_until(begin + 30)) == "flat"
    assert len(asked) == 7  # every five seconds, whatever it says
    with pytest.raises(RateLimited):
        await patiently(lambda: busy_until(begin + 1000))
    assert anyio.current_time() - begin <= 30 + LONGEST_WAIT


class Stored(MemoryStore):
    """As a panel sees it: a bot confirms its lease all the time."""

    async def command(self, key: str) -> Command:
        return self.commands[key]


class Beside(Panel):
    async def answers(self) -> bool:
        return True


async def test_what_a_kill_has_not_closed_is_named_every_thirty_seconds_and_what_is_flat_as_well() -> None:
    made = floor()
    made.store = Stored()
    said: list[tuple[float, str]] = []
    async with made.running():
        await opened(made)
        await booked(made)
        for operation in ("get_positions", "place_order"):
            made.beta.fail(operation, ExchangeUnavailable("beta: maintenance"), times=100_000)
        panel = Beside(Config(), Surroundings(made.clock), load_plugins(), cast("SqlStore", made.store))
        command = Command(UUID(int=7), "k", CommandKind.KILL, "cli:me", made.clock.now())
        await made.store.submit_command(command)
        begin = anyio.current_time()
        result: list[Any] = []

        async def follow() -> None:
            told = await panel.follow(command, lambda line: said.append((anyio.current_time() - begin, line)))
            result.append(told)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.sleep(100)
            for name in ("not flat: beta (beta) BTC-USDT -10", "flat: alpha (alpha)"):
                times = [at for at, line in said if line.startswith(name)]
                assert times, name
                for earliest in (0, 30, 60):
                    assert any(earliest <= at <= earliest + 35 for at in times), (name, times)
            assert len(said) < 30, said
            made.beta._failures.clear()
            await made.until(lambda: result)
    assert result[0].result["ok"]
    assert made.position == (0, 0)


class Refusing(Stored):
    """A database that takes no command, for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.tried: list[float] = []
        self._until = anyio.current_time() + seconds

    async def submit_command(self, command: Command) -> Command:
        self.tried.append(anyio.current_time())
        if anyio.current_time() < self._until:
            raise StoreError("the disk is full")
        return await super().submit_command(command)


async def test_a_command_that_the_database_does_not_take_is_tried_once_a_second_and_given_up() -> None:
    made, said = floor(), [""]
    store = Refusing(1000)
    panel = Beside(Config(), Surroundings(made.clock), load_plugins(), cast("SqlStore", store))
    begin = anyio.current_time()
    with pytest.raises(StoreError, match="the disk is full"):
        await panel.have_done(CommandKind.PAUSE, said.append)
    assert 15 <= anyio.current_time() - begin <= 16
    assert 15 <= len(store.tried) <= 17
    assert said[-1] == "pause not stored yet: the disk is full"


async def test_a_kill_is_tried_once_a_second_until_the_database_takes_it() -> None:
    made, said = floor(), [""]
    store = Refusing(100)
    panel = Beside(Config(), Surroundings(made.clock), load_plugins(), cast("SqlStore", store))
    with anyio.move_on_after(102.5):
        await panel.kill(said.append)
    assert 100 <= len(store.tried) <= 102
    assert [each.kind for each in store.commands.values()] == [CommandKind.KILL]


class Overloaded(Panel):
    """The machine is so busy that the lease is not confirmed in time."""

    async def answers(self) -> bool:
        return False


async def test_a_kill_by_this_very_process_is_followed_to_its_end_however_slow_it_is() -> None:
    made = floor()
    made.store = Stored()
    async with made.running():
        await opened(made)
        await booked(made)
        panel = Overloaded(Config(), Surroundings(made.clock), load_plugins(), cast("SqlStore", made.store))
        command = Command(UUID(int=7), "k", CommandKind.KILL, "cli:me", made.clock.now())
        await made.store.submit_command(command)
        assert await panel.follow(command, print) is None, "another process would be taken over"
        assert made.position != (0, 0)
        done = await panel.follow(command, print, attending=True)
        assert done is not None
        assert done.result == {"ok": True, "text": "flat: no order and no position is left"}
        assert made.position == (0, 0)
