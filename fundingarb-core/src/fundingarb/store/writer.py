"""A thread that owns one session, and a cheap way to hand it work from an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection

from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Committed
from fundingarb.store.session import Failed, Session

T = TypeVar("T")

Answer: TypeAlias = "tuple[asyncio.Future[Any], Any]"

GROUP = 64
"""Most batches that are committed in one transaction."""


class SessionThread:
    """Runs a session's work one after the other; batches that wait together are committed together."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._closed = False
        self._thread.start()

    async def commit(self, batch: Batch) -> Committed:
        """Have ``batch`` committed. Cancelling the wait does not take it back."""
        result: Committed = await self._submit(batch)
        return result

    async def run(self, work: Callable[[Session], T]) -> T:
        """Have ``work`` done on the session."""
        result: T = await self._submit(work)
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Have ``work`` done on the session's connection."""
        return await self.run(lambda session: session.read(work))

    async def close(self) -> None:
        """Finish what was submitted, then close the session and end the thread."""
        if self._closed:
            return
        try:
            await self.run(Session.close)
        finally:
            self._closed = True
            self._jobs.put(None)
            self._thread.join(timeout=5)

    def _submit(self, work: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._closed:
            future.set_exception(StoreError("the store is closed"))
        else:
            self._jobs.put(_Job(work, future, loop))
        return future

    def _work(self) -> None:
        """The thread: take what is there, commit adjacent batches as one group, answer, repeat."""
        waiting: list[_Job | None] = []
        try:
            while None not in waiting:
                waiting = [self._jobs.get()]
                while len(waiting) < GROUP and not self._jobs.empty():
                    waiting.append(self._jobs.get_nowait())
                self._serve(waiting)
        finally:
            self._closed = True
            while not self._jobs.empty():
                waiting.append(self._jobs.get_nowait())
            late = [job for job in waiting if job is not None]
            answer(late, [Failed(StoreError("the store is closed")) for _ in late])

    def _serve(self, waiting: Sequence[_Job | None]) -> None:
        group: list[_Job] = []
        for job in waiting:
            if job is not None and isinstance(job.work, Batch):
                group.append(job)
                continue
            self._commit(group)
            group = []
            if job is not None:
                answer([job], [self._call(job.work)])
        self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        if group:
            answer(group, self._session.commit([job.work for job in group]))

    def _call(self, work: Callable[[Session], Any]) -> Any:
        try:
            return work(self._session)
        except BaseException as error:  # noqa: BLE001 - handed to whoever submitted the work
            return Failed(error)


class _Job:
    __slots__ = ("future", "loop", "work")

    def __init__(self, work: Any, future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.future = future
        self.loop = loop


def answer(jobs: list[_Job], results: list[Any]) -> None:
    """Wake whoever waits for ``jobs``: one call into each event loop, however many wait there."""
    pending: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for job, result in zip(jobs, results, strict=True):
        pending.setdefault(job.loop, []).append((job.future, result))
    for loop, answers in pending.items():
        try:
            loop.call_soon_threadsafe(_settle, answers)
        except RuntimeError:  # that loop has ended; nobody waits any more
            continue


def _settle(answers: list[Answer]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Failed):
            future.set_exception(result.error)
        else:
            future.set_result(result)
