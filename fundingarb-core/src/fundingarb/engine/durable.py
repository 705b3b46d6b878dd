"""Asking the store with a bound on patience: one that hangs counts as down, so that nothing waits for it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Committed, Store

T = TypeVar("T")

#: Real seconds a commit may take: after that the database counts as down, and what reduces goes out without it.
COMMIT_SECONDS = 2.0
#: The same while the database is known to be down and something must not wait for it; and real seconds between two
#: times that it is given as long as usual all the same.
HURRIED_SECONDS = 0.25
PATIENT_EVERY = 10.0
#: Real seconds the database may take for each thing a start needs.
START_SECONDS = 30.0


class Patience:
    """How long to wait for a database that may be down: as long as usual, but briefly while it is known to be."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0.0

    def seconds(self, hurried: bool) -> float:
        """For the next commit; ``hurried``: it is known to be down, and something must not wait."""
        now = self._clock.monotonic()
        if hurried and now < self._next:
            return HURRIED_SECONDS
        self._next = now + PATIENT_EVERY
        return COMMIT_SECONDS


async def in_time(work: Awaitable[T], seconds: float = COMMIT_SECONDS) -> T:
    """The outcome of ``work``, which the store does. Raises ``StoreError`` when there is none within so many real
    seconds; it may be done all the same, later."""
    with anyio.move_on_after(seconds):
        return await work
    raise StoreError(f"the database did not answer within {seconds:g} s; look at its server")


async def commit(store: Store, batch: Batch, seconds: float = COMMIT_SECONDS) -> Committed:
    """``store.commit``. Raises ``StoreError`` also when there is no answer in time; it may be stored all the same."""
    return await in_time(store.commit(batch), seconds)
