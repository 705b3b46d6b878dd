"""The daily copy of the database of a bot that runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
import anyio.to_thread

from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.bus import Bus
from fundingarb.errors import StoreError
from fundingarb.ports import Clock
from fundingarb.store.backup import back_up
from fundingarb.store.copies import DAILY, daily, made_at, name_of, rotate

log = logging.getLogger("fundingarb.backup")

EVERY = timedelta(hours=24)
LOOK = 600.0
"""Real seconds between two looks at whether one is due, and after one that failed."""


class DailyBackups:
    """Makes a copy when the newest is a day old. One that fails is a WARNING, once, and is tried again."""

    def __init__(
        self,
        url: str,
        folder: Path,
        keep: int,
        bus: Bus,
        clock: Clock,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._url = url
        self._folder = folder
        self._keep = keep
        self._bus = bus
        self._clock = clock
        self._now = now
        self._failed = False
        self._name: str | None = None

    async def run(self) -> None:
        """Look and copy until cancelled."""
        while True:
            await self.look()
            await anyio.sleep(LOOK)

    async def look(self) -> None:
        """Make a copy if one is due. The bot goes on meanwhile, and whatever becomes of it."""
        try:
            made = await anyio.to_thread.run_sync(self._due, abandon_on_cancel=True)
        except (StoreError, OSError) as error:
            self._tell(str(error))
        except Exception as error:
            log.exception("the daily backup failed")
            self._tell(f"{type(error).__name__}: {error}")
        else:
            if made is not None:
                log.info("backup: %s", made)
                self._failed = False

    def _due(self) -> Path | None:
        name, now = self._called(), self._now()
        newest = daily(name, self._folder, now)[-1:]
        if newest and now - made_at(newest[0]) < EVERY:
            return None
        made = back_up(self._url, self._folder, DAILY)
        for old in rotate(name, self._folder, self._keep, self._now()):
            log.info("backup: %s is deleted", old)
        return made

    def _called(self) -> str:
        """What the copies are called; that a database is away is no failure while no copy is due."""
        try:
            self._name = name_of(self._url)
        except StoreError:
            if self._name is None:
                raise
        return self._name

    def _tell(self, reason: str) -> None:
        log.warning("no backup: %s", reason)
        if not self._failed:
            again = f"Action: it is tried again every {LOOK / 60:.0f} minutes; trading goes on"
            self._bus.publish(Alert(Severity.WARNING, "Backup Failed", (reason, again), self._clock.now()))
        self._failed = True


async def keep_backups(url: str, folder: Path, keep: int, bus: Bus, clock: Clock) -> None:
    """Daily copies of the database at ``url`` into ``folder``, the newest ``keep`` of them, until cancelled."""
    await DailyBackups(url, folder, keep, bus, clock).run()
