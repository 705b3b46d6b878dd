"""The lease: of one database, and of every account in it, one process trades at a time.

What makes a second one impossible is a lock that ends with its process: a lock on a file beside the SQLite database, or
advisory locks (one for the database, one for each account) on a connection of their own to PostgreSQL. The rows of
``leases`` say who it is, for people and for taking over; their ``epoch`` grows with every change of hands: so a process
whose connection was cut off learns that it has been replaced.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, select, text, update

from fundingarb.errors import LeaseTaken, StoreError
from fundingarb.process import Process, running, this_process
from fundingarb.store import tables
from fundingarb.store.database import Database, connect, explained, make_engine, parse_url

log = logging.getLogger("fundingarb.lease")

HEARTBEAT = 2.0
"""Seconds between two confirmations."""
FRESH = 6.0
"""Seconds after a confirmation during which orders that add exposure may be sent."""
TERM = 10.0
"""Seconds after which a holder that could not confirm has certainly stopped sending: longer than FRESH."""
PATIENCE = 2.0
"""Seconds to wait for a lock whose process may be ending just now."""
LOCK = 0x66756E65
"""First number of the advisory locks; the second is that of what is locked."""

_SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def awake_or_not() -> float:
    """Seconds that never go back, and go on while the machine sleeps, where the platform has such a clock (Linux):
    a confirmation from before a suspend is not fresh after it, because somebody else may have taken over."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)


Held = dict[str, tuple[int, str]]
"""Account -> epoch and holder."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What the database says of one account's lease. ``holder`` None: it was given back."""

    account: str
    instance: str
    holder: Process | None
    epoch: int
    expires_at: datetime


class _FileLock:
    """A lock on a file beside the database, for as long as the process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        if not _lock(file):
            file.close()
            return False
        self._file = file
        return self.confirmed()

    def confirmed(self) -> bool:
        """Whether it is still this file that the name stands for."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except OSError:
            return False

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class SqlLease:
    """``ports.Lease`` on a database. Made by ``hold_lease``. ``clock``: seconds, by which it is fresh or not."""

    def __init__(
        self,
        database: Database,
        accounts: Sequence[str],
        instance: str | None,
        clock: Callable[[], float] = awake_or_not,
    ) -> None:
        self._database = database
        self._accounts = sorted(accounts)
        self._instance = instance or ""
        self._clock = clock
        self._me = this_process()
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._file = _FileLock(Path(f"{database.file.resolve()}.lock")) if database.file else None
        self._confirmed = float("-inf")
        self._one_at_a_time = threading.Lock()
        self.epoch = 0

    @property
    def fresh(self) -> bool:
        return self._clock() - self._confirmed <= FRESH

    async def keep(self) -> str:
        while True:
            await anyio.sleep(HEARTBEAT)
            asked = self._clock()
            try:
                taken = await anyio.to_thread.run_sync(self._confirm, abandon_on_cancel=True)
            except StoreError as error:
                log.warning("lease not confirmed: %s", error)
                continue
            if taken is not None:
                self._confirmed = float("-inf")
                return taken
            self._confirmed = asked

    # taking and giving back, in a thread

    def take(self) -> None:
        """Take the locks and write the rows, or raise LeaseTaken."""
        if self._database.memory:  # nobody else can reach it
            self._confirmed = self._clock()
            return
        deadline = time.monotonic() + PATIENCE
        while not self._lock():
            if time.monotonic() > deadline:
                raise LeaseTaken(self._in_use())
            time.sleep(0.1)
        began = self._clock()
        held = self._held()
        if self._file is None and any(self._may_still_send(holder) for _, holder in held.values()):
            log.warning(
                "waiting %.0f s: the last holder of the lease may not know yet that it has ended", TERM
            )
            time.sleep(TERM)
            began = self._clock()
        self.epoch = max((epoch for epoch, _ in held.values()), default=0) + 1
        self._write(held)
        self._confirmed = began

    def give_back(self) -> None:
        """Say that nobody holds it, and let go of the locks."""
        with self._one_at_a_time:  # a confirmation that was abandoned may still be under way
            self._give_back()

    def _give_back(self) -> None:
        try:
            if self._connection is not None and self.epoch:
                self._run(self._mine().values(holder="", expires_at=_now()))
        except StoreError as error:
            log.info("lease not given back in words: %s", error)
        finally:
            self._drop()
            if self._file is not None:
                self._file.release()
            if self._engine is not None:
                self._engine.dispose()

    def _lock(self) -> bool:
        if self._file is not None:
            try:
                return self._file.take()
            except OSError as error:
                raise StoreError(f"{self._file.path} cannot be locked: {error.strerror}") from error
        names = [f"database {self._instance}", *(f"account {name}" for name in self._accounts)]
        with explained(self._database):
            connection = self._connected()
            for name in names:
                got = connection.scalar(
                    text("SELECT pg_try_advisory_lock(:kind, :name)"), {"kind": LOCK, "name": _number(name)}
                )
                if not got:
                    self._drop()
                    return False
        return True

    def others(self) -> bool:
        """Whether anybody else holds a lock of this program in the same PostgreSQL database."""
        if self._file is not None:
            return False
        with explained(self._database):
            asked = text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :kind AND pid <> "
                "pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            return bool(self._connected().scalar(asked, {"kind": LOCK}))

    def _may_still_send(self, holder: str) -> bool:
        """Whether a holder that has lost its lock may not have noticed: not when it provably runs no more."""
        process = Process.load(holder)
        return process is not None and (not process.here or running(process)) and process != self._me

    def _confirm(self) -> str | None:
        """None when it is still ours; else who has it. Raises StoreError while that cannot be known."""
        if self._database.memory:
            return None
        with self._one_at_a_time:
            return self._check()

    def _check(self) -> str | None:
        if self._file is not None:
            if not self._file.confirmed():
                return f"{self._file.path} was removed or replaced"
            try:  # the lock is what counts; the row is for people
                self._beat()
            except StoreError as error:
                log.info("heartbeat not written: %s", error)
            return None
        if self._connection is None and not self._lock():
            return self._replaced(self._held())
        if self._beat() == len(self._accounts):
            return None
        return self._replaced(self._held()) or "its rows are gone"

    def _replaced(self, held: Held) -> str | None:
        """Who has taken over. Raises StoreError while nobody has and the lock is not to be had."""
        for account, (epoch, holder) in held.items():
            if epoch > self.epoch:
                return f"account {account} is traded by {Process.load(holder) or 'another process'}"
        raise StoreError("the lock is still held by a connection that was lost")

    def _beat(self) -> int:
        return self._run(self._mine().values(expires_at=_now() + timedelta(seconds=TERM)))

    def _mine(self) -> Any:
        leases = tables.leases
        return update(leases).where(leases.c.account.in_(self._accounts), leases.c.epoch == self.epoch)

    def _write(self, held: Held) -> None:
        leases = tables.leases
        values = {
            "instance": self._instance,
            "holder": self._me.dump(),
            "epoch": self.epoch,
            "expires_at": _now() + timedelta(seconds=TERM),
        }
        for account in self._accounts:
            if account in held:
                self._run(update(leases).where(leases.c.account == account).values(values))
            else:
                self._run(leases.insert().values(account=account, **values))

    def _held(self) -> Held:
        leases = tables.leases
        connection = self._connected()
        with explained(self._database):
            rows = connection.execute(select(leases).where(leases.c.account.in_(self._accounts))).mappings()
            return {row["account"]: (row["epoch"], row["holder"]) for row in rows}

    def _in_use(self) -> str:
        """The one line for whoever wanted to start a second process."""
        try:
            rows = read_leases(self._connected())
        except StoreError:
            rows = []
        holder = next((row.holder for row in rows if row.holder is not None), None)
        whose = "another process" if holder is None else str(holder)
        return (
            f"{self._database} is in use: {whose} is trading {', '.join(self._accounts)}; "
            "end that one first, or give this one a database and accounts of its own"
        )

    # connection

    def _connected(self) -> Connection:
        if self._connection is None:
            if self._engine is None:
                self._engine = make_engine(self._database)
            self._connection = connect(self._engine, self._database)
            if not self._database.sqlite:
                with explained(self._database):
                    # a host that vanished gives its locks back within half a minute
                    for setting in ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5"):
                        self._connection.execute(text(f"SET {setting}"))
        return self._connection

    def _run(self, statement: Any) -> int:
        try:
            with explained(self._database):
                return int(self._connected().execute(statement).rowcount)
        except StoreError:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception as error:  # noqa: BLE001 - it is gone either way
                log.debug("closing: %s", error)


