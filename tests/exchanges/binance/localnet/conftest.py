"""Fixtures of the Binance localnet's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.exchanges.binance.localnet.desk import Desk, open_desk

from fundingarb.localnet.venue import Venue


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A served Binance with a market that stands still, and an account on it."""
    async with open_desk() as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real time of rate limits and listen keys, as the test sets it."""
    now = [1_000_000.0]
    monkeypatch.setattr(Venue, "real", staticmethod(lambda: now[0]))
    return now
