"""A Bot API on loopback that behaves as the documentation says, in a thread of its own; and the people who use it.

Written from https://core.telegram.org/bots/api: updates are kept until they are confirmed by a higher offset, one
request for updates at a time, method names in any case, texts of 1 to 4096 characters, no edits that change nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
NAME = "arb_bot"
BOT = {"id": 123456, "is_bot": True, "first_name": "arb", "username": NAME}

Json = dict[str, Any]


@dataclass
class Sent:
    """A message of the bot's: its text and buttons as they are now, and every text it has had."""

    chat: int
    message_id: int
    text: str
    silent: bool
    buttons: dict[str, str]
    at: float
    texts: list[str] = field(default_factory=list)


class Refusal(Exception):
    def __init__(self, status: int, text: str, **parameters: int) -> None:
        super().__init__(text)
        self.body = {"ok": False, "error_code": status, "description": text}
        if parameters:
            self.body["parameters"] = parameters
        self.status = status


class BotApi:
    """The server. ``fault`` is what it does instead of answering: "down", "hangs", "garbage", "nonsense" or ""."""

    def __init__(self) -> None:
        self.url = ""
        self.token = TOKEN
        self.fault = ""
        self.flood_until = 0.0
        self.retry_after = 1
        self.webhook = ""
        self.filtering = True
        self.requests: list[tuple[float, str]] = []
        self.sent: list[Sent] = []
        self.answered: list[Json] = []
        self.pending: list[Any] = []
        self.polling: asyncio.Event | None = None
        self.loop = asyncio.new_event_loop()
        self._next_update = 7_000_001
        self._next_message = 1
        self._lock = threading.Lock()

    # the people

    def push(self, update: Any) -> None:
        """Something was sent to the bot; a dict without a number gets the next one."""
        if isinstance(update, dict):
            update.setdefault("update_id", self.next_update())
        with self._lock:
            self.pending.append(update)

    def next_update(self) -> int:
        self._next_update += 1
        return self._next_update - 1

    def next_message(self) -> int:
        self._next_message += 1
        return self._next_message - 1

    def message(self, user: int, text: str, *, age: float = 0.0, **changes: Any) -> Json:
        """A text message in the private chat with ``user``; ``age`` seconds old."""
        entities = []
        if text.startswith("/"):
            entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        return {
            "message_id": self.next_message(),
            "from": person(user),
            "chat": {"id": user, "type": "private", "first_name": f"user{user}"},
            "date": int(time.time() - age),
            "text": text,
            "entities": entities,
            **changes,
        }

    def write(self, user: int, text: str, *, age: float = 0.0, **changes: Any) -> Json:
        """``user`` writes to the bot; the update as it was delivered."""
        update = {"message": self.message(user, text, age=age, **changes)}
        self.push(update)
        return update

    def press(self, user: int, sent: Sent, button: str, **changes: Any) -> Json:
        """``user`` presses the button that begins with ``button`` under a message of the bot's."""
        data = next(data for text, data in sent.buttons.items() if button in text)
        return self.press_data(user, sent, data, **changes)

    def press_data(self, user: int, sent: Sent, data: str, /, **changes: Any) -> Json:
        message = {
            "message_id": sent.message_id,
            "from": BOT,
            "chat": {"id": sent.chat, "type": "private", "first_name": "x"},
            "date": int(time.time()),
            "text": sent.text,
        }
        query = {
            "id": str(self.next_update()),
            "from": person(user),
            "message": message,
            "chat_instance": "1",
            "data": data,
            **changes,
        }
        update = {"callback_query": query}
        self.push(update)
        return update

    def texts(self, chat: int | None = None) -> list[str]:
        return [each.text for each in self.sent if chat in (None, each.chat)]

    def count(self, method: str) -> int:
        return sum(1 for _, name in self.requests if name == method)

    # the server

    async def handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"].lower()
        self.requests.append((time.monotonic(), method))
        if self.fault == "hangs":
            await asyncio.sleep(3600)
        if self.fault == "down":
            return web.json_response(
                {"ok": False, "error_code": 502, "description": "Bad Gateway"}, status=502
            )
        if self.fault == "garbage":
            return web.Response(body=b"<html>\xff no", content_type="text/html")
        if self.fault == "nonsense":
            return web.json_response({"ok": True, "result": {"hello": ["world"]}})
        try:
            if request.match_info["token"] != self.token:
                raise Refusal(401, "Unauthorized")
            if time.monotonic() < self.flood_until and method != "getupdates":
                raise Refusal(429, "Too Many Requests: retry after", retry_after=self.retry_after)
            arguments = {key: str(value) for key, value in (await request.post()).items()}
            answer = getattr(self, f"do_{method}", None)
            if answer is None:
                raise Refusal(404, "Not Found")
            result = await answer(arguments)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response({"ok": True, "result": result})

    async def do_getme(self, arguments: Json) -> Json:
        return BOT

    async def do_deletewebhook(self, arguments: Json) -> bool:
        self.webhook = ""
        return True

    async def do_getupdates(self, arguments: Json) -> list[Any]:
        if self.webhook:
            raise Refusal(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook"
            )
        if self.polling is not None:
            self.polling.set()
        mine = self.polling = asyncio.Event()
        wanted = json.loads(arguments.get("allowed_updates", "[]"))
        offset = int(arguments.get("offset", 0))
        with self._lock:
            self.pending = [each for each in self.pending if _number(each, offset) >= offset]
        deadline = time.monotonic() + min(int(arguments.get("timeout", 0)), 50)
        while True:
            with self._lock:
                if self.filtering:
                    self.pending = [each for each in self.pending if _wanted(each, wanted)]
                found = self.pending[:100]
            if found or time.monotonic() >= deadline:
                if self.polling is mine:
                    self.polling = None
                return found
            if mine.is_set():
                raise Refusal(409, "Conflict: terminated by other getUpdates request")
            await asyncio.sleep(0.01)

    async def do_sendmessage(self, arguments: Json) -> Json:
        text = _text(arguments)
        chat = int(arguments["chat_id"])
        if chat == 404:
            raise Refusal(400, "Bad Request: chat not found")
        if chat == 403:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        silent = arguments.get("disable_notification", "false").lower() == "true"
        made = Sent(chat, self.next_message(), text, silent, _buttons(arguments), time.monotonic(), [text])
        self.sent.append(made)
        return _shown(made)

    async def do_editmessagetext(self, arguments: Json) -> Json:
        text, made = _text(arguments), self._find(arguments)
        buttons = _buttons(arguments)
        if (text, buttons) == (made.text, made.buttons):
            raise Refusal(400, "Bad Request: message is not modified")
        made.text, made.buttons = text, buttons
        made.texts.append(text)
        return _shown(made)

    async def do_editmessagereplymarkup(self, arguments: Json) -> Json:
        made = self._find(arguments)
        if _buttons(arguments) == made.buttons:
            raise Refusal(400, "Bad Request: message is not modified")
        made.buttons = _buttons(arguments)
        return _shown(made)

    async def do_answercallbackquery(self, arguments: Json) -> bool:
        self.answered.append(arguments)
        return True

    def _find(self, arguments: Json) -> Sent:
        for made in self.sent:
            if (made.chat, made.message_id) == (int(arguments["chat_id"]), int(arguments["message_id"])):
                return made
        raise Refusal(400, "Bad Request: message to edit not found")