def _number(name: str) -> int:
    """A 32-bit signed number for an advisory lock."""
    value = zlib.crc32(name.encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def _now() -> datetime:
    """Wall-clock time: leases are about processes, whatever time the exchanges have."""
    return datetime.now(timezone.utc)


def read_leases(connection: Connection) -> list[LeaseRow]:
    """Who holds which account, as the rows say."""
    found = connection.execute(select(tables.leases).order_by(tables.leases.c.account)).mappings()
    return [
        LeaseRow(
            row["account"], row["instance"], Process.load(row["holder"]), row["epoch"], row["expires_at"]
        )
        for row in found
    ]


@contextmanager
def alone_with(database: Database) -> Iterator[None]:
    """Keep every bot off ``database`` until the block is left; its tables need not be there.

    Raises LeaseTaken when one is using it, or another command that needs it alone. A server learns of a connection that
    was closed a moment later, so it is asked for a moment.
    """
    if database.memory:  # nobody else can reach it
        yield
        return
    lease = SqlLease(database, (), None)
    try:
        deadline = time.monotonic() + (PATIENCE if lease._file is None else 0.0)
        while not lease._lock() or lease.others():
            if time.monotonic() > deadline:
                raise LeaseTaken(f"{database} is in use; end the bot that uses it first")
            time.sleep(0.1)
        yield
    finally:
        lease.give_back()


@asynccontextmanager
async def hold_lease(
    url: str,
    accounts: Sequence[str],
    instance: str | None = None,
    clock: Callable[[], float] = awake_or_not,
) -> AsyncIterator[SqlLease]:
    """The lease of the database at ``url`` and of ``accounts``, given back when the context is left.

    The schema has to be there already. Raises LeaseTaken when another process has it.
    """
    lease = SqlLease(parse_url(url), accounts, instance, clock)
    try:
        await anyio.to_thread.run_sync(lease.take)
        yield lease
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lease.give_back)
