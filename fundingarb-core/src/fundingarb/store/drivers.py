"""Transactions on a driver's own connection: what one durable commit costs and no more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from fundingarb.store.statements import Statement


class Driver(Protocol):
    """One connection on which transactions are begun and ended explicitly."""

    def begin(self) -> None: ...

    def execute(self, statement: Statement, row: Mapping[str, Any]) -> Any:
        """Run ``statement`` for ``row``. The cursor's ``rowcount`` is valid after ``sync``."""
        ...

    def sync(self) -> None:
        """Wait until everything executed so far has been answered; raises what the database said."""
        ...

    def commit(self) -> None:
        """End the transaction; when this returns it is on disk."""
        ...

    def rollback(self) -> None:
        """Undo the transaction, if one is open and the connection still works."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the connection is of no use any more."""
        ...


class SqliteDriver:
    """Python's sqlite3, in its autocommit mode."""

    def __init__(self, raw: Any, read_only: bool = False) -> None:
        self._raw = raw
        self._run = raw.execute
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    def begin(self) -> None:
        self._run(self._begin)

    def execute(self, statement: Statement, row: Mapping[str, Any]) -> Any:
        return self._run(statement.sql, statement.bind(row))

    def sync(self) -> None:
        return

    def commit(self) -> None:
        self._run("COMMIT")

    def rollback(self) -> None:
        if self._raw.in_transaction:
            self._run("ROLLBACK")

    @property
    def lost(self) -> bool:
        return False


class PostgresDriver:
    """psycopg in pipeline mode: statements are sent without waiting for each other's answers."""

    def __init__(self, raw: Any, read_only: bool = False) -> None:
        self._raw = raw
        self._pipeline: ExitStack | None = None
        self._read_only = read_only

    def begin(self) -> None:
        if self._read_only:
            self._raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        self._open()
        self._raw.execute("BEGIN")

    def execute(self, statement: Statement, row: Mapping[str, Any]) -> Any:
        self._open()
        return self._raw.execute(statement.sql, statement.bind(row), prepare=True)

    def sync(self) -> None:
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            pipeline.close()

    def commit(self) -> None:
        self._raw.execute("COMMIT")
        self.sync()

    def rollback(self) -> None:
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            try:
                pipeline.close()
            except self._errors():
                pass
        if not self.lost:
            self._raw.execute("ROLLBACK")

    def _open(self) -> None:
        if self._pipeline is None:
            self._pipeline = ExitStack()
            self._pipeline.enter_context(self._raw.pipeline())

    @staticmethod
    def _errors() -> type[Exception]:
        import psycopg

        return psycopg.Error

    @property
    def lost(self) -> bool:
        return bool(self._raw.closed or self._raw.broken)
