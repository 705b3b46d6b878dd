"""An offline dYdX per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.exchanges.dydx.localnet.venue import Dydx, serve


@pytest.fixture
async def dydx() -> AsyncIterator[Dydx]:
    async with serve() as served:
        yield served
