"""One connection and what is done on it, synchronously: the part every kind of store shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine

from fundingarb.domain.control import AuditEntry, Command, CommandKind
from fundingarb.ports import Batch, Checkpoint, Clock, Committed
from fundingarb.store import control_rows, reading, schema
from fundingarb.store.database import (
    Database,
    connect,
    explained,
    is_operational,
    make_engine,
    prepare_file,
)
from fundingarb.store.drivers import Driver, PostgresDriver, SqliteDriver
from fundingarb.store.statements import Statements
from fundingarb.store.write import Write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """A result that is to be raised."""

    error: BaseException


class Link(NamedTuple):
    """A connection, as SQLAlchemy sees it (reading) and as its driver does (writing)."""

    connection: Connection
    driver: Driver
    statements: Statements


@dataclass
class Session:
    """A connection that is made when it is first needed, and again after it was lost.

    ``instance`` names the bot whose hedges, latch and configuration these are; None means that the database belongs
    to one bot, whatever it calls itself.
    """

    database: Database
    clock: Clock
    instance: str | None = None
    migrate: bool = False
    read_only: bool = False
    _engine: Engine | None = None
    _link: Link | None = None
    _sequence: int = 0
    _unconfirmed: set[UUID] = field(default_factory=set)

    def open(self) -> None:
        """Connect and see to the schema. Raises StoreError."""
        self._connect()

    def close(self) -> None:
        """Close the connection. The session may be used again."""
        self._drop(lost=False)
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    # writing

    def commit(self, batches: Sequence[Batch]) -> list[Committed | Failed]:
        """Commit all batches in one transaction; when one is at fault, each in its own, so that it fails alone."""
        try:
            return list(self._commit(batches))
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked for the commit
            if len(batches) == 1 or is_operational(error):
                return [Failed(error) for _ in batches]
        return [result for batch in batches for result in self.commit((batch,))]

    def _commit(self, batches: Sequence[Batch]) -> list[Committed]:
        link = self._connect()
        write = Write(
            link.connection,
            link.driver,
            link.statements,
            self._sequence,
            self._unconfirmed,
            self.instance or "",
        )
        try:
            result = self._transaction(link, lambda: write.run(batches))
        except BaseException:
            if self._link is None:
                # It may be that the server committed before the connection died. What was new then is still new to
                # whoever asked, so a replay reports it as new although it finds it stored.
                self._unconfirmed |= write.new
            raise
        self._sequence = write.sequence
        self._unconfirmed -= write.new
        return result

    def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        """Latch or release the kill switch of this instance."""
        self._set(reading.KILLED, "1" if killed else "0", actor, at)

    def set_paused(self, paused: bool, actor: str, at: datetime) -> None:
        """Switch the entries of this instance off, or on again."""
        self._set(reading.PAUSED, "1" if paused else "0", actor, at)

    def submit_command(self, command: Command) -> Command:
        """Store ``command`` unless one with its key is there already; returns the stored one.

        A kill latches in the same transaction: it cannot be lost, whatever becomes of the bot that should take it.
        """
        link, instance = self._connect(), self.instance or ""

        def work() -> None:
            link.driver.execute(link.statements.command, control_rows.command_row(command, instance))
            if command.kind is CommandKind.KILL:
                latch = {
                    "instance": instance,
                    "name": reading.KILLED,
                    "value": "1",
                    "actor": command.actor,
                    "at": command.created_at,
                }
                link.driver.execute(link.statements.control, latch)

        self._transaction(link, work)
        return self.read(lambda connection: reading.command_of_key(connection, self.instance, command.key))

    def take_command(self, command_id: UUID, at: datetime) -> bool:
        """Mark a command as taken; False when it was taken before."""
        link = self._connect()
        row = {"command": command_id, "taken_at": at}
        cursor = self._transaction(link, lambda: link.driver.execute(link.statements.take, row))
        return bool(cursor.rowcount == 1)

    def report_command(self, command: Command) -> None:
        """Store how far a command is, or (``done_at``) its result; a result is never replaced, and audited with it."""
        link = self._connect()
        row = {
            "command": command.id,
            "taken_at": command.taken_at,
            "done_at": command.done_at,
            "result": None if command.result is None else dict(command.result),
        }

        def work() -> None:
            link.driver.execute(link.statements.report, row)
            if command.done_at is not None:
                entry = control_rows.audit_row(command.entry, self.instance or "", command.id)
                link.driver.execute(link.statements.audit, entry)

        self._transaction(link, work)

    def audit(self, entry: AuditEntry) -> None:
        """Note who did what."""
        link = self._connect()
        row = control_rows.audit_row(entry, self.instance or "")
        self._transaction(link, lambda: link.driver.execute(link.statements.audit, row))

    def localnet_run(self, run: str, at: datetime) -> str:
        """The localnet run that this database belongs to: ``run`` from now on, unless it has hedges of another."""
        known = self.read(
            lambda connection: reading.control_value(connection, self.instance, reading.LOCALNET_RUN)
        )
        if known == run:
            return run
        if known is not None and self.read(reading.traded):
            return known
        self._set(reading.LOCALNET_RUN, run, "start", at)
        return run

    def live_mark(self) -> str | None:
        """The mark of the approval that this database is traded on with; None when there is none."""
        return self.read(
            lambda connection: reading.control_value(connection, self.instance, reading.LIVE_MARK)
        )

    def set_live_mark(self, mark: str, at: datetime) -> None:
        self._set(reading.LIVE_MARK, mark, "start", at)

    def _set(self, name: str, value: str, actor: str, at: datetime) -> None:
        link = self._connect()
        row = {"instance": self.instance or "", "name": name, "value": value, "actor": actor, "at": at}
        self._transaction(link, lambda: link.driver.execute(link.statements.control, row))

    def save_config(self, document: Mapping[str, Any], at: datetime, actor: str | None = None) -> int:
        """Store a configuration unless it is the newest one already; returns its number."""
        plain = json.loads(json.dumps(document, sort_keys=True, default=str))
        last = self.read(lambda connection: reading.last_config(connection, self.instance))
        if last is not None and last[1] == plain:
            return last[0]
        number = self.read(reading.next_revision)
        link = self._connect()
        row = {
            "revision": number,
            "instance": self.instance or "",
            "document": plain,
            "at": at,
            "actor": actor,
        }
        self._transaction(link, lambda: link.driver.execute(link.statements.revision, row))
        return number

    def _transaction(self, link: Link, work: Callable[[], T]) -> T:
        """``work`` in a transaction of its own: all of it on disk, or nothing of it and the reason raised."""
        with explained(self.database):
            try:
                link.driver.begin()
                result = work()
                link.driver.commit()
            except BaseException:
                try:
                    link.driver.rollback()
                except Exception:  # noqa: BLE001 - the error that led here is the one to report
                    self._drop(lost=True)
                if link.driver.lost:
                    self._drop(lost=True)
                raise
            return result

    # reading

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on the connection; it sees the database as of one moment. Raises StoreError."""
        link = self._connect()
        if not self.read_only:  # what the only writer reads does not change meanwhile
            with explained(self.database):
                try:
                    return work(link.connection)
                finally:
                    if link.driver.lost:
                        self._drop(lost=True)
        return self._transaction(link, lambda: work(link.connection))

    def load(self) -> Checkpoint:
        """What is stored of this instance, as the loop needs it after a restart."""
        return self.read(lambda connection: reading.checkpoint(connection, self.instance, self.clock.now()))

    # connection

    def _connect(self) -> Link:
        if self._link is not None:
            return self._link
        if self._engine is None:
            if not self.read_only:
                prepare_file(self.database)
            self._engine = make_engine(self.database, read_only=self.read_only)
        connection = connect(self._engine, self.database)
        with explained(self.database):
            try:
                raw = connection.connection.driver_connection
                driver: Driver = (
                    SqliteDriver(raw, self.read_only)
                    if self.database.sqlite
                    else PostgresDriver(raw, self.read_only)
                )
                link = Link(connection, driver, Statements(self._engine.dialect))
                if not self.read_only:
                    schema.ensure(connection, self.database, migrate=self.migrate)
                    self._sequence = reading.last_sequence(connection)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
        self._link = link
        return link

    def _drop(self, *, lost: bool) -> None:
        """Forget the connection; the next use makes another."""
        link, self._link = self._link, None
        if link is None:
            return
        with explained(self.database):
            if lost:
                link.connection.invalidate()
            link.connection.close()
