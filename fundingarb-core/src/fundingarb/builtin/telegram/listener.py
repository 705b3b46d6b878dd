"""Takes what is sent to the bot, one update after the other, and hands on what gets through the gate."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc

from fundingarb.builtin.telegram.gate import Asked, Gate, Passed, Refused
from fundingarb.builtin.telegram.pairing import Pairing, utc_now
from fundingarb.builtin.telegram.post import NotDelivered, NotNow, NotOurs, Post
from fundingarb.errors import ConfigError
from telegram import Update

log = logging.getLogger("fundingarb.telegram")

# real seconds
POLL = 25.0
"""How long Telegram keeps a question for updates open."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Until Telegram is asked again after a failure."""
SAID_EVERY = 60.0
"""Between two log lines of the same kind of message that did nothing."""
TOLD_EVERY = 3600.0
"""Between two warnings that somebody else takes the messages."""
MOST_A_MINUTE = 20
"""Commands that are answered; /kill is not counted."""


class Listener:
    """``handle`` gets what passed, each in a task of its own; ``ignored`` counts the rest by reason.

    With ``leave_kills`` a /kill stays with Telegram, for the bot that listens next, and so does what came after it.
    """

    def __init__(
        self,
        post: Post,
        pairing: Pairing,
        gate: Gate,
        ignored: Counter[str],
        handle: Callable[[Passed], Awaitable[None]],
        *,
        leave_kills: bool = False,
    ) -> None:
        self._post = post
        self._pairing = pairing
        self._gate = gate
        self._ignored = ignored
        self._handle = handle
        self._leave_kills = leave_kills
        self._left: int | None = None
        self._newest = -1
        self._offset: int | None = None
        self._said: dict[str, float] = {}
        self._told_at = float("-inf")
        self._recent: deque[float] = deque(maxlen=MOST_A_MINUTE)

    async def run(self) -> None:
        """Listen until cancelled, whatever Telegram does."""
        pause = FIRST_PAUSE
        async with anyio.create_task_group() as tasks:
            while True:
                began = time.monotonic()
                try:
                    found = await self._post.updates(self._offset, POLL)
                except NotNow as error:
                    await anyio.sleep(error.seconds)
                    continue
                except NotOurs as error:
                    await self._somebody_else(error)
                except NotDelivered as error:
                    self._say("failed", f"Telegram does not say what was sent to the bot: {error}")
                else:
                    new = self._take(found, tasks)
                    if self._left is not None:  # it is sent again at once, every time
                        await anyio.sleep(FIRST_PAUSE)
                        continue
                    if new or time.monotonic() - began > 1.0:
                        pause = FIRST_PAUSE
                        continue
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _take(self, found: list[Any], tasks: anyio.abc.TaskGroup) -> bool:
        """Whether there was an update that has a number: only those are not sent again."""
        numbered = False
        for raw in found:
            number = _number(raw)
            if self._left is not None and number is not None and number <= self._newest:
                continue  # what is left with Telegram is sent again
            passed = self._judge(raw)
            if number is not None:
                numbered, self._newest = True, max(self._newest, number)
                if self._leave_kills and self._left is None and isinstance(passed, Asked):
                    self._left = number if passed.word == "kill" else None
                self._offset = self._newest + 1 if self._left is None else self._left
            if isinstance(passed, Refused):
                self._ignore(passed)
            else:
                tasks.start_soon(self._guarded, passed)
        return numbered

    def _judge(self, raw: Any) -> Passed | Refused:
        try:
            update = Update.de_json(raw, None)
            owner, name = self._pairing.owner, self._post.name or ""
            passed = self._gate.judge(
                update, owner.user_id if owner else None, self._pairing.open, name, utc_now()
            )
        except ConfigError as error:
            self._say("pairing", f"nobody is served: {error}")
            return Refused.STRANGER
        except Exception as error:  # noqa: BLE001 - whatever was sent, the next update is read
            self._say("unreadable", f"an update cannot be read ({type(error).__name__})")
            return Refused.UNREADABLE
        if isinstance(passed, Asked) and passed.word != "kill" and self._flood():
            return Refused.FLOOD
        return passed

    def _flood(self) -> bool:
        now = time.monotonic()
        if len(self._recent) == MOST_A_MINUTE and now - self._recent[0] < 60.0:
            return True
        self._recent.append(now)
        return False

    def _ignore(self, reason: Refused) -> None:
        self._ignored[reason.value] += 1
        self._say(reason.value, f"a message to the Telegram bot did nothing: {reason.value}")

    async def _guarded(self, passed: Passed) -> None:
        try:
            await self._handle(passed)
        except Exception:
            log.exception("a message to the Telegram bot")

    async def _somebody_else(self, error: NotOurs) -> None:
        """Another program asks for this bot's messages, or has them sent to a server of its own."""
        self._say("conflict", f"another program takes the messages to this Telegram bot: {error}")
        try:
            if "webhook" in str(error).lower():
                await self._post.forget_webhook()
            owner = self._pairing.owner
            if owner is not None and time.monotonic() - self._told_at > TOLD_EVERY:
                await self._post.say(owner.user_id, ELSEWHERE)
                self._told_at = time.monotonic()
        except (NotDelivered, ConfigError) as other:
            log.debug("nor could that be told: %s", other)

    def _say(self, kind: str, line: str) -> None:
        """In the log, but not again and again."""
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) >= SAID_EVERY:
            self._said[kind] = now
            log.warning("%s", line)


def _number(raw: Any) -> int | None:
    """The number of an update that has one."""
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


ELSEWHERE = (
    "🟡 WARNING | Another Program Takes My Messages\n"
    "Commands from here, /kill among them, may not reach the bot.\n"
    "If it is no program of yours: revoke the token at @BotFather and run fundingarb kill or pause at the machine."
)
