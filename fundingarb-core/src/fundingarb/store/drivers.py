"""Transactions on a driver's own connection: what one durable commit costs and no more."""

from __future__ import annotations

from collections.abc import Mapping
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
    """psycopg in pipeline mode: what a transaction consists of is sent in one go.

    Nothing is sent before all of it has been converted. A transaction that needs no answers on its way is not even
    begun and committed in words: what a pipeline holds between two synchronisations is a transaction by itself.
    """

    def __init__(self, raw: Any, read_only: bool = False) -> None:
        self._raw = raw
        self._read_only = read_only
        self._pending: list[_Sent] = []
        self._explicit = False

    def begin(self) -> None:
        self._pending = []
        self._explicit = False
        if self._read_only:
            self._raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._explicit = True

    def execute(self, statement: Statement, row: Mapping[str, Any]) -> Any:
        sent = _Sent(statement.sql, statement.bind(row))
        self._pending.append(sent)
        return sent

    def sync(self) -> None:
        if not self._pending:
            return
        if not self._explicit:
            self._pending.insert(0, _Sent("BEGIN"))
            self._explicit = True
        self._send()

    def commit(self) -> None:
        if self._explicit:
            self._pending.append(_Sent("COMMIT"))
        self._send()
        self._explicit = False

    def rollback(self) -> None:
        self._pending = []
        if self._explicit and not self.lost:
            self._raw.execute("ROLLBACK")
        self._explicit = False

    @property
    def lost(self) -> bool:
        return bool(self._raw.closed or self._raw.broken)

    def _send(self) -> None:
        pending, self._pending = self._pending, []
        if len(pending) == 1:
            pending[0].run(self._raw)
            return
        with self._raw.pipeline():
            for sent in pending:
                try:
                    sent.run(self._raw)
                except BaseException:
                    if not self._aborted():
                        self._raw.close()  # the end of the pipeline would commit what was sent before
                    raise

    def _aborted(self) -> bool:
        """Whether the server itself refused a statement, and with it all of them."""
        from psycopg.pq import PipelineStatus

        return bool(self._raw.pgconn.pipeline_status == PipelineStatus.ABORTED)


class _Sent:
    """A statement with its parameters; the number of rows it changed, once it has been answered."""

    __slots__ = ("_cursor", "_parameters", "_sql")

    def __init__(self, sql: str, parameters: Any = None) -> None:
        self._sql = sql
        self._parameters = parameters
        self._cursor: Any = None

    def run(self, raw: Any) -> None:
        self._cursor = raw.execute(self._sql, self._parameters, prepare=True)

    @property
    def rowcount(self) -> int:
        return -1 if self._cursor is None else int(self._cursor.rowcount)
