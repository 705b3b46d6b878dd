"""Asking the store with a bound on patience: one that hangs counts as down, so that nothing waits for it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Committed, Store

T = TypeVar("T")

#: Real seconds a commit may take: after that the database counts as down, and what reduces goes out without it.
COMMIT_SECONDS = 2.0
#: Real seconds the database may take for each thing a start needs.
START_SECONDS = 30.0


async def in_time(work: Awaitable[T], seconds: float = COMMIT_SECONDS) -> T:
    """The outcome of ``work``, which the store does. Raises ``StoreError`` when there is none within so many real
    seconds; it may be done all the same, later."""
    with anyio.move_on_after(seconds):
        return await work
    raise StoreError(f"the database did not answer within {seconds:.0f} s; look at its server")


async def commit(store: Store, batch: Batch) -> Committed:
    """``store.commit``. Raises ``StoreError`` also when there is no answer in time; it may be stored all the same."""
    return await in_time(store.commit(batch))
