"""The real store on SQLite, inline, whose commits can be made to fail; what is committed is told to whoever watches."""

from __future__ import annotations

import sqlite3
import weakref
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import anyio

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Checkpoint, Clock, Committed
from fundingarb.store import InlineStore
from fundingarb.store.database import make_engine, parse_url
from fundingarb.store.session import Session

Failing = Literal["before", "after", "hang"]
"""A commit that fails and stores nothing; that stores and then reports failure; that does not return for a while."""

HANG_SECONDS = 4.0
LATELY = 3.0
MEMORY = "sqlite://"

_templates: dict[str, sqlite3.Connection] = {}


def _memory_session(clock: Clock, instance: str | None) -> Session:
    """A session on a database in memory. The schema is made once per process and copied."""
    session = Session(parse_url(MEMORY), clock, instance, migrate=True)
    session._engine = make_engine(session.database)
    raw = session._engine.raw_connection()
    connection = raw.driver_connection
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError("the simulation's database is SQLite")
    if "empty" in _templates:
        _templates["empty"].backup(connection)
        session.open()
    else:
        session.open()
        _templates["empty"] = sqlite3.connect(":memory:", check_same_thread=False)
        connection.backup(_templates["empty"])
    raw.close()
    return session


class SimStore(InlineStore):
    """``failing`` has what happens to the next commits, in order; ``down`` makes all of them fail until it is off."""

    def __init__(self, clock: Clock, instance: str | None = None, url: str = MEMORY) -> None:
        if url == MEMORY:
            self._session = _memory_session(clock, instance)
            weakref.finalize(self, self._session.close)
            self.instance = instance
        else:
            super().__init__(url, clock, instance)
        self.failing: deque[Failing] = deque()
        self.down = False
        self.commits = 0
        self.clock = clock
        self._failed_at = float("-inf")
        self._unconfirmed = Committed()
        self.on_commit: list[Callable[[Batch], None]] = []

    @property
    def failed_lately(self) -> bool:
        """Whether a commit failed within the last seconds: what was decided on it may be on its way."""
        return self.clock.monotonic() - self._failed_at < LATELY

    def _fail(self, reason: str) -> StoreError:
        self._failed_at = self.clock.monotonic()
        return StoreError(reason)

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        if self.down:
            raise self._fail("the disk is full; free some disk space")
        await super().set_killed(killed, actor, at)

    async def load(self) -> Checkpoint:
        if self.down:
            raise self._fail("the disk is full; free some disk space")
        self._unconfirmed = Committed()  # a new process knows of no commit that reported failure
        return await super().load()

    def _confirmed(self, batch: Batch, committed: Committed) -> Committed:
        """What was stored by a commit that reported failure is new to whoever repeats it, as with the real store."""
        fills = tuple(row for row in self._unconfirmed.fills if row in batch.fills)
        payments = tuple(row for row in self._unconfirmed.payments if row in batch.payments)
        self._unconfirmed = Committed(
            tuple(row for row in self._unconfirmed.fills if row not in fills),
            tuple(row for row in self._unconfirmed.payments if row not in payments),
        )
        return Committed((*fills, *committed.fills), (*payments, *committed.payments))

    async def commit(self, batch: Batch) -> Committed:
        if not batch:
            return Committed()
        if self.down:
            raise self._fail("the disk is full; free some disk space")
        how = self.failing.popleft() if self.failing else None
        if how == "before":
            raise self._fail("disk I/O error; check the disk")
        if how == "hang":
            self._failed_at = self.clock.monotonic() + HANG_SECONDS
            await anyio.sleep(HANG_SECONDS)
        committed = self._confirmed(batch, await super().commit(batch))
        self.commits += 1
        for told in self.on_commit:
            told(batch)
        if how == "after":
            known = self._unconfirmed
            self._unconfirmed = Committed(known.fills + committed.fills, known.payments + committed.payments)
            raise self._fail("the connection died while committing; it is tried again")
        return committed
