"""/kill from the paired person: asks, is confirmed once and in time, and shows each leg until it is flat."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.telegram.botapi import BotApi, Sent, person, soon
from tests.telegram.rig import OWNER, STRANGER, Chat, chatting, paired

from fundingarb.builtin.telegram import confirm
from fundingarb.builtin.telegram.confirm import Answer, Confirmations
from fundingarb.domain.control import Accepted, CommandKind, Subject

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*PTB_TIMEDELTA")]

QUESTION = "🔴 KILL: cancel every order"


async def question(chat: Chat) -> Sent:
    chat.write("/kill")
    return await chat.message(QUESTION)


def filling(chat: Chat) -> None:
    """The exchanges fill whatever is sent to them."""
    for made in (chat.floor.alpha, chat.floor.beta):
        for order in chat.floor.sent(made):
            known = made.ledger.orders.get(order.client_id)
            if known is not None and not known.state.terminal:
                made.fill_order(order.client_id)


async def test_a_confirmed_kill_ends_flat_and_shows_each_leg(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.open_hedge()
        (hedge,) = chat.floor.bot.live_hedges()
        asked = await question(chat)
        assert (
            f"BTC-USDT: {hedge.long.filled} long on alpha, {hedge.short.filled} short on beta" in asked.text
        )
        assert not chat.floor.bot.killed
        chat.api.press(OWNER, asked, "Yes")
        await chat.until(lambda: chat.floor.bot.killed)

        def flat() -> bool:
            filling(chat)
            return chat.floor.bot.flattened

        await chat.until(flat, 20)
        told = await chat.message("🔴 KILL: flat")
        assert f"✅ alpha BTC-USDT {hedge.long.filled} LONG: flat" in told.text
        assert f"✅ beta BTC-USDT {hedge.short.filled} SHORT: flat" in told.text
        assert chat.floor.position == (0, 0)
        assert asked.buttons == {}, "it cannot be pressed again"
        actor = f"telegram:{OWNER}"
        await chat.until(
            lambda: (actor, "KILL", True, "flat: no order and no position is left") in chat.noted
        )
        assert (actor, "TELEGRAM KILL", False, "asked for; not confirmed yet") in chat.noted


async def test_positions_that_are_not_the_bots_are_named_before(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        at = chat.floor.clock.now()
        for subject, name, quantity in ((Subject.POSITION, "DOGE-USDT", 5), (Subject.ORDER, "x77", 0)):
            made = Accepted("beta", subject, name, Decimal(quantity), "me", at)
            chat.floor.store.accepted["beta", subject, name] = made
        text = (await question(chat)).text
        assert "NOT OF THIS BOT: beta DOGE-USDT 5" in text
        assert "NOT OF THIS BOT: beta order x77" in text
        assert "No hedge of this bot is open" in text


async def test_forged_presses_do_nothing(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        asked = await question(chat)
        data = next(data for data in asked.buttons.values() if data.startswith("kill:"))
        api, message = (
            chat.api,
            {"message_id": asked.message_id, "date": 1, "chat": {"id": OWNER, "type": "private"}},
        )
        forged: list[tuple[str, Any, dict[str, int]]] = [
            ("somebody else", {"from": person(STRANGER)}, {"stranger": 1}),
            ("a bot", {"from": person(OWNER, is_bot=True)}, {"stranger": 1}),
            (
                "another private chat",
                {"message": {**message, "chat": {"id": 7, "type": "private"}}},
                {"stranger": 1},
            ),
            (
                "a group",
                {"message": {**message, "chat": {"id": -7, "type": "group", "title": "g"}}},
                {"not a private chat": 1},
            ),
            ("an inline message", {"message": None, "inline_message_id": "x"}, {"another kind of update": 1}),
            ("no data", {"data": None}, {"another kind of update": 1}),
            ("other data", {"data": "live:yes"}, {"unreadable": 1}),
        ]
        for case, changes, ignored in forged:
            chat.sink._ignored.clear()
            update = api.press_data(OWNER, asked, data, **changes)
            query = update["callback_query"]
            for name in [name for name, value in query.items() if value is None]:
                del query[name]
            await chat.until(lambda: chat.ignored)
            assert chat.ignored == ignored, case
        assert chat.api.answered == []
        for wrong in ("kill:", "kill:AAAAAAAAAAAAAAAAAAAAAA", f"{data}x", data[:-1]):
            api.press_data(OWNER, asked, wrong)
        # under another message than the one that asked
        elsewhere = Sent(OWNER, asked.message_id + 500, "", False, {}, 0.0)
        api.press_data(OWNER, elsewhere, data)
        await chat.until(lambda: len(chat.api.answered) == 5)
        assert {each["text"] for each in chat.api.answered} == {"Too late: send /kill again"}
        await chat.quiet()
        assert not chat.floor.bot.killed
        assert not chat.floor.store.commands


async def test_a_confirmation_counts_once_and_only_the_newest(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        first = await question(chat)
        chat.write("/kill")
        await chat.until(lambda: len(chat.api.texts()) == 2)
        second = chat.api.sent[-1]
        chat.api.press(OWNER, first, "Yes")
        await chat.until(lambda: len(chat.api.answered) == 1)
        assert not chat.floor.bot.killed
        data = next(iter(second.buttons.values()))
        chat.api.press(OWNER, second, "Yes")
        await chat.until(lambda: chat.floor.bot.killed)
        await chat.message("🔴 KILL: flat")
        await chat.floor.bot.release("test")
        chat.api.press_data(OWNER, second, data)
        await chat.until(lambda: len(chat.api.answered) == 3)
        await chat.quiet()
        assert not chat.floor.bot.killed


async def test_a_press_that_is_delivered_again_does_nothing(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        asked = await question(chat)
        update = chat.api.press(OWNER, asked, "Yes")
        await chat.message("🔴 KILL: flat")
        await chat.floor.bot.release("test")
        chat.api.push({**update, "update_id": chat.api.next_update()})
        await chat.until(lambda: chat.ignored)
        assert chat.ignored == {"replayed": 1}
        assert not chat.floor.bot.killed


async def test_it_can_be_cancelled(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        asked = await question(chat)
        data = next(data for data in asked.buttons.values() if data.startswith("kill:"))
        chat.api.press(OWNER, asked, "Cancel")
        await chat.message("KILL: cancelled")
        chat.api.press_data(OWNER, asked, data)
        await chat.until(lambda: len(chat.api.answered) == 2)
        assert not chat.floor.bot.killed


async def test_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "LIFE", 0.2)
    async with chatting(tmp_path) as chat:
        asked = await question(chat)
        await anyio.sleep(0.5)
        chat.api.press(OWNER, asked, "Yes")
        await chat.until(lambda: chat.api.answered)
        assert "Too late" in chat.api.answered[0]["text"]
        assert not chat.floor.bot.killed


def test_how_long_a_question_may_be_answered() -> None:
    now = 0.0
    made = Confirmations(lambda: now)
    nonce = made.ask(OWNER)
    now = 100.0  # Telegram was slow; the time begins when the question is shown
    made.shown(nonce, 7)
    now = 160.0
    assert made.answer(nonce, OWNER, 8) is Answer.UNKNOWN
    assert made.answer(nonce, STRANGER, 7) is Answer.UNKNOWN
    assert made.answer("é" + nonce, OWNER, 7) is Answer.UNKNOWN
    assert made.answer(nonce, OWNER, 7) is Answer.VALID
    assert made.answer(nonce, OWNER, 7) is Answer.UNKNOWN
    late = made.ask(OWNER)
    made.shown(late, 9)
    now = 220.1
    assert made.answer(late, OWNER, 9) is Answer.EXPIRED
    assert made.answer(late, OWNER, 9) is Answer.UNKNOWN


async def test_an_old_kill_is_honoured_with_a_question_that_says_so(tmp_path: Path) -> None:
    def before(api: BotApi) -> None:
        api.write(OWNER, "/kill", age=timedelta(minutes=30).total_seconds())
        api.write(STRANGER, "/kill", age=timedelta(minutes=30).total_seconds())

    async with chatting(tmp_path, first=before) as chat:
        asked = await chat.message(QUESTION)
        assert "(You asked 30 minutes ago)" in asked.text
        assert chat.api.texts(STRANGER) == []
        chat.api.press(OWNER, asked, "Yes")
        await chat.until(lambda: chat.floor.bot.killed)


async def test_a_kill_while_the_trading_loop_is_busy_is_stored_at_once(tmp_path: Path) -> None:
    """The loop does not move for 7 seconds: the question comes, the confirmation is stored meanwhile, and it latches
    as soon as the loop moves again."""
    async with chatting(tmp_path) as chat:
        stored: list[float] = []

        def person_at_the_phone() -> None:
            chat.write("/kill")
            soon(lambda: any(each.text.startswith(QUESTION) for each in chat.api.sent))
            asked = chat.api.sent[-1]
            assert "The trading loop does not answer" in asked.text
            chat.api.press(OWNER, asked, "Yes")
            soon(lambda: chat.floor.store.commands)
            stored.append(time.monotonic())
            soon(lambda: any("The kill is stored" in each.text for each in chat.api.sent))

        began = time.monotonic()
        phone = threading.Thread(target=person_at_the_phone)
        phone.start()
        time.sleep(9)  # noqa: ASYNC251 - this is what a loop that is busy is
        assert not chat.floor.bot.killed
        phone.join(5)
        (command,) = chat.floor.store.commands.values()
        assert (command.kind, command.actor) == (CommandKind.KILL, f"telegram:{OWNER}")
        assert stored
        assert stored[0] - began < 6
        await chat.until(lambda: chat.floor.bot.killed, 3)
        await chat.message("🔴 KILL: flat")
        assert len(chat.floor.store.commands) == 1, "the loop's kill and the stored one are the same"


async def test_a_kill_while_the_database_is_down_is_done_all_the_same(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.floor.store.failing = "disk full"
        chat.api.press(OWNER, await question(chat), "Yes")
        await chat.message("🔴 KILL: flat")
        assert chat.floor.bot.killed


async def test_a_kill_while_telegram_answers_badly_is_asked_again(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.api.flood_until = time.monotonic() + 1.5
        chat.write("/kill")
        asked = await chat.message(QUESTION)
        chat.api.fault = "down"
        await anyio.sleep(0.2)
        chat.api.fault = ""
        chat.api.press(OWNER, asked, "Yes")
        await chat.until(lambda: chat.floor.bot.killed)
        await chat.message("🔴 KILL: flat")


async def test_nothing_else_is_possible_from_there(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.api.press(OWNER, await question(chat), "Yes")
        await chat.message("🔴 KILL: flat")
        for text in (
            "/resume",
            "/release",
            "/live",
            "/config set network mainnet",
            "/start_trading",
            "/open",
            "/unpause",
        ):
            before = len(chat.api.texts())
            chat.write(text)
            await chat.until(lambda n=before: len(chat.api.texts()) > n)  # type: ignore[misc]
            assert chat.api.texts()[-1].startswith(
                ("There is no such command", "/resume is not possible from here")
            )
        assert chat.floor.bot.killed
        assert [each.kind for each in chat.floor.store.commands.values()] == [CommandKind.KILL]


async def test_a_bot_that_starts_with_the_switch_latched_still_answers(tmp_path: Path) -> None:
    paired(tmp_path)
    async with chatting(tmp_path, pair=False) as chat:
        await chat.floor.bot.kill("test")
        assert (await chat.ask("/status", "KILLED")).startswith("KILLED")
