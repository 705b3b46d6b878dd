"""PostgreSQL's own programs for copies: pg_dump, pg_restore and psql."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from fundingarb.errors import StoreError
from fundingarb.store import tables
from fundingarb.store.database import Database

MAGIC = b"PGDMP"
INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian and its like keep the programs of each version."""
ADVICE = (
    ("server version mismatch", "install the PostgreSQL client programs of the server's version"),
    (
        "unsupported version",
        "install the PostgreSQL client programs of the version that made it, or newer ones",
    ),
    ("password", "correct user and password in database.url (or in ~/.pgpass)"),
    ("no space", "free some disk space"),
    ("connection", "check that the server can be reached"),
    ("permission denied", "grant the user the rights on all tables"),
)


def dump(database: Database, file: Path) -> None:
    """Write everything in ``database`` to ``file``, as of one moment. Raises StoreError."""
    _run(database, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def revision_in(file: Path, table: str) -> str | None:
    """The version number that a dump holds in ``table``. Raises StoreError when it cannot be read."""
    rows = rows_in(file, table)
    return rows[0]["version_num"] if rows else None


def rows_in(file: Path, table: str) -> list[dict[str, str]]:
    """The rows that a dump holds of ``table``, as the text that COPY writes. Raises StoreError."""
    text = _run(None, "pg_restore", "--data-only", f"--table={table}", "--file=-", str(file))
    found = re.search(
        rf"^COPY \S*{table} \(([^)]*)\) FROM stdin;\n(.*?)^\\\.$", text, re.MULTILINE | re.DOTALL
    )
    if found is None:
        return []
    columns = [name.strip(' "') for name in found[1].split(",")]
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in found[2].split("\n")[:-1]]


def instant(text: str) -> datetime:
    """A time as COPY writes it: ``2026-03-01 07:40:00.5+00``, in the zone of whoever dumped it."""
    parts = re.fullmatch(r"(\S+ [\d:]{8})(?:\.(\d+))?([+-]\d\d)(?::(\d\d))?", text)
    if parts is None:
        raise StoreError(f"the dump holds a time that cannot be read ({text[:40]}); use another backup")
    whole = f"{parts[1]}.{parts[2] or '0'}{parts[3]}{parts[4] or '00'}"
    return datetime.strptime(whole, "%Y-%m-%d %H:%M:%S.%f%z").astimezone(timezone.utc)


def restore(database: Database, file: Path, also: str = "") -> None:
    """Put ``file`` in place of this program's tables in ``database``, and do the SQL ``also``, in one transaction.

    Raises StoreError.
    """
    with tempfile.TemporaryDirectory(prefix="fundingarb-restore-") as folder:
        script = Path(folder) / "restore.sql"
        drops = Path(folder) / "drop.sql"
        more = Path(folder) / "more.sql"
        names = [*tables.metadata.tables, "alembic_version"]
        lines = [f"DROP TABLE IF EXISTS {name} CASCADE;" for name in names]
        lines.append("DROP FUNCTION IF EXISTS audit_is_only_added_to() CASCADE;")
        drops.write_text("SET client_min_messages = warning;\n" + "\n".join(lines) + "\n")
        more.write_text("RESET search_path;\n" + also)  # the script leaves it empty
        _run(None, "pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(file))
        _run(
            database, "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1",
            "--output=/dev/null", f"--file={drops}", f"--file={script}", f"--file={more}",
        )  # fmt: skip


def program(name: str) -> Path | None:
    """Where a program of PostgreSQL is: of the newest version, or the one on the path; None where there is none."""
    versions = sorted(
        INSTALLED.glob(f"*/bin/{name}"), key=lambda path: path.parent.parent.name.zfill(4), reverse=True
    )
    found = shutil.which(name)
    return versions[0] if versions else Path(found) if found else None


def _run(database: Database | None, name: str, *arguments: str) -> str:
    """Run a program; returns what it writes. The password goes through its environment, which only its owner sees."""
    path = program(name)
    if path is None:
        raise StoreError(
            f"{name} is not installed, and copies of a PostgreSQL database are made with it; "
            "install the PostgreSQL client programs (on Debian: apt-get install postgresql-client)"
        )
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    where: Sequence[str] = ()
    if database is not None:
        url = database.url.set(drivername="postgresql")._replace(password=None)
        password = database.url.password or database.url.query.get("password")
        where = (f"--dbname={url.difference_update_query(['password']).render_as_string()}",)
        if isinstance(password, str):
            environment["PGPASSWORD"] = password
    try:
        done = subprocess.run(  # noqa: S603
            [str(path), *where, *(("--no-password",) if where else ()), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise StoreError(f"{path} cannot be started: {error.strerror}; install it again") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        text = database.clean(said) if database is not None else said[:300]
        advice = next((advice for sign, advice in ADVICE if sign in text.lower()), "look at the server's log")
        raise StoreError(f"{name}: {text.rstrip('.')}; {advice}")
    return done.stdout
