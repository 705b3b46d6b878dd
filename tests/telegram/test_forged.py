"""Whatever is not a fresh message of the paired person in their private chat does nothing, and is not answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.telegram.botapi import BotApi, person
from tests.telegram.rig import OWNER, STRANGER, Chat, chatting, paired

pytestmark = pytest.mark.anyio

Forge = Callable[[BotApi, str], Any]
GROUP: dict[str, Any] = {"id": -100200, "type": "supergroup", "title": "g"}


def _edited(api: BotApi, text: str) -> Any:
    return {"edited_message": api.message(OWNER, text, edit_date=int(time.time()))}


def _photo(api: BotApi, text: str) -> Any:
    message = api.message(OWNER, text, caption=text)
    del message["text"], message["entities"]
    return {"message": message}


def _message(user: int, sender: Any = None, **changes: Any) -> Forge:
    changes = changes if sender is None else {**changes, "from": sender}
    return lambda api, text: {"message": api.message(user, text, **changes)}


FORWARD: dict[str, Any] = {"type": "user", "sender_user": person(STRANGER), "date": 1700000000}
FORGED: dict[str, tuple[Forge, str]] = {
    "somebody else": (_message(STRANGER), "stranger"),
    "somebody else who calls himself like the owner": (
        _message(STRANGER, sender=person(STRANGER, first_name="user42", username="the_owner")),
        "stranger",
    ),
    "somebody else in the owner's chat": (_message(OWNER, sender=person(STRANGER)), "stranger"),
    "the owner's name and chat, another bot": (
        _message(OWNER, sender=person(OWNER, is_bot=True)),
        "stranger",
    ),
    "the owner in a group": (_message(OWNER, chat=GROUP), "not a private chat"),
    "the owner in a group with his own number": (
        _message(OWNER, chat={"id": OWNER, "type": "group", "title": "g"}),
        "not a private chat",
    ),
    "a channel": (
        _message(OWNER, chat={"id": -5, "type": "channel"}, sender_chat={"id": -5, "type": "channel"}),
        "not a private chat",
    ),
    "in the name of a chat": (_message(OWNER, sender_chat={"id": -5, "type": "channel"}), "stranger"),
    "edited": (_edited, "edited"),
    "edited, and nothing says when": (
        lambda api, text: {"edited_message": api.message(OWNER, text)},
        "edited",
    ),
    "edited, as a new message": (_message(OWNER, edit_date=int(time.time())), "edited"),
    "forwarded": (_message(OWNER, forward_origin=FORWARD), "forwarded"),
    "through an inline bot": (
        _message(OWNER, via_bot={"id": 9, "is_bot": True, "first_name": "b"}),
        "forwarded",
    ),
    "a photo with a command under it": (_photo, "no text"),
}


async def silent(chat: Chat) -> None:
    await chat.quiet()
    assert chat.api.texts() == []
    assert chat.api.answered == []
    assert chat.floor.store.noted == []
    assert not chat.floor.bot.killed
    assert chat.floor.bot.status().state == "RUNNING"


@pytest.mark.parametrize("text", ["/pause", "/kill"])
async def test_forged_messages_do_nothing(text: str, tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        for case, (forge, reason) in FORGED.items():
            chat.sink._ignored.clear()
            chat.api.push(forge(chat.api, text))
            await chat.until(lambda: chat.ignored)
            assert chat.ignored == {reason: 1}, case
        await silent(chat)


async def test_other_kinds_of_updates_do_nothing(tmp_path: Path) -> None:
    """Telegram is told not to send them; when it does all the same they are not looked at."""
    kinds = ("channel_post", "edited_channel_post", "business_message", "edited_business_message")
    async with chatting(tmp_path) as chat:
        chat.api.filtering = False
        for kind in kinds:
            chat.api.push({kind: chat.api.message(OWNER, "/pause")})
        query = {"id": "1", "result_id": "1", "from": person(OWNER), "query": "/pause", "offset": ""}
        for kind in ("inline_query", "chosen_inline_result"):
            chat.api.push({kind: query})
        await silent(chat)
        assert chat.ignored == {"another kind of update": len(kinds) + 2}


@pytest.mark.parametrize(("age", "reason"), [(61, "stale"), (3600, "stale"), (-120, "stale")])
async def test_stale_messages_do_nothing(age: float, reason: str, tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.write("/pause", age=age)
        await silent(chat)
        assert chat.ignored == {reason: 1}


async def test_what_was_written_before_the_start_does_nothing(tmp_path: Path) -> None:
    paired(tmp_path)

    def before(api: BotApi) -> None:
        api.write(OWNER, "/pause", age=5)

    async with chatting(tmp_path, first=before) as chat:
        await silent(chat)
        assert chat.ignored == {"stale": 1}


async def test_a_replayed_update_is_done_once(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        update = chat.api.write(OWNER, "/pause")
        await chat.message("Paused")
        await chat.floor.bot.resume("test")
        chat.api.push(dict(update))
        await chat.quiet()
        assert chat.ignored == {"replayed": 1}
        # another message under the same number
        chat.api.push({"message": chat.api.message(OWNER, "/pause"), "update_id": update["update_id"]})
        await chat.until(lambda: chat.ignored == {"replayed": 2})
        # the same message under another number is the same message
        chat.api.push({"message": update["message"], "update_id": chat.api.next_update()})
        await chat.quiet()
        assert chat.ignored == {"replayed": 3}
        assert len(chat.api.texts()) == 1
        assert chat.floor.bot.status().state == "RUNNING"


async def test_a_flood_of_the_owner_is_answered_for_a_while(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        for _ in range(50):
            chat.write("/help")
        await chat.quiet()
        assert len(chat.api.texts()) == 20
        assert chat.ignored == {"too many": 30}
        chat.write("/kill")
        await chat.message("🔴 KILL: cancel every order")


async def test_who_is_not_paired_any_more_is_a_stranger_at_once(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        paired(tmp_path, STRANGER)
        chat.write("/pause")
        await silent(chat)
        assert chat.ignored == {"stranger": 1}


async def test_nobody_is_served_when_others_could_have_written_the_pairing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with chatting(tmp_path) as chat:
        paired(tmp_path).path.chmod(0o660)
        chat.write("/pause")
        await silent(chat)
        assert chat.ignored == {"stranger": 1}
        assert "can be reached by others" in caplog.text


async def test_updates_that_cannot_be_read_hold_up_nothing(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        number = chat.api.next_update
        poisons: tuple[dict[str, Any], ...] = (
            {"message": "text"},
            {"message": {"message_id": "x"}},
            {"message": {**chat.api.message(OWNER, "/pause"), "date": "yesterday"}},
            {"message": {**chat.api.message(OWNER, "/pause"), "from": None}},
            {"message": {**chat.api.message(OWNER, "/pause"), "chat": {"id": OWNER}}},
            {"callback_query": {"id": "1"}},
            {"callback_query": {"id": "1", "from": person(OWNER), "chat_instance": "1", "data": "ack:1"}},
            {},
        )
        for poison in poisons:
            chat.api.push({"update_id": number(), **poison})
        unnumbered: tuple[Any, ...] = (None, "x", [], {"update_id": "seven"}, {"update_id": True})
        for poison in unnumbered:
            chat.api.push(poison)
        chat.write("/help")
        await chat.message("/status")
        assert chat.api.texts() == [chat.api.texts()[0]]
        assert chat.floor.bot.status().state == "RUNNING"


async def test_what_people_write_does_not_get_into_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with chatting(tmp_path) as chat:
        chat.write("/pause \x1b[31mCANARY\r\nCANARY", user=STRANGER)
        chat.write("/nothing \x1b[31mCANARY\r\nCANARY")
        await chat.message("There is no such command")
        await anyio.sleep(0.1)
        assert "CANARY" not in caplog.text
        assert "a message to the Telegram bot did nothing: stranger" in caplog.text