def person(user: int, **changes: Any) -> Json:
    return {"id": user, "is_bot": False, "first_name": f"user{user}", "username": "the_owner", **changes}


def _number(update: Any, default: int) -> int:
    """What has no number cannot be confirmed, and comes again each time."""
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if isinstance(number, int) else default


def _wanted(update: Any, kinds: list[str]) -> bool:
    if not isinstance(update, dict) or not kinds:
        return True
    return any(kind in update for kind in kinds) or len(update) < 2


def _text(arguments: Json) -> str:
    text = str(arguments.get("text", ""))
    if not text.strip():
        raise Refusal(400, "Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) // 2 > 4096:
        raise Refusal(400, "Bad Request: message is too long")
    return text


def _buttons(arguments: Json) -> dict[str, str]:
    rows = json.loads(arguments.get("reply_markup", "{}")).get("inline_keyboard", [])
    buttons = {button["text"]: button["callback_data"] for row in rows for button in row}
    if any(len(data.encode()) > 64 for data in buttons.values()):
        raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
    return buttons


def _shown(made: Sent) -> Json:
    chat = {"id": made.chat, "type": "private"}
    return {"message_id": made.message_id, "date": int(time.time()), "chat": chat, "text": made.text}


@contextmanager
def bot_api() -> Iterator[BotApi]:
    """The server, running in a thread."""
    api = BotApi()
    up = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/bot{token}/{method}", api.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/bot"
        up.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: api.loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield api
    finally:
        api.loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        api.loop.close()


def soon(condition: Callable[[], object], within: float = 30) -> None:
    """Waits for ``condition``, blocking."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
