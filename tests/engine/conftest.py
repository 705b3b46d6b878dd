"""Tests of the engine run on an event loop whose time is virtual: a minute of waiting costs nothing and is exact."""

from __future__ import annotations

from typing import Any

import pytest

from fundingarb.simulation.virtual import VirtualLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}
