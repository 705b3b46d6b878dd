"""An offline Bybit per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.exchanges.bybit.localnet.venue import Bybit, serve


@pytest.fixture
async def bybit() -> AsyncIterator[Bybit]:
    async with serve() as served:
        yield served
