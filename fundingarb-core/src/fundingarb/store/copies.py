"""Whose copy of a database is whose, and what copies are called.

A database is known by when it was begun: the moment of the first configuration that was stored in it, which is never
changed again. It goes with the database to another path, server or machine and is in every copy, those of earlier
versions too. The names of copies tell it and the place of the database besides, as a short hash: so bots that share a
folder have their own daily copies, also where one began as a copy of the other.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import inspect, select

from fundingarb.errors import StoreError
from fundingarb.store import reading, tables
from fundingarb.store.columns import time_text
from fundingarb.store.database import Database, connect, explained, make_engine, parse_url

STAMP = "%Y%m%dT%H%M%SZ"
DAILY = "daily"
"""Kind of the copies that are made by themselves; only these are ever deleted again."""


def name_of(url: str) -> str:
    """What every copy of the database at ``url`` is called first. Raises StoreError."""
    database = parse_url(url)
    if database.file is not None:
        stem, place = database.file.stem, str(database.file.resolve())
    else:
        at = database.url
        stem = str(at.database or "fundingarb")
        place = f"{at.host or at.query.get('host', '')}:{at.port or at.query.get('port', 5432)}/{stem}"
    begun, _ = told_of(database)
    told = f"{place} {'' if begun is None else time_text(begun)}"
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', stem)}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def told_of(database: Database) -> tuple[datetime | None, bool]:
    """When ``database`` was begun (None: no bot has used it), and whether there has ever been a hedge in it.

    Raises StoreError.
    """
    table = tables.config_revisions
    first = select(table.c.at).order_by(table.c.revision).limit(1)
    engine = make_engine(database)
    connection = connect(engine, database)
    try:
        with explained(database):
            if not inspect(connection).has_table(table.name):
                return None, False
            return connection.scalar(first), reading.traded(connection)
    finally:
        connection.close()
        engine.dispose()


def daily(name: str, folder: Path, now: datetime) -> list[Path]:
    """The copies called ``name`` that were made by themselves, oldest first.

    Those with a time after ``now`` were made while the clock was wrong: they are left alone and count for nothing.
    """
    wanted = re.compile(rf"{re.escape(name)}-{DAILY}-(\d{{8}}T\d{{6}}Z)(-\d+)?\.(db|pgdump)")
    try:
        found = [path for path in folder.iterdir() if wanted.fullmatch(path.name) and made_at(path) <= now]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unwritable(folder, error) from error
    return sorted(found, key=lambda path: path.name)


def rotate(name: str, folder: Path, keep: int, now: datetime) -> list[Path]:
    """Delete all but the newest ``keep`` daily copies; returns what was deleted."""
    old = daily(name, folder, now)[:-keep]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def made_at(path: Path) -> datetime:
    """When a copy was made, as its name says: the end of time where that is no time."""
    stamp = re.search(r"-(\d{8}T\d{6}Z)(-\d+)?\.\w+$", path.name)
    try:
        return datetime.strptime(stamp[1] if stamp else "", STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return datetime.max.replace(tzinfo=timezone.utc)


def unwritable(folder: Path, error: OSError) -> StoreError:
    """What it means that a copy could not be written."""
    return StoreError(
        f"no backup was made in {folder}: {error.strerror}; free some space, or choose another folder"
    )
