"""Which schema a database has, and bringing it to the one this version needs."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from fundingarb.errors import SchemaError
from fundingarb.store.database import Database
from fundingarb.store.tables import metadata

REVISIONS = ("0001",)
"""Every schema there has been, oldest first; the last is the one this version works with."""

VERSION_TABLE = "alembic_version"


def current(connection: Connection) -> str | None:
    """The revision the database has; None when it was never used."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
    return None if found is None else str(found)


def ensure(connection: Connection, database: Database, *, migrate: bool) -> None:
    """Create the schema in an empty database; refuse (or with ``migrate`` upgrade) an older one, refuse a newer one."""
    revision = current(connection)
    if revision == REVISIONS[-1]:
        return
    if revision is None:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": REVISIONS[-1]})
        return
    if revision in REVISIONS:
        raise SchemaError(f"{database} has the older schema {revision}; run fundingarb db upgrade")
    raise SchemaError(
        f"{database} has schema {revision}, which this version does not know; use the version that made it, or newer"
    )
