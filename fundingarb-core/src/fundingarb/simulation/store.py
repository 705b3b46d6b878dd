"""The real store on SQLite, inline, which can be made to fail or to hang; who watches is told what is committed."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from typing import Any, Literal
from uuid import UUID

import anyio

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Committed
from fundingarb.store import InlineStore
from fundingarb.store.database import make_engine, parse_url
from fundingarb.store.session import Session

Failing = Literal["db_before", "db_after", "db_down", "db_hang"]
"""A commit that fails and stores nothing; that stores and then reports failure; with which a time begins in which the
store is down, or hangs."""

LATELY = 3.0
LOOK = 0.25
"""Real seconds between two looks of whoever waits for a store that hangs."""
ASKED = (
    "load", "control", "fills", "payments", "settlements", "hedges_at", "result_since", "undelivered", "set_killed",
    "set_paused", "submit_command", "take_command", "report_command", "audit",
)  # fmt: skip
"""What a bot asks its store for besides commits: it fails while the store is down, and waits while it hangs."""
OF_A_HEDGE = ("fills", "payments", "settlements")
"""Of these the first argument is a hedge."""
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


def concerned(batch: Batch) -> set[UUID]:
    """The hedges that something of ``batch`` is of."""
    booked = {hedge_id for _, hedge_id in batch.fills} | {hedge_id for _, hedge_id in batch.payments}
    rows = {order.hedge_id for order in batch.orders} | {row.hedge_id for row in batch.settlements}
    return {hedge_id for hedge_id in booked if hedge_id} | rows | {intent.id for intent in batch.intents}


class SimStore(InlineStore):
    """``fate`` says how a commit that concerns these hedges fails. While ``down`` is set everything fails. After
    ``hang`` nothing is answered for a while, and a commit given up then is carried out all the same, in its turn.

    ``on_commit`` hears of every batch that was stored, ``on_failure`` of everything that failed or was not answered
    at once: what it was and whose.
    """

    def __init__(self, clock: Clock, instance: str | None = None, url: str = MEMORY) -> None:
        if url == MEMORY:
            self._session = _memory_session(clock, instance)
            weakref.finalize(self, self._session.close)
            self.instance = instance
        else:
            super().__init__(url, clock, instance)
        self.down = False
        self.commits = 0
        self.clock = clock
        self.fate: Callable[[Collection[UUID]], Failing | None] = lambda _ids: None
        self.on_commit: list[Callable[[Batch], None]] = []
        self.on_failure: list[Callable[[str, Collection[UUID]], None]] = []
        self._failed_at = float("-inf")
        self._silent_until = float("-inf")
        self._given_up: list[Batch] = []
        self._unconfirmed = Committed()

    def hang(self, seconds: float) -> None:
        """Answer nothing for so many real seconds."""
        self._silent_until = max(self._silent_until, self.clock.monotonic() + seconds)

    def heal(self) -> None:
        """Nothing is wrong any more."""
        self.down, self._silent_until = False, float("-inf")

    @property
    def silent(self) -> bool:
        """Whether it hangs."""
        return self.clock.monotonic() < self._silent_until

    @property
    def failed_lately(self) -> bool:
        """Whether it failed within the last seconds: what was decided on it may be on its way."""
        return self.clock.monotonic() - self._failed_at < LATELY

    def _fail(self, reason: str) -> StoreError:
        self._failed_at = self.clock.monotonic()
        return StoreError(reason)

    def _tell(self, what: str, ids: Collection[UUID]) -> None:
        for told in self.on_failure:
            told(what, ids)

    async def _answering(self, ids: Collection[UUID]) -> None:
        """Wait until the store answers, in vain while it is down."""
        if self.down:
            self._tell("db_down", ids)
            raise self._fail("the disk is full; free some disk space")
        if self.silent:
            self._tell("db_hang", ids)
        while self.silent:
            self._failed_at = self.clock.monotonic()
            await anyio.sleep(LOOK)
        await self._carry_out()

    async def _carry_out(self) -> None:
        """Store what nobody waited for."""
        while self._given_up:
            self._note_unconfirmed(await self._store(self._given_up.pop(0)))

    async def _store(self, batch: Batch) -> Committed:
        committed = self._confirmed(batch, await super().commit(batch))
        self.commits += 1
        for told in self.on_commit:
            told(batch)
        return committed

    def forget(self) -> None:
        """The process that asked is gone, and with it what it was waiting for."""
        self._given_up.clear()
        self._unconfirmed = Committed()

    def _note_unconfirmed(self, committed: Committed) -> None:
        known = self._unconfirmed
        self._unconfirmed = Committed(known.fills + committed.fills, known.payments + committed.payments)

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
        ids = concerned(batch)
        try:
            await self._answering(ids)
            how = self.fate(ids)
            if how in ("db_down", "db_hang"):
                await self._answering(ids)
            elif how is not None:
                self._tell(how, ids)
        except anyio.get_cancelled_exc_class():
            self._given_up.append(batch)
            raise
        if how == "db_before":
            raise self._fail("disk I/O error; check the disk")
        committed = await self._store(batch)
        if how == "db_after":
            self._note_unconfirmed(committed)
            raise self._fail("the connection died while committing; it is tried again")
        return committed


def _asked(name: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(InlineStore, name)

    @wraps(original)
    async def ask(self: SimStore, *arguments: Any, **named: Any) -> Any:
        if name == "load":
            self.forget()
        whose = arguments[0] if arguments and name in OF_A_HEDGE else None
        await self._answering({whose} if whose is not None else ())
        return await original(self, *arguments, **named)

    return ask


for _name in ASKED:
    setattr(SimStore, _name, _asked(_name))
