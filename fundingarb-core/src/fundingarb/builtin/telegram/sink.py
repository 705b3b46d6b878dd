"""Telegram: alerts go there, and the paired person commands the bot from there.

All of it happens in a thread and an event loop of its own. A Telegram that is slow, floods or is down costs the trading
loop nothing, and a trading loop that is busy keeps nobody from asking for a kill.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from fundingarb.builtin.settings import TelegramSettings
from fundingarb.builtin.telegram.desk import Desk
from fundingarb.builtin.telegram.files import locked
from fundingarb.builtin.telegram.gate import Asked, Claimed, Gate, Passed, Pressed
from fundingarb.builtin.telegram.line import Line
from fundingarb.builtin.telegram.listener import Listener
from fundingarb.builtin.telegram.pairing import Claim, Pairing, utc_now
from fundingarb.builtin.telegram.post import Budget, Button, NotDelivered, Post
from fundingarb.builtin.telegram.reminders import Reminders, Unacknowledged
from fundingarb.builtin.telegram.text import SIGNS, render
from fundingarb.builtin.telegram.words import HELP
from fundingarb.domain.control import AuditEntry
from fundingarb.domain.events import Alert, Severity
from fundingarb.errors import ConfigError, StoreError
from fundingarb.ports import BotHandle, OpenContext, Secret
from fundingarb.privatefiles import read_private

log = logging.getLogger("fundingarb.telegram")

TOKEN = re.compile(rb"[0-9]+:[A-Za-z0-9_-]+")

# real seconds
OPEN_SECONDS = 6.0
"""How long the start waits for Telegram."""
CLOSE_SECONDS = 5.0
DECIDE_SECONDS = 2.0
"""How long the first CRITICAL alert waits for the bot to listen, so that it can be acknowledged."""
LOOK_AGAIN = 10.0
"""Until it is looked again whether another process still listens for this bot."""
AFTER_A_BUG = 5.0


NOBODY = "nobody is paired with the Telegram bot; run fundingarb telegram pair"
SECRET = "telegram-token"  # noqa: S105 - the name of it
"""What the token is called in the vault."""


def check_token(token: Secret) -> Secret:
    """Raises ``ConfigError`` when what the vault has is no token."""
    if not TOKEN.fullmatch(token.reveal().encode()):
        raise ConfigError(
            f"the vault's secret {SECRET} is no bot token; one looks like 123456:ABC-DEF, add it anew"
        )
    return token


def read_token(path: Path) -> Secret:
    """The token in ``path``, refused when others could read it or it is reached through a symbolic link."""
    path = path.expanduser()
    where = f"alerts.telegram.token_file: {path}"
    content = read_private(path, "alerts.telegram.token_file:")
    if content is None:
        raise ConfigError(f"{where}: No such file; put the bot's token into it and chmod 600 it")
    token = content.strip()
    if not token:
        raise ConfigError(f"{where} is empty; put the bot's token into it")
    if not TOKEN.fullmatch(token):
        raise ConfigError(f"{where} holds no bot token; one looks like 123456:ABC-DEF and stands there alone")
    return Secret(token.decode())


class Places:
    """The files of one Telegram bot, named by the number that begins its token (which is no secret)."""

    def __init__(self, settings: TelegramSettings, token: Secret) -> None:
        self.bot_id = token.reveal().partition(":")[0]
        folder = settings.state_folder.expanduser()
        self.pairing = folder / f"telegram-{self.bot_id}.json"
        self.reminders = folder / f"telegram-{self.bot_id}-alerts.json"
        self.lock = folder / f"telegram-{self.bot_id}.lock"


class TelegramSink:
    """An alert sink that also listens (``ports.ListeningSink``) and can be asked. Raises ``NotDelivered``."""

    def __init__(self, settings: TelegramSettings, token: Secret) -> None:
        self._settings = settings
        self._token = token
        self._places = Places(settings, token)
        self._pairing = Pairing(self._places.pairing)
        self._ignored: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._opened: Future[str | None] = Future()
        self._thread = threading.Thread(target=self._run, name="fundingarb-telegram", daemon=True)
        self._stop = asyncio.Event()
        self._attended = asyncio.Event()
        self._decided = asyncio.Event()
        self._desk: Desk | None = None
        self._ours = False
        self._post: Post
        self._reminders: Reminders
        self._budget: Budget

    # in the bot's loop

    async def open(self) -> None:
        """Raises ``ConfigError`` when Telegram does not know the token. One that is down is tried as alerts come."""
        self._thread.start()
        down = await asyncio.wrap_future(self._opened)
        if down is not None:
            log.warning("Telegram cannot be reached (%s); alerts are tried as they come", down)

    async def close(self) -> None:
        """Ends the thread; one that hangs is left alone."""
        try:
            self._loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            return
        await anyio.to_thread.run_sync(self._thread.join, CLOSE_SECONDS)

    async def send(self, alert: Alert) -> None:
        delivering = self._deliver(alert)
        try:
            future = asyncio.run_coroutine_threadsafe(delivering, self._loop)
        except RuntimeError:
            delivering.close()
            raise NotDelivered("Telegram is closed") from None
        await asyncio.wrap_future(future)

    async def check(self) -> str | None:
        down = self._opened.result()
        if down is not None:
            return f"Telegram cannot be reached ({down}); look at the connection"
        return NOBODY if self._settings.chat_id is None and self._owner() is None else None

    async def listen(self, bot: BotHandle) -> None:
        """Take commands for ``bot`` from now on."""
        if self._settings.commands:
            line = Line(bot, asyncio.get_running_loop())
            self._desk = Desk(line, self._post, self._reminders, self._ignored, self._places.bot_id)
            self._loop.call_soon_threadsafe(self._attended.set)

    # in the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except Exception as error:
            if self._opened.done():
                log.exception("Telegram ended; trading goes on without it")
            else:
                self._opened.set_exception(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _live(self) -> None:
        post = self._post = Post(self._token, self._settings.base_url)
        self._budget = Budget(time.monotonic)
        every = float(self._settings.repeat_minutes) * 60
        self._reminders = Reminders(self._places.reminders, every, time.monotonic)
        reached = False
        with anyio.move_on_after(OPEN_SECONDS):
            await post.open()
            reached = True
        self._opened.set_result(post.unreachable if reached else f"no answer within {OPEN_SECONDS:.0f} s")
        try:
            async with anyio.create_task_group() as tasks:
                if self._settings.commands:
                    tasks.start_soon(self._keep, "listening", self._listen)
                    tasks.start_soon(self._keep, "repeating alerts", self._remind)
                await self._stop.wait()
                tasks.cancel_scope.cancel()
        finally:
            await self._cancel_deliveries()
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await post.close()

    async def _cancel_deliveries(self) -> None:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("Telegram: %s", what)
            await anyio.sleep(AFTER_A_BUG)

    async def _listen(self) -> None:
        """As long as no other process does, for a bot that is there."""
        gate = Gate(utc_now())
        await self._attended.wait()
        while True:
            with locked(self._places.lock) as self._ours:
                self._decided.set()
                if self._ours:
                    await Listener(self._post, self._pairing, gate, self._ignored, self._handle).run()
            log.warning("another process listens to this Telegram bot; commands are not taken here")
            await anyio.sleep(LOOK_AGAIN)

    async def _handle(self, passed: Passed) -> None:
        if self._desk is None:
            return
        if isinstance(passed, Asked):
            await self._desk.asked(passed)
        elif isinstance(passed, Pressed):
            await self._desk.pressed(passed)
        else:
            await pair(passed, self._pairing, self._post, self._desk.line)

    async def _remind(self) -> None:
        while True:
            await anyio.sleep(0.5)
            owner = self._owner()
            text = self._reminders.due() if self._ours else None
            if owner is None or text is None:
                continue
            newest, count = self._reminders.newest, len(self._reminders)
            button = Button(f"Acknowledge {f'all {count}' if count > 1 else ''}".strip(), f"acks:{newest}")
            try:
                await self._post.say(owner, text, buttons=(button,))
            except NotDelivered as error:
                log.warning("CRITICAL alerts could not be repeated: %s", error)
            self._reminders.said_again()

    def _owner(self) -> int | None:
        try:
            owner = self._pairing.owner
        except ConfigError as error:
            log.warning("%s", error)
            return None
        return None if owner is None else owner.user_id

    async def _deliver(self, alert: Alert) -> None:
        owner, urgent = self._owner(), alert.severity is Severity.CRITICAL
        chat = self._settings.chat_id or owner
        if chat is None:
            raise NotDelivered(NOBODY)
        self._post.pace()
        self._budget.take(urgent=urgent)
        if urgent and self._settings.commands:
            await self._until_decided()
        if urgent and chat == owner and self._ours:
            await self._deliver_with_button(alert, owner)
            return
        await self._post.say(chat, render(alert), silent=alert.severity is Severity.INFO)
        if urgent and owner is not None and chat != owner and self._ours:
            try:
                await self._deliver_with_button(alert, owner)
            except NotDelivered as error:  # the chat has it: sending it there again would not help
                log.warning("a CRITICAL alert could not be told to the paired person: %s", error)

    async def _until_decided(self) -> None:
        """Wait until it is known whether buttons are heard here; in a process without a bot they never are."""
        with anyio.move_on_after(DECIDE_SECONDS) as patience:
            await self._decided.wait()
        if patience.cancelled_caught:
            self._decided.set()

    async def _deliver_with_button(self, alert: Alert, owner: int) -> None:
        text, number = render(alert), self._reminders.next_number()
        await self._post.say(owner, text, buttons=(Button("Acknowledge", f"ack:{number}"),))
        at = f"{alert.at:%Y-%m-%d %H:%M:%S} UTC"
        headline = f"{SIGNS[alert.severity]} {alert.title}"
        self._reminders.sent(Unacknowledged(number, headline, text, at))


async def pair(claimed: Claimed, pairing: Pairing, post: Post, line: Line | None = None) -> Claim:
    """Somebody has sent a code; only the right one is answered."""
    before = pairing.owner
    outcome = pairing.claim(claimed.code, claimed.user_id, claimed.name, utc_now())
    log.warning("a pairing code came from Telegram user %d: %s", claimed.user_id, outcome.value)
    if outcome is not Claim.PAIRED:
        return outcome
    if line is not None:
        entry = AuditEntry(
            line.bot.clock.now(),
            f"telegram:{claimed.user_id}",
            "TELEGRAM PAIR",
            {},
            True,
            "paired with a code",
        )
        with anyio.move_on_after(CLOSE_SECONDS):
            try:
                await line.bot.store.audit(entry)
            except StoreError as error:
                log.warning("not audited: %s", error)
    try:
        await post.say(
            claimed.user_id, "\n".join(("Paired: this bot takes your commands and no one else's.", *HELP))
        )
        if before is not None and before.user_id != claimed.user_id:
            await post.say(
                before.user_id, "Another Telegram account was paired; this one is not served any more."
            )
    except NotDelivered as error:
        log.warning("the pairing was not told: %s", error)
    return outcome


@asynccontextmanager
async def open_telegram(settings: TelegramSettings, context: OpenContext) -> AsyncIterator[TelegramSink]:
    """Alerts to Telegram. A refused token stops the start; a Telegram that is down does not: hedges come first."""
    file = settings.token_file
    sink = TelegramSink(settings, check_token(context.secret(SECRET)) if file is None else read_token(file))
    try:
        await sink.open()
        yield sink
    finally:
        with anyio.CancelScope(shield=True):
            await sink.close()
