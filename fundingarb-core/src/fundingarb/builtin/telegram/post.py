"""The one way to the Bot API: python-telegram-bot, with errors that never hold the token and a budget for alerts.

Lives in one event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from telegram.error import BadRequest, Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from fundingarb.errors import ConfigError, FundingArbError
from fundingarb.ports import Secret
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions

T = TypeVar("T")

QUIET = ("telegram", "httpx", "httpcore")
"""Libraries whose INFO and DEBUG lines carry the token in the URL."""

# real seconds
SLACK = 10.0
"""How much later than promised a long poll may answer."""
REQUEST = 5.0
"""How long connecting, writing, and waiting for an answer may each take."""
BURST = 6
"""Messages that may go out at once; after that one every ``EVERY`` seconds. The rest waits and comes in digests."""
EVERY = 3.0
RESERVED = 3
"""Of the burst what only CRITICAL alerts may use."""


class NotDelivered(FundingArbError):
    """Telegram did not take a message. Alerts are tried again; the journal has them."""


class NotNow(NotDelivered):
    """Nothing was asked of Telegram: it wants, or we want, fewer messages. ``seconds`` until the next may go."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotOurs(NotDelivered):
    """Somebody else takes the messages for this bot."""


class Button(NamedTuple):
    text: str
    data: str


class Budget:
    """How many messages may go out now; what is CRITICAL has some for itself."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = float(BURST)
        self._at = monotonic()

    def take(self, *, urgent: bool) -> None:
        """Raises ``NotNow`` when too many went out before."""
        now = self._monotonic()
        self._left = min(BURST, self._left + (now - self._at) / EVERY)
        self._at = now
        needed = 1.0 if urgent else 1.0 + RESERVED
        if self._left < needed:
            raise NotNow("many alerts at once; they come together", (needed - self._left) * EVERY)
        self._left -= 1


class Post:
    """The Bot API. Everything but ``open`` raises ``NotDelivered`` when it does not work."""

    def __init__(
        self,
        token: Secret,
        base_url: str,
        monotonic: Callable[[], float] = time.monotonic,
        request: float = REQUEST,
    ) -> None:
        for library in QUIET:
            logging.getLogger(library).setLevel(logging.WARNING)
        self._token = token
        self._monotonic = monotonic
        self._pause_until = 0.0
        self._bot = Bot(
            token.reveal(),
            base_url=base_url,
            request=HTTPXRequest(16, request, request, request, request),
            get_updates_request=HTTPXRequest(1),
        )
        self.name: str | None = None
        """The bot's user name, once Telegram has said it."""
        self.unreachable: str | None = None
        """Why Telegram could not be reached when this was opened; None when it could."""

    async def open(self) -> None:
        """Raises ``ConfigError`` when Telegram does not know the token. A Telegram that is down is no failure."""
        try:
            await self._bot.initialize()
            self.name = self._bot.username
        except TelegramError as error:
            reason = self._without_token(error)
            if not isinstance(error, NetworkError | RetryAfter) or isinstance(error, BadRequest):
                await self.close()
                raise ConfigError(
                    f"alerts.telegram: the Bot API refused: {reason}; check the token and base_url"
                ) from None
            self.unreachable = reason

    async def close(self) -> None:
        await self._bot.shutdown()

    async def who(self) -> str:
        """The bot's user name."""
        if self.name is None:
            self.name = (await self._done(self._bot.get_me())).username or ""
        return self.name

    async def say(self, chat: int, text: str, *, silent: bool = False, buttons: Sequence[Button] = ()) -> int:
        """Send a message; its id."""
        sent = await self._done(
            self._bot.send_message(
                chat_id=chat,
                text=text,
                disable_notification=silent,
                reply_markup=_keyboard(buttons),
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        )
        return sent.message_id

    async def change(self, chat: int, message: int, text: str, buttons: Sequence[Button] = ()) -> None:
        """Have a message say something else; one that says it already is fine."""
        try:
            await self._done(
                self._bot.edit_message_text(
                    text=text,
                    chat_id=chat,
                    message_id=message,
                    reply_markup=_keyboard(buttons),
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                )
            )
        except NotDelivered as error:
            if "not modified" not in str(error):
                raise

    async def strip(self, chat: int, message: int) -> None:
        """Take the buttons of a message away."""
        try:
            await self._done(self._bot.edit_message_reply_markup(chat_id=chat, message_id=message))
        except NotDelivered as error:
            if "not modified" not in str(error):
                raise

    async def answer(self, press: str, text: str) -> None:
        """Tell whoever pressed a button that it was seen."""
        await self._done(self._bot.answer_callback_query(press, text=text[:200]))

    async def updates(self, offset: int | None, seconds: float) -> list[Any]:
        """What was sent to the bot, as it came; waits ``seconds`` for it. Everything before ``offset`` is forgotten.

        Raw, because one update that cannot be read must not keep the others from being read.
        """
        wanted: dict[str, Any] = {
            "timeout": int(seconds),
            "allowed_updates": ["message", "edited_message", "callback_query"],
        }
        if offset is not None:
            wanted["offset"] = offset
        # The name of a method may be written in any case; written like this the library leaves the answer alone.
        found = await self._done(
            self._bot.do_api_request("GetUpdates", wanted, read_timeout=seconds + SLACK), paced=False
        )
        if not isinstance(found, list):
            raise NotDelivered("Telegram answers with something else than updates")
        return found

    async def forget_webhook(self) -> None:
        """Have messages come by asking for them, as here, and not be sent to somebody else's server."""
        await self._done(self._bot.delete_webhook(drop_pending_updates=False))

    def pace(self) -> None:
        """Raises ``NotNow`` while Telegram has asked for silence."""
        left = self._pause_until - self._monotonic()
        if left > 0:
            raise NotNow(f"Telegram wants no messages for another {left:.0f} s", left)

    async def _done(self, request: Awaitable[T], *, paced: bool = True) -> T:
        try:
            if paced:
                self.pace()
        except NotNow:
            close = getattr(request, "close", None)
            if close is not None:
                close()
            raise
        try:
            return await request
        except RetryAfter as error:
            seconds = error._retry_after.total_seconds()  # the public name of it warns of its type
            if paced:
                self._pause_until = max(self._pause_until, self._monotonic() + seconds)
            raise NotNow(f"Telegram wants no messages for {seconds:.0f} s", seconds) from None
        except Conflict as error:
            raise NotOurs(self._without_token(error)) from None
        except TelegramError as error:
            raise NotDelivered(self._without_token(error)) from None
        except Exception as error:  # noqa: BLE001 - an answer that is none: the library trusts what it reads
            raise NotDelivered(f"Telegram answers with nonsense ({type(error).__name__})") from None

    def _without_token(self, error: Exception) -> str:
        """What ``error`` says, on one line and without the token, which the library repeats in places."""
        text = " ".join(str(error).replace(self._token.reveal(), "***").split())[:300]
        kind = "InvalidToken" if isinstance(error, InvalidToken) else type(error).__name__
        return f"{kind}: {text}"


def _keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    return InlineKeyboardMarkup([[InlineKeyboardButton(b.text, callback_data=b.data)] for b in buttons])
