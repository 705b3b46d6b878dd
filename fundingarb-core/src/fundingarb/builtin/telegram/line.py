"""The Telegram thread's line to the bot: what is asked there is done in the bot's own loop, or it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fundingarb.errors import FundingArbError
from fundingarb.ports import BotHandle

T = TypeVar("T")

PATIENCE = 4.0
"""Real seconds that an answer of the bot's loop is waited for."""


class BotSilent(FundingArbError):
    """The bot's loop did not answer in time, or has ended. What was asked may still be done."""


class Line:
    """Runs functions in the bot's loop for another one."""

    def __init__(self, bot: BotHandle, loop: asyncio.AbstractEventLoop) -> None:
        """``loop`` is the bot's."""
        self.bot = bot
        self._loop = loop

    async def ask(self, question: Callable[[BotHandle], T], patience: float = PATIENCE) -> T:
        """What ``question`` makes of the bot, in its loop. Raises ``BotSilent``."""

        async def look(bot: BotHandle) -> T:
            return question(bot)

        return await self.have(look, patience)

    async def have(
        self, done: Callable[[BotHandle], Awaitable[T]], patience: float = PATIENCE, *, keep: bool = False
    ) -> T:
        """The result of what is ``done`` with the bot, in its loop. Raises ``BotSilent``; with ``keep`` it is done all
        the same, later."""

        async def there() -> T:
            return await done(self.bot)

        running = there()
        try:
            future = asyncio.run_coroutine_threadsafe(running, self._loop)
        except RuntimeError as error:
            running.close()
            raise BotSilent("the bot has ended; start it again") from error
        waiting = asyncio.wrap_future(future)
        ended, _ = await asyncio.wait({waiting}, timeout=patience)
        if ended:
            return waiting.result()
        if not keep:
            future.cancel()
        raise BotSilent(f"the trading loop did not answer within {patience:g} s")
