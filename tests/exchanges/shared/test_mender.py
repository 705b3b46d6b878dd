"""A snapshot that does not come is asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from fundingarb.exchanges.stream import Mender

pytestmark = pytest.mark.anyio


class Asked:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.ids: list[list[str]] = []
        self.seen = anyio.Event()

    async def mend(self, connection: Any, ids: Sequence[str]) -> None:
        self.ids.append(list(ids))
        self.seen.set()


async def run(mender: Mender, asked: Asked, rounds: int) -> None:
    connection: Any = None
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mender.run, connection)
            for _ in range(rounds):
                await asked.seen.wait()
                asked.seen = anyio.Event()
            tasks.cancel_scope.cancel()


async def test_missing_snapshots_are_asked_for_until_they_come() -> None:
    missing = [["A", "B"], ["B"], [], ["B"]]
    asked = Asked()
    await run(Mender(lambda: missing.pop(0) if missing else [], asked.mend, 0.01), asked, 3)
    assert asked.ids == [["A", "B"], ["B"], ["B"]]


async def test_a_gap_is_mended_at_once() -> None:
    asked = Asked()
    mender = Mender(lambda: ["A"], asked.mend, 1000.0)
    mender.wake()
    await run(mender, asked, 1)
    assert asked.ids == [["A"]]
