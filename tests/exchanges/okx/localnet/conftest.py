"""An offline OKX per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.exchanges.okx.localnet.venue import Okx, serve


@pytest.fixture
async def okx() -> AsyncIterator[Okx]:
    async with serve() as served:
        yield served
