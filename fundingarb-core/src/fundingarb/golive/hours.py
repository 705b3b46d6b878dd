"""A service that notes in the journal how long a bot has simulated with which configuration."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
from anyio.abc import TaskGroup

from fundingarb.errors import StoreError
from fundingarb.ports import BotHandle, Secret
from fundingarb.vault.journal import Stretch

log = logging.getLogger("fundingarb.golive")

LOOK = 15.0
"""Seconds between two looks at the bot."""
WRITE = timedelta(minutes=30)
"""A stretch is written when it is so long, and when it ends; of a bot that is killed that much is lost."""
LEAP = 60.0
"""A look so late was missed (the machine slept): that time was not simulated."""


@dataclass
class _Open:
    configuration: str
    since: datetime
    until: datetime


class SimulatedHours:
    """Time counts while the bot is RUNNING: not while it starts, is paused or killed."""

    url = None

    def __init__(self, tasks: TaskGroup, key: Secret, configuration: Callable[[], str]) -> None:
        self._tasks = tasks
        self._key = key
        self._configuration = configuration
        self._open: _Open | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, key: Secret, configuration: Callable[[], str]) -> AsyncIterator[SimulatedHours]:
        """``configuration`` gives the digest of what is in force."""
        async with anyio.create_task_group() as tasks:
            yield cls(tasks, key, configuration)
            tasks.cancel_scope.cancel()

    async def start(self, bot: BotHandle) -> None:
        self._tasks.start_soon(self._run, bot)

    async def _run(self, bot: BotHandle) -> None:
        looked = bot.clock.monotonic()
        try:
            while True:
                await anyio.sleep(LOOK)
                now = bot.clock.monotonic()
                try:
                    await self.look(bot, now - looked)
                except Exception:  # a journal that fails takes no bot with it; what it misses does not count
                    log.exception("simulated hours are not counted")
                    self._open = None
                looked = now
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5.0):
                await self._write(bot)

    async def look(self, bot: BotHandle, passed: float) -> None:
        """``passed`` real seconds after the last look."""
        configuration, now = self._configuration(), bot.clock.now()
        running = bot.status().state == "RUNNING" and bot.status().network == "testnet"
        unbroken = (
            self._open is not None and passed < LEAP and abs((now - self._open.until).total_seconds()) < LEAP
        )
        if self._open is not None and running and unbroken and self._open.configuration == configuration:
            self._open.until = max(now, self._open.until)
            if now - self._open.since >= WRITE:
                await self._write(bot)
            return
        await self._write(bot)
        self._open = _Open(configuration, now, now) if running else None

    async def _write(self, bot: BotHandle) -> None:
        """Write what is open, and go on from there; what cannot be stored is tried again, as long as it may be."""
        stretch = self._open
        if stretch is None or stretch.until <= stretch.since:
            return
        entry = Stretch("testnet", stretch.configuration, stretch.since, stretch.until).entry(self._key)
        try:
            await bot.store.audit(entry)
        except StoreError as error:
            log.warning("simulated hours are not noted: %s", error)
            if stretch.until - stretch.since < 2 * WRITE:
                return
        stretch.since = stretch.until
