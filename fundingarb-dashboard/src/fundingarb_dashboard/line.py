"""The server thread's line to the bot: questions and commands travel over it, and come back or time out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fundingarb_dashboard.answers import Problem

if TYPE_CHECKING:
    from fundingarb.ports import BotHandle

__all__ = ["BotLine"]

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds (real) that an answer of the bot's loop is waited for."""


class BotLine:
    """Runs what it is given in the bot's own loop, and hands the outcome back to the server's."""

    def __init__(self, bot: BotHandle, loop: asyncio.AbstractEventLoop) -> None:
        """``loop`` is the bot's."""
        self._bot = bot
        self._loop = loop

    async def ask(self, question: Callable[[BotHandle], Awaitable[T]], patience: float = PATIENCE) -> T:
        """The answer to a question; given up, there too, after ``patience``. Raises `Problem` 503 then."""
        return await self._run(question, patience, give_up=True)

    async def command(self, command: Callable[[BotHandle], Awaitable[T]], patience: float = PATIENCE) -> T:
        """As ``ask``, for what must not be broken off half-way: after ``patience`` only the waiting ends."""
        return await self._run(command, patience, give_up=False)

    async def _run(self, what: Callable[[BotHandle], Awaitable[T]], patience: float, give_up: bool) -> T:
        async def there() -> T:
            return await what(self._bot)

        running: Coroutine[Any, Any, T] = there()
        try:
            future = asyncio.run_coroutine_threadsafe(running, self._loop)
        except RuntimeError as error:
            running.close()
            raise Problem(503, "the bot has ended; start it again", code="bot_ended") from error
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=patience)
        if done:
            return waiting.result()
        if give_up:
            future.cancel()
        raise Problem(
            503,
            f"the bot did not answer within {patience:g} s; look at what it did before you repeat a command",
            code="bot_silent",
        )
