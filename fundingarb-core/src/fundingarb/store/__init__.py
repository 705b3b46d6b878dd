"""The durable truth: SQLAlchemy Core tables on SQLite or PostgreSQL, one writer, Alembic migrations."""

from __future__ import annotations

from fundingarb.store.database import remember_password
from fundingarb.store.lease import LeaseRow, SqlLease, hold_lease
from fundingarb.store.schema import revision_of, upgrade
from fundingarb.store.store import InlineStore, SqlStore, open_store

__all__ = [
    "InlineStore",
    "LeaseRow",
    "SqlLease",
    "SqlStore",
    "hold_lease",
    "open_store",
    "remember_password",
    "revision_of",
    "upgrade",
]
