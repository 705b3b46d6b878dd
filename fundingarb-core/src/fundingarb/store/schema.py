"""Which schema a database has, and bringing it to the one this version needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from fundingarb.errors import SchemaError
from fundingarb.store.database import Database, connect, explained, make_engine, parse_url, prepare_file

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""Every schema there has been, oldest first; the last is the one this version works with."""

VERSION_TABLE = "alembic_version"
LOCK = 0x66756E64
"""Number of the advisory lock that two processes upgrading one PostgreSQL database take."""


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database at ``url`` to this version's schema, creating it where it is empty.

    Returns the revision before and after. All of it happens in one transaction, or none of it. Raises StoreError, and
    SchemaError when the database is of a newer version.
    """
    database = parse_url(url)
    prepare_file(database)
    engine = make_engine(database)
    connection = connect(engine, database)
    try:
        with explained(database):
            before = current(connection)
            ensure(connection, database, migrate=True)
        return before, REVISIONS[-1]
    finally:
        connection.close()
        engine.dispose()


def revision_of(url: str) -> str | None:
    """The revision of the database at ``url``; None when it is empty or a file that does not exist yet.

    Raises StoreError.
    """
    database = parse_url(url)
    if database.file is not None and not database.file.exists():
        return None
    engine = make_engine(database)
    connection = connect(engine, database)
    try:
        with explained(database):
            return current(connection)
    finally:
        connection.close()
        engine.dispose()


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
    if revision is not None and revision not in REVISIONS:
        raise SchemaError(
            f"{database} has schema {revision}, which this version does not know; "
            "use the version of fundingarb that made it, or a newer one"
        )
    if revision is not None and not migrate:
        raise SchemaError(
            f"{database} has schema {revision}, this version needs {REVISIONS[-1]}; run fundingarb db upgrade"
        )
    _migrate(connection, database)


def _migrate(connection: Connection, database: Database) -> None:
    """Run the missing migrations in one transaction that no other process can run beside."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection

    run = connection.exec_driver_sql
    if database.sqlite:
        run("PRAGMA foreign_keys = OFF")  # tables that are altered by copying them are dropped in between
    try:
        run("BEGIN IMMEDIATE" if database.sqlite else "BEGIN")
        try:
            if not database.sqlite:
                run(f"SELECT pg_advisory_xact_lock({LOCK})")
            command.upgrade(config, REVISIONS[-1])
            if database.sqlite and run("PRAGMA foreign_key_check").first() is not None:
                raise SchemaError(f"{database} holds rows that refer to nothing; restore it from a backup")
            run("COMMIT")
        except BaseException:
            if not connection.invalidated:
                run("ROLLBACK")
            raise
    finally:
        if database.sqlite:
            run("PRAGMA foreign_keys = ON")
