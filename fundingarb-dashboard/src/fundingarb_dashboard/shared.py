"""Answers that take the bot something: asked for once, however many browsers want them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")
ANSWERS = 50


class Shared:
    """The last answers by what was asked, and those that are on their way. Lives in the server's loop.

    At most one question is on its way to the bot at a time, so that what people look at takes no more of its loop and
    of the database than one of them would.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives monotonic seconds."""
        self._clock = clock
        self._known: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._coming: dict[Hashable, asyncio.Task[Any]] = {}
        self._turn: asyncio.Lock | None = None

    async def get(self, what: Hashable, ask: Callable[[], Awaitable[T]], keep: float) -> T:
        """The answer to ``what``, no older than ``keep`` seconds. Raises what ``ask`` raises, which is not kept."""
        known = self._known.get(what)
        if known is not None and self._clock() - known[0] < keep:
            answer: T = known[1]
            return answer
        coming = self._coming.get(what)
        if coming is None:
            coming = self._coming[what] = asyncio.ensure_future(self._ask(what, ask))
            coming.add_done_callback(lambda done: self._over(what, done))
        # Shielded: whoever goes away leaves the answer to the others.
        found: T = await asyncio.shield(coming)
        return found

    async def _ask(self, what: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            answer = await ask()
        self._known.pop(what, None)
        self._known[what] = self._clock(), answer
        while len(self._known) > ANSWERS:
            self._known.popitem(last=False)
        return answer

    def _over(self, what: Hashable, done: asyncio.Task[Any]) -> None:
        self._coming.pop(what, None)
        if not done.cancelled():
            done.exception()  # looked at, also when whoever asked has gone away
