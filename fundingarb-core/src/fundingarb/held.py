"""What is open until something takes its place: entered in a task of its own, and left there."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import anyio.abc
from anyio.abc import TaskStatus

from fundingarb.domain.events import Alert
from fundingarb.errors import FundingArbError
from fundingarb.ports import AlertSink, BotHandle, ListeningSink

log = logging.getLogger("fundingarb.held")
T = TypeVar("T")


@dataclass(eq=False)
class Held(Generic[T]):
    """``value`` is open until ``retired`` is set and nobody is ``busy`` with it. ``ended``: why it closed by itself."""

    value: T
    retired: anyio.Event = field(default_factory=anyio.Event)
    busy: anyio.Lock = field(default_factory=anyio.Lock)
    closed: anyio.Event = field(default_factory=anyio.Event)
    ended: Exception | None = None


async def hold(
    tasks: anyio.abc.TaskGroup, opening: AbstractAsyncContextManager[T], what: str, *, alone: bool = False
) -> Held[T]:
    """Enter ``opening``; raises what that raises. What ends by itself later takes ``tasks`` along, unless ``alone``."""
    made: list[Held[T]] = []
    failed: list[Exception] = []

    async def live(*, task_status: TaskStatus[None]) -> None:
        try:
            async with opening as value:
                made.append(Held(value))
                task_status.started()
                await made[0].retired.wait()
                async with made[0].busy:  # what is under way is finished first
                    pass
        except Exception as error:
            if not made:
                failed.append(error)
                task_status.started()
            elif made[0].retired.is_set():  # what is not in force any more takes no bot with it
                log.exception("%s did not end as it should", what)
            elif alone:
                made[0].ended = error
                log.exception("%s has ended by itself", what)
            else:
                raise
        finally:
            for held in made:
                held.closed.set()

    await tasks.start(live)
    if failed:
        raise failed[0]
    return made[0]


class SinkEnded(FundingArbError):
    """An alert sink has ended by itself. Its alerts wait until the bot is started again; the others are told."""


class ChangingSink:
    """An alert sink whose settings may change while it is used (``ports.ListeningSink``)."""

    def __init__(self, name: str, held: Held[AlertSink]) -> None:
        self._name = name
        self._held = held
        self._bot: BotHandle | None = None

    async def send(self, alert: Alert) -> None:
        held = self._held
        async with held.busy:
            if held.ended is not None:
                raise SinkEnded(f"alert sink {self._name} has ended by itself; restart the bot")
            await held.value.send(alert)

    async def listen(self, bot: BotHandle) -> None:
        self._bot = bot
        if isinstance(self._held.value, ListeningSink):
            await self._held.value.listen(bot)

    def replace(self, held: Held[AlertSink]) -> Held[AlertSink]:
        """Use ``held`` from now on; what was used before closes, and is returned."""
        before, self._held = self._held, held
        before.retired.set()
        return before

    async def listen_after(self, before: Held[AlertSink]) -> None:
        """Take commands again once ``before`` does not any more."""
        await before.closed.wait()
        if self._bot is not None:
            await self.listen(self._bot)

    def retire(self) -> None:
        """Close it."""
        self._held.retired.set()
