"""What a person does about Telegram at a terminal: pair, unpair, send a message to see whether it arrives."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from fundingarb.builtin.settings import TelegramSettings
from fundingarb.builtin.telegram.files import locked
from fundingarb.builtin.telegram.gate import Asked, Claimed, Gate, Passed
from fundingarb.builtin.telegram.listener import Listener
from fundingarb.builtin.telegram.pairing import LIFE, Owner, Pairing, shown, utc_now
from fundingarb.builtin.telegram.post import Post
from fundingarb.builtin.telegram.sink import CLOSE_SECONDS, Places, pair
from fundingarb.errors import ConfigError
from fundingarb.ports import Secret

Say = Callable[[str], None]

LOOK = 0.5
"""Seconds between two looks whether somebody is paired."""


class Terminal:
    """Telegram from outside a bot, whether one runs or not."""

    def __init__(self, settings: TelegramSettings, post: Post, places: Places) -> None:
        self._settings = settings
        self._post = post
        self._places = places
        self._pairing = Pairing(places.pairing)

    async def pair(self, say: Say, seconds: float = LIFE.total_seconds()) -> Owner:
        """Show a code and wait until somebody has sent it to the bot. Raises ``ConfigError`` when nobody does."""
        began, before = utc_now(), self._pairing.owner
        name = await self._post.who()
        code = self._pairing.offer(began)
        if before is not None:
            say(f"paired now: {describe(before)}; that ends when somebody sends the new code")
        say(f"within {seconds / 60:.0f} minutes send this to the bot @{name} in a private chat with it:")
        say(f"    /pair {shown(code)}")
        say(f"or open this link where your Telegram is: https://t.me/{name}?start={code}")
        try:
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._listen, say)
                    wrong = 0
                    while True:
                        waiting = self._pairing.open  # before the owner: a bot may pair between the two
                        owner = self._pairing.owner
                        if owner is not None and owner.paired_at >= began:
                            tasks.cancel_scope.cancel()
                            return owner
                        if not waiting:
                            raise ConfigError("too many wrong codes came in; nobody is paired, try again")
                        if self._pairing.wrong_codes > wrong:
                            wrong = self._pairing.wrong_codes
                            say("a wrong code came in")
                        await anyio.sleep(LOOK)
        finally:
            self._pairing.withdraw()
        raise ConfigError("nobody has sent the code in time; nobody is paired anew, try again")

    async def _listen(self, say: Say) -> None:
        """Take the code here, unless a bot runs that does."""

        async def handle(passed: Passed) -> None:
            if isinstance(passed, Claimed):
                # whoever has paired is answered, also when that has been seen here meanwhile
                with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                    await pair(passed, self._pairing, self._post)
            elif isinstance(passed, Asked) and passed.word == "kill":
                say("a /kill came in and no bot runs: the next start asks about it; at once: fundingarb kill")

        while True:
            with locked(self._places.lock) as ours:
                if ours:
                    await Listener(
                        self._post, self._pairing, Gate(utc_now()), Counter(), handle, leave_kills=True
                    ).run()
            await anyio.sleep(LOOK)

    async def test(self) -> str:
        """Send a message to where alerts go; says where that is."""
        owner = self._pairing.owner
        chat = self._settings.chat_id or (owner.user_id if owner else None)
        if chat is None:
            raise ConfigError("nobody is paired and no chat_id is set; run fundingarb telegram pair")
        await self._post.say(chat, "🟢 INFO | Test\nAlerts of fundingarb arrive here")
        return f"chat {chat}" if owner is None or chat != owner.user_id else describe(owner)


def describe(owner: Owner) -> str:
    return f"{owner.name} (Telegram user {owner.user_id}, since {owner.paired_at:%Y-%m-%d %H:%M} UTC)"


@asynccontextmanager
async def open_terminal(settings: TelegramSettings, token: Secret) -> AsyncIterator[Terminal]:
    """Raises ``ConfigError`` when the token is refused or Telegram does not answer."""
    post = Post(token, settings.base_url)
    await post.open()
    try:
        if post.unreachable is not None:
            raise ConfigError(f"Telegram cannot be reached ({post.unreachable}); try again")
        yield Terminal(settings, post, Places(settings, token))
    finally:
        with anyio.CancelScope(shield=True):
            await post.close()
