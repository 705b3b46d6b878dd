"""Every test of the store that takes ``url`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.samples import StillClock

from fundingarb.store import SqlStore, open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fundingarb.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def store(url: str, clock: StillClock) -> AsyncIterator[SqlStore]:
    """A store on an empty database."""
    async with open_store(url, clock) as opened:
        yield opened
