"""Background tasks that end with the block that owns them.

A task group would do, were it not for the ``async with`` blocks of callers: what they raise must come out as it is,
not wrapped in a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Tasks", "background"]


class Tasks:
    """Running tasks. What one of them raises is its own business: it has to deal with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def background() -> AsyncIterator[Tasks]:
    """Tasks started inside are cancelled at the end of the block."""
    tasks = Tasks()
    try:
        yield tasks
    finally:
        await tasks.stop()
