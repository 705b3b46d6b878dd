"""Reading a ledger to its end, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime
from typing import TypeVar

from fundingarb.exchanges.parse import to_ms

__all__ = ["pages_since"]

T = TypeVar("T")


async def pages_since(
    read: Callable[[int], Awaitable[Sequence[T]]],
    since: datetime,
    *,
    time: Callable[[T], int],
    key: Callable[[T], Hashable],
) -> list[T]:
    """Every row from ``since`` on, oldest first, each once.

    ``read`` answers with the first rows at or after a time (unix ms), as many as the exchange gives at once. The next
    page begins at the newest row's time, so that rows of one millisecond may lie on two pages; more of them than fit
    on a page cannot be told from the end.
    """
    rows: dict[Hashable, T] = {}
    start = to_ms(since)
    while True:
        page = await read(start)
        fresh = {key(row): row for row in page if key(row) not in rows}
        rows.update(fresh)
        if not fresh:
            return sorted(rows.values(), key=time)
        start = max(time(row) for row in page)
