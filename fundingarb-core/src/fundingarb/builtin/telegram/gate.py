"""What gets in: decided here, for every update, before anything else looks at it.

Served is the paired person's number, in the private chat with them, by a message that was just written or a button
under a message of ours. Everything else does nothing: it is counted and not answered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

from telegram.constants import ChatType

from telegram import CallbackQuery, Message, Update

FRESH = timedelta(seconds=60)
"""A message that is older does nothing, except /kill (which only leads to a question)."""
REMEMBERED = 2000
"""Updates, and presses of buttons, that are known to have been taken."""
LONGEST_COMMAND = 200


class Refused(str, Enum):
    """Why an update does nothing."""

    UNREADABLE = "unreadable"
    REPLAYED = "replayed"
    KIND = "another kind of update"
    EDITED = "edited"
    FORWARDED = "forwarded"
    NOT_PRIVATE = "not a private chat"
    STRANGER = "stranger"
    STALE = "stale"
    NO_TEXT = "no text"
    FLOOD = "too many"


@dataclass(frozen=True, slots=True)
class Asked:
    """A command of the paired person. ``word`` has no slash; ``age`` is how old the message is."""

    update_id: int
    user_id: int
    word: str
    rest: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button under a message of ours, pressed by the paired person. ``press`` is what to answer it by."""

    update_id: int
    user_id: int
    press: str
    data: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody sends what may be the code, in a private chat."""

    user_id: int
    name: str
    code: str


Passed: TypeAlias = "Asked | Pressed | Claimed"


class Gate:
    """Decides on updates. ``started`` is when listening began: what was written before is stale."""

    def __init__(self, started: datetime) -> None:
        self._started = started.replace(microsecond=0)  # messages carry whole seconds
        self._seen: OrderedDict[str, None] = OrderedDict()

    def judge(
        self, update: Update, owner: int | None, open_code: bool, name: str, now: datetime
    ) -> Passed | Refused:
        """What ``update`` asks for, or why it does nothing. ``name`` is the bot's own user name."""
        if self._again(f"u{update.update_id}"):
            return Refused.REPLAYED
        if update.callback_query is not None:
            return self._press(update.update_id, update.callback_query, owner)
        if update.edited_message is not None:
            return Refused.EDITED
        if update.message is None:
            return Refused.KIND
        return self._message(update.update_id, update.message, owner, open_code, name, now)

    def _press(self, update_id: int, press: CallbackQuery, owner: int | None) -> Pressed | Refused:
        message = press.message
        if message is None or press.data is None:  # from an inline message, or a game
            return Refused.KIND
        if message.chat.type != ChatType.PRIVATE:
            return Refused.NOT_PRIVATE
        if owner is None or press.from_user.id != owner or message.chat.id != owner or press.from_user.is_bot:
            return Refused.STRANGER
        if self._again(f"p{press.id}"):
            return Refused.REPLAYED
        return Pressed(update_id, owner, press.id, press.data, message.message_id)

    def _message(
        self, update_id: int, message: Message, owner: int | None, open_code: bool, name: str, now: datetime
    ) -> Asked | Claimed | Refused:
        sender = message.from_user
        if message.chat.type != ChatType.PRIVATE:
            return Refused.NOT_PRIVATE
        if sender is None or sender.is_bot or message.sender_chat is not None or message.chat.id != sender.id:
            return Refused.STRANGER
        if message.forward_origin is not None or message.via_bot is not None or message.is_automatic_forward:
            return Refused.FORWARDED
        if message.edit_date is not None:
            return Refused.EDITED
        if sender.id != owner and not open_code:
            return Refused.STRANGER
        if message.text is None:
            return Refused.NO_TEXT
        word, rest = _command(message.text, name)
        age = now - message.date
        fresh = message.date >= self._started and abs(age) <= FRESH
        if open_code and fresh and rest and word in ("pair", "start"):
            return Claimed(sender.id, sender.full_name, rest)
        if sender.id != owner:
            return Refused.STRANGER
        if self._again(f"m{message.message_id}"):
            return Refused.REPLAYED
        if not fresh and word != "kill":
            return Refused.STALE
        return Asked(update_id, sender.id, word, rest, age)

    def _again(self, what: str) -> bool:
        """Whether ``what`` was here before."""
        if what in self._seen:
            return True
        self._seen[what] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False


def _command(text: str, name: str) -> tuple[str, str]:
    """``/rates@our_bot BTC-USDT`` is ("rates", "BTC-USDT"); empty when it is no command of ours."""
    first, _, rest = text[:LONGEST_COMMAND].strip().partition(" ")
    word, _, addressed = first.partition("@")
    if not word.startswith("/") or (addressed and addressed.lower() != name.lower()):
        return "", ""
    return word[1:].lower(), rest.strip()
