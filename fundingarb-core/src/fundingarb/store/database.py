"""Where the database is and how to reach it: URLs, connections, and what its errors mean for a person."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from fundingarb.errors import StoreError
from fundingarb.folders import USUAL_FOLDER, make_private
from fundingarb.ports import Secret

POSTGRES_EXTRA = "pip install 'fundingarb-core[postgresql]'"
SQLITE_HEADER = b"SQLite format 3\0"
"""Where the database is unless the configuration says something else."""
BUSY_SECONDS = 5
CONNECT_SECONDS = 5

POSTGRES_DEFAULTS = {
    "application_name": "fundingarb",
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""libpq options unless the URL sets them: a server that vanished is noticed within seconds."""


@dataclass(frozen=True, slots=True)
class Database:
    """A parsed database URL. ``str()`` of it never shows the password."""

    url: URL

    @property
    def sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for PostgreSQL and for a database in memory."""
        name = self.url.database
        return None if not self.sqlite or name in (None, "", ":memory:") else Path(str(name))

    @property
    def memory(self) -> bool:
        """Whether the database lives in this process only."""
        return self.sqlite and self.file is None

    def __str__(self) -> str:
        if self.sqlite:
            return f"SQLite database {self.file or 'in memory'}"
        shown = self.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
        return f"PostgreSQL database {shown}"

    def clean(self, text: object) -> str:
        """``text`` on one line, without the password should a driver have put it there."""
        line = " ".join(str(text).split())
        secrets = {self.url.password, self.url.query.get("password")}
        for secret in secrets:
            if isinstance(secret, str) and secret:
                line = line.replace(secret, "***")
        return line if len(line) <= 300 else f"{line[:297]}..."


_remembered: Secret | None = None


def remember_password(password: Secret | None) -> None:
    """The password of a PostgreSQL URL without one, from here on and for this process (None: there is none)."""
    global _remembered
    _remembered = password


def parse_url(url: str) -> Database:
    """The database of ``url``: ``sqlite:///FILE`` (``~`` is the home folder) or ``postgresql://...``.

    A PostgreSQL URL without a password gets the remembered one.

    Raises StoreError for anything else.
    """
    help_text = "write sqlite:///FILE or postgresql://USER@HOST/NAME as database.url"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"the database URL cannot be read; {help_text}") from None
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        name = parsed.database
        if name and name != ":memory:":
            parsed = parsed.set(database=os.path.abspath(os.path.expanduser(name)))
        return Database(parsed.set(drivername="sqlite"))
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if _remembered is not None and not parsed.password and "password" not in parsed.query:
            parsed = parsed.set(password=_remembered.reveal())
        return Database(parsed.set(drivername="postgresql+psycopg"))
    raise StoreError(f"databases of the kind {parsed.drivername!r} are not supported; {help_text}")


def make_engine(database: Database, *, read_only: bool = False) -> Engine:
    """An engine whose connections commit only what is told to: transactions are begun and ended in SQL."""
    if database.sqlite:
        engine = create_engine(
            database.url,
            isolation_level="AUTOCOMMIT",
            poolclass=StaticPool if database.memory else NullPool,
            connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        )

        @event.listens_for(engine, "connect")
        def prepare(raw: Any, record: object) -> None:
            for pragma in pragmas(memory=database.memory, read_only=read_only):
                raw.execute(f"PRAGMA {pragma}")

        return engine
    defaults = {k: v for k, v in POSTGRES_DEFAULTS.items() if k not in database.url.query}
    try:
        return create_engine(
            database.url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=defaults
        )
    except ModuleNotFoundError:
        raise StoreError(f"a PostgreSQL database needs psycopg; {POSTGRES_EXTRA}") from None


def pragmas(*, memory: bool, read_only: bool) -> Iterator[str]:
    """What every SQLite connection is set to: a returned COMMIT is on disk, references are checked."""
    yield "foreign_keys = ON"
    if not memory:
        yield "journal_mode = WAL"
        yield "synchronous = FULL"
        yield "fullfsync = ON"
    if read_only:
        yield "query_only = ON"


def prepare_file(database: Database) -> None:
    """Create the SQLite file for the owner's eyes only, and the folder if it is the usual one: any other that does
    not exist is a mistake in writing. Raises StoreError when that cannot be."""
    path = database.file
    if path is None:
        return
    try:
        if path.parent == USUAL_FOLDER.expanduser():
            make_private(path.parent)
        elif not path.parent.exists():
            raise StoreError(
                f"{database} cannot be opened: there is no folder {path.parent}; create it, or correct database.url"
            )
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            loose = stat.S_IMODE(os.fstat(handle).st_mode) & 0o077
            if loose and os.read(handle, len(SQLITE_HEADER)) in (b"", SQLITE_HEADER):
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{database} cannot be opened: {reason}; choose a file you may write to as database.url"
        ) from None


def connect(engine: Engine, database: Database) -> Connection:
    """A connection, or StoreError with what to do."""
    with explained(database):
        return engine.connect()


@contextlib.contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turn whatever the database or its driver raises into a StoreError of one line."""
    try:
        yield
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise explain(error, database) from error
    except (ValueError, OverflowError) as error:
        problem = database.clean(error)
        raise StoreError(f"{database}: {problem}; the change cannot be stored, nothing of it was") from error
    except Exception as error:
        if is_driver_error(error):
            raise explain(error, database) from error
        raise


