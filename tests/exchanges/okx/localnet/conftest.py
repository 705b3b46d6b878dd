"""An offline OKX per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.exchanges.okx.localnet.venue import Okx, serve

from fundingarb.localnet.limits import LimitRule, LimitState
from fundingarb_okx.localnet.desk import Desk


@pytest.fixture
async def okx() -> AsyncIterator[Okx]:
    async with serve() as served:
        yield served


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rate limits."""
    free = LimitState(LimitRule("free", 10_000, 1.0), 1, False, 1.0)
    monkeypatch.setattr(Desk, "charge", lambda self, rule, key, weight=1: free)
