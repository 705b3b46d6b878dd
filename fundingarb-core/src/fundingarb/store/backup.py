"""Copies of the database, taken while the bot trades, and put back when it does not.

A copy appears under its name only when it is whole, checked and on disk; what is put back is put back in one
transaction. So whatever is interrupted, the old copy and the old database are as they were. A switch that is latched is
latched afterwards too: only ``fundingarb resume`` releases it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import select

from fundingarb.errors import SchemaError, StoreError
from fundingarb.folders import make_private
from fundingarb.store import pgdump, tables
from fundingarb.store.columns import time_text
from fundingarb.store.copies import STAMP, name_of, told_of, unwritable
from fundingarb.store.database import (
    BUSY_SECONDS,
    SQLITE_HEADER,
    Database,
    connect,
    explained,
    make_engine,
    parse_url,
    pragmas,
    prepare_file,
)
from fundingarb.store.lease import alone_with
from fundingarb.store.reading import KILLED, PAUSED
from fundingarb.store.schema import REVISIONS, VERSION_TABLE, revision_of

UNFINISHED = 24 * 3600.0
"""Seconds after which what a killed process left behind is deleted."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: its schema, and where what was there before is (None: there was nothing).

    ``latched`` are the switches that were latched there and still are; None when nothing told, so that entries are
    paused.
    """

    revision: str
    before: Path | None
    latched: tuple[Latched, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Latched:
    """A switch of the bot called ``instance``: ``name`` is that of its row in ``control``."""

    instance: str
    name: str
    actor: str
    at: datetime


def back_up(url: str, folder: Path, kind: str = "backup") -> Path:
    """Copy the database at ``url``, as it is at this moment, into ``folder``; returns the file.

    Raises StoreError; then no file has appeared.
    """
    database = parse_url(url)
    if database.memory:
        raise StoreError("a database in memory cannot be backed up; choose a file as database.url")
    if revision_of(url) is None:
        raise StoreError(f"{database} is empty: there is nothing to back up")
    _make_folder(folder)
    _tidy(folder)
    suffix = "db" if database.sqlite else "pgdump"
    with _put_into(folder, f"{name_of(url)}-{kind}", suffix) as part:
        if database.sqlite:
            with explained(database), closing(_read(database.file)) as source:
                _copy(source, part.path)
        else:
            pgdump.dump(database, part.path)
        revision = _revision_in(part.path)
        if revision is None:
            raise StoreError(f"the copy of {database} holds no schema; look at the database")
    return part.final


def restore(url: str, file: Path, folder: Path, *, another: bool = False) -> Restored:
    """Put ``file`` in place of what the database at ``url`` holds, of which a copy is made in ``folder`` first.

    Where there has been a hedge, a copy of another database is refused unless ``another`` says that it is meant; a
    database that is new takes any. Kill switch and pause stay latched where they are; where nothing is there to tell,
    entries are paused (a kill would close what is open).

    Raises LeaseTaken while a bot uses the database, SchemaError for a copy of a newer version, StoreError.
    """
    database = parse_url(url)
    if database.memory:
        raise StoreError("a database in memory cannot be restored; choose a file as database.url")
    revision = _check(database, file)
    prepare_file(database)
    with alone_with(database):
        there = revision_of(url)
        if there is not None and there not in REVISIONS:
            raise SchemaError(
                f"{database} has schema {there}, which this version does not know; use the version that made it"
            )
        if there is not None and not another:
            _refuse_another(database, file)
        before = back_up(url, folder, "before-restore") if there is not None else None
        latched = _latched(database) if there is not None else None
        also = _latching(latched)
        if database.sqlite:
            with _completed(file, also, folder) as whole:
                _put_back(database, whole)
        else:
            pgdump.restore(database, file, also)
    if revision_of(url) != revision:
        raise StoreError(f"{database} does not have what {file} holds; restore it again")
    return Restored(revision, before, latched)


def _latched(database: Database) -> tuple[Latched, ...]:
    """The switches of every bot that are latched. Raises StoreError."""
    control = tables.control
    query = (
        select(control)
        .where(control.c.name.in_((KILLED, PAUSED)), control.c.value == "1")
        .order_by(control.c.instance, control.c.name)
    )
    engine = make_engine(database)
    connection = connect(engine, database)
    try:
        with explained(database):
            rows = connection.execute(query).mappings()
            return tuple(Latched(row["instance"], row["name"], row["actor"], row["at"]) for row in rows)
    finally:
        connection.close()
        engine.dispose()


def _latching(latched: Iterable[Latched] | None) -> str:
    """SQL that latches these again, or (None) pauses every bot; the same on SQLite and PostgreSQL."""
    if latched is None:
        now = _quoted(time_text(datetime.now(timezone.utc)))
        bots = "SELECT '' AS instance UNION SELECT instance FROM control UNION SELECT instance FROM commands"
        found = [f"SELECT instance, '{PAUSED}', '1', 'restore', {now} FROM ({bots}) AS bots WHERE true"]  # noqa: S608
    else:
        rows = [(each.instance, each.name, "1", each.actor, time_text(each.at)) for each in latched]
        found = [f"VALUES ({', '.join(map(_quoted, row))})" for row in rows]
    return "".join(
        f"INSERT INTO control (instance, name, value, actor, at) {values} ON CONFLICT (instance, name) "
        "DO UPDATE SET value = excluded.value, actor = excluded.actor, at = excluded.at;\n"
        for values in found
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check(database: Database, file: Path) -> str:
    """The schema in ``file``, which can be put into ``database``."""
    try:
        head = _head(file)
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}; name a file that fundingarb backup made") from error
    kind = "SQLite" if head == SQLITE_HEADER else "PostgreSQL" if head.startswith(pgdump.MAGIC) else None
    if kind is None:
        raise StoreError(f"{file} is no backup; name a file that fundingarb backup made")
    if (kind == "SQLite") is not database.sqlite:
        raise StoreError(
            f"{file} is a backup of a {kind} database and {database} is none; choose another one"
        )
    revision = _revision_in(file)
    if revision is None:
        raise StoreError(f"{file} holds no schema of this program; name a file that fundingarb backup made")
    if revision not in REVISIONS:
        raise SchemaError(
            f"{file} has schema {revision}, which this version does not know; "
            "restore it with the version of fundingarb that made it, or a newer one"
        )
    return revision


def _refuse_another(database: Database, file: Path) -> None:
    """Raises StoreError when ``file`` is of another database than ``database``, in which there has been a hedge."""
    mine, traded = told_of(database)
    theirs = _begun_in(file)
    if traded and mine != theirs:
        raise StoreError(
            f"{file} is a copy of another database (begun {_moment(theirs)}; {database}: {_moment(mine)}); "
            "name a copy of this one, or add --another if it is meant"
        )


def _moment(begun: datetime | None) -> str:
    return "never" if begun is None else f"{begun:%Y-%m-%d %H:%M:%S} UTC"


def _begun_in(file: Path) -> datetime | None:
    """When the database was begun of which ``file`` is a copy. It is whole. Raises StoreError."""
    table = tables.config_revisions.name
    if _head(file) != SQLITE_HEADER:
        rows = pgdump.rows_in(file, table)
        first = min(rows, key=lambda row: int(row["revision"]), default=None)
        return None if first is None else pgdump.instant(first["at"])
    with closing(_opened(file)) as copy:
        row = copy.execute(f"SELECT at FROM {table} ORDER BY revision LIMIT 1").fetchone()  # noqa: S608
    return None if row is None else datetime.fromisoformat(row[0]).astimezone(timezone.utc)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(SQLITE_HEADER))


def _revision_in(file: Path) -> str | None:
    """The schema of a copy that is whole. Raises StoreError when it is damaged."""
    if _head(file) != SQLITE_HEADER:
        return pgdump.revision_in(file, VERSION_TABLE)
    try:
        with closing(_opened(file)) as copy:
            _refuse_damaged(copy, file)
            row = copy.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise StoreError(f"{file} is damaged: {error}; use another backup") from error
    return None if row is None else str(row[0])


def _refuse_damaged(copy: sqlite3.Connection, file: Path) -> None:
    found = [" ".join(str(row[0]).split()) for row in copy.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise StoreError(f"{file} is damaged: {found[0]}; use another backup")
    if copy.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise StoreError(f"{file} is damaged: rows refer to nothing; use another backup")


# SQLite


def _read(file: Path | None) -> sqlite3.Connection:
    return sqlite3.connect(str(file), timeout=BUSY_SECONDS, isolation_level=None)


def _opened(file: Path) -> sqlite3.Connection:
    """A copy, which nobody writes."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _copy(source: sqlite3.Connection, part: Path) -> None:
    """All of it in one read transaction: whoever writes meanwhile neither waits nor shows."""
    with closing(sqlite3.connect(part, isolation_level=None)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # one file, that needs no other beside it


@contextmanager
def _completed(file: Path, also: str, folder: Path) -> Iterator[Path]:
    """``file``, or a copy of it for the moment in which the SQL ``also`` was done."""
    if not also:
        yield file
        return
    _make_folder(folder)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{file.stem}-", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        with closing(_opened(file)) as source:
            _copy(source, part)
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            copy.executescript(also)
        yield part
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{file} could not be prepared in {folder}: {error}; free some space") from error
    finally:
        part.unlink(missing_ok=True)


def _put_back(database: Database, file: Path) -> None:
    """Overwrite the database in one transaction of its own: a crash leaves the old one or the new one."""
    with explained(database), closing(_read(database.file)) as target:
        for pragma in pragmas(memory=False, read_only=False):
            target.execute(f"PRAGMA {pragma}")
        with closing(_opened(file)) as source:
            source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# files


@dataclass
class _Part:
    """A file that is being made; ``final`` is what it is called once it is whole."""

    path: Path
    final: Path


@contextmanager
def _put_into(folder: Path, stem: str, suffix: str) -> Iterator[_Part]:
    """A file beside its place, that takes its name when the block has ended well."""
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{stem}-", suffix=".part")
    except OSError as error:
        raise unwritable(folder, error) from error
    os.close(handle)
    part = _Part(Path(name), Path(name))
    try:
        yield part
        part.final = _put(part.path, folder, stem, suffix)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        part.path.unlink(missing_ok=True)


def _put(part: Path, folder: Path, stem: str, suffix: str) -> Path:
    """On disk under a name of its own, which no other file is overwritten for."""
    _sync(part)
    stamp = datetime.now(timezone.utc).strftime(STAMP)
    for number in range(1000):
        more = f"-{number}" if number else ""
        final = folder / f"{stem}-{stamp}{more}.{suffix}"
        try:
            os.link(part, final)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            if final.exists():
                continue
            os.replace(part, final)  # a file system without hard links
        _sync(folder)
        return final
    raise FileExistsError(errno.EEXIST, "there are a thousand of this second", str(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _tidy(folder: Path) -> None:
    """Delete what processes that were killed have left unfinished."""
    now = datetime.now(timezone.utc).timestamp()
    for path in folder.glob(".*.part*"):
        try:
            if now - path.stat().st_mtime > UNFINISHED:
                path.unlink()
        except OSError:
            continue
