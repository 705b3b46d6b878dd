"""A private PostgreSQL server for tests: ``postgres_url`` is an empty database on it.

``tests/conftest.py`` hands the fixtures to every test; ``running_server`` is for programs of their own. The server is
started from the machine's own binaries on a free loopback port, in a folder of its own, and stopped at the end; as
root it runs as the user ``postgres``, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.needs import need

USER = "fundingarb"
PASSWORD = "correct-horse"
INSTALL = "apt-get install postgresql"


def binaries() -> Path | None:
    """Where ``initdb`` and ``postgres`` are, newest version first."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True
    )
    found = shutil.which("initdb")
    candidates += [Path(found).resolve().parent] if found else []
    return next((path for path in candidates if (path / "initdb").exists()), None)


@dataclass
class PostgresServer:
    """One cluster. ``durable`` leaves fsync on."""

    folder: Path
    programs: Path
    port: int
    durable: bool = False
    databases: int = 0
    process: subprocess.Popen[bytes] | None = None
    account: dict[str, Any] = field(default_factory=dict)

    def create(self) -> None:
        """Make the cluster."""
        if os.geteuid() == 0:
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        if self.account:
            shutil.chown(secret, "postgres", "postgres")
        self._run(
            "initdb",
            f"--pgdata={self.folder / 'data'}",
            f"--username={USER}",
            f"--pwfile={secret}",
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self.durable else "off",
            "max_connections": "30",
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self.account,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            ready = subprocess.run(
                [self.programs / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)], check=False
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends every connection at once, SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def url(self, database: str, password: str = PASSWORD) -> str:
        """The URL of a database on this server."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; returns its URL."""
        self.databases += 1
        name = f"test{self.databases}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as the owner of the cluster; returns what psql prints, bare."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
            "-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", database, "-c", statement,
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self.account,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return str(done.stdout).strip()


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server for as long as the context lasts; skips where PostgreSQL or psycopg is not installed."""
    need(find_spec("psycopg"), "psycopg", "pip install 'fundingarb-core[postgresql]'")
    programs = binaries()
    need(programs, "a PostgreSQL server", INSTALL)
    assert programs is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="fundingarb-pg-"))
    server = PostgresServer(folder, programs, port, durable)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL server, shared by the whole run (a test that stops it starts it again)."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty PostgreSQL database."""
    return postgres_server.new_database()