def is_driver_error(error: BaseException) -> bool:
    """Whether a driver (not our code) raised ``error``."""
    return isinstance(error, sqlite3.Error) or type(error).__module__.partition(".")[0] == "psycopg"


def is_operational(error: BaseException) -> bool:
    """Whether a StoreError is about the database as a whole (gone, locked, full), not about what was to be stored."""
    if not isinstance(error, StoreError):
        return False
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        cause = cause.orig
    return cause is None or any(kind.__name__ == "OperationalError" for kind in type(cause).__mro__)


def explain(error: BaseException, database: Database) -> StoreError:
    """What ``error`` means for a person and what to do about it."""
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    text = database.clean(cause)
    lower = text.lower()
    if database.sqlite:
        advice = next((advice for sign, advice in SQLITE_ADVICE if sign in lower), "look at the file")
    else:
        advice = next(
            (advice for sign, advice in POSTGRES_ADVICE if sign in lower), "look at the server's log"
        )
    return StoreError(f"{database}: {text.rstrip('.')}; {advice}")


SQLITE_ADVICE = (
    ("not a database", "choose another file as database.url"),
    ("malformed", "the file is damaged, restore it from a backup"),
    ("locked", "another program is using it, end that one"),
    ("readonly", "make the file and its folder writable"),
    ("unable to open", "choose a file you may write to as database.url"),
    ("full", "free some disk space"),
    ("disk i/o", "check the disk"),
    ("constraint", "the change contradicts what is stored, nothing of it was stored"),
    ("no such table", "run fundingarb db upgrade"),
)
POSTGRES_ADVICE = (
    ("password", "correct user and password in database.url (or in ~/.pgpass)"),
    ("authentication", "correct user and password in database.url (or in ~/.pgpass)"),
    ("does not exist", "create it, or correct database.url"),
    ("refused", "start the server, or correct host and port in database.url"),
    ("no such file", "start the server, or correct host and port in database.url"),
    ("resolve", "correct the host in database.url"),
    ("timeout", "check that the server can be reached"),
    ("permission denied", "grant the user the right to create and use tables"),
    ("too many", "raise max_connections or end other programs"),
    ("disk", "free some disk space on the server"),
    ("violates", "the change contradicts what is stored, nothing of it was stored"),
    ("closed", "it is tried again with the next change"),
    ("terminating", "it is tried again with the next change"),
    ("connection", "check that the server can be reached"),
)
"""Part of a driver's message -> what to do. The first that fits is taken."""
