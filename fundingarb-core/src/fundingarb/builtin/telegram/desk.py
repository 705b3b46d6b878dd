"""Does what the paired person asks for, and notes who asked for what, and what came of it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import anyio

from fundingarb.builtin.telegram import words
from fundingarb.builtin.telegram.confirm import LIFE, Answer, Confirmations
from fundingarb.builtin.telegram.gate import FRESH, Asked, Pressed, Refused
from fundingarb.builtin.telegram.line import BotSilent, Line
from fundingarb.builtin.telegram.post import Button, NotDelivered, NotNow, Post
from fundingarb.builtin.telegram.reminders import Reminders
from fundingarb.builtin.telegram.text import written
from fundingarb.domain.control import Accepted, AuditEntry, Command, CommandKind
from fundingarb.domain.hedge import Hedge
from fundingarb.errors import FundingArbError, StoreError
from fundingarb.ports import BotHandle, BotStatus

log = logging.getLogger("fundingarb.telegram")

# real seconds
LOOK_BEFORE_KILL = 1.5
"""How long a kill's question waits for what it closes."""
ENGINE_SECONDS = 2.0
"""How long the trading loop may take to latch before the kill is written where it is found later."""
STORE_SECONDS = 4.0
FOLLOW = 2.0
"""Between two looks at how far a kill is."""
ROWS_AT_ONCE = 500
"""Rows of the rate table that the bot's loop computes in one go."""


@dataclass
class Desk:
    """One conversation. ``bot_id`` tells this Telegram bot from others in the keys of commands."""

    line: Line
    post: Post
    reminders: Reminders
    ignored: Counter[str]
    bot_id: str
    confirmations: Confirmations = field(default_factory=lambda: Confirmations(time.monotonic))
    _killing: bool = False
    _asking: bool = False

    async def asked(self, asked: Asked) -> None:
        """Answer a command."""
        if asked.word == "kill":
            await self._ask_kill(asked)
            return
        answers: Mapping[str, Callable[[Asked], Awaitable[list[str]]]] = {
            "status": self._status,
            "positions": self._positions,
            "rates": self._rates,
            "pnl": self._pnl,
            "pause": self._pause,
            "help": self._help,
            "start": self._help,
        }
        if asked.word not in answers:
            refusal = (
                ["/resume is not possible from here"]
                if asked.word == "resume"
                else ["There is no such command"]
            )
            await self._note(asked.user_id, asked.word or "text", False, refusal[0])
            await self._say(asked.user_id, [*refusal, *words.HELP])
            return
        try:
            lines, ok = await answers[asked.word](asked), True
        except FundingArbError as error:
            lines, ok = [f"Not done: {error}"], False
        except Exception as error:
            log.exception("Telegram command %s", asked.word)
            lines, ok = [f"Not done: {type(error).__name__}; the log has more"], False
        if asked.word != "pause" or not ok:  # a pause is noted by whoever does it
            await self._note(asked.user_id, asked.word, ok, "answered" if ok else lines[0])
        await self._say(asked.user_id, lines)

    async def pressed(self, pressed: Pressed) -> None:
        """A button was pressed."""
        kind, _, what = pressed.data.partition(":")
        if kind == "kill":
            await self._kill_confirmed(pressed, what)
        elif kind == "cancel":
            self.confirmations.answer(what, pressed.user_id, pressed.message_id)
            await self._note(pressed.user_id, "kill", False, "cancelled before it was confirmed")
            await self._tell(pressed, "Cancelled", ["KILL: cancelled, nothing was done"])
        elif kind in ("ack", "acks") and what.isdecimal():
            done = self.reminders.acknowledge(int(what), and_older=kind == "acks")
            await self._note(pressed.user_id, "acknowledge", True, f"{done} alerts")
            await self._tell(pressed, f"Acknowledged: {done}", None)
        else:
            self.ignored[Refused.UNREADABLE.value] += 1

    # looking

    async def _status(self, asked: Asked) -> list[str]:
        status, vitals = await self.line.ask(lambda bot: (bot.status(), bot.vitals()))
        return words.status_lines(status, vitals, self.ignored, len(self.reminders))

    async def _positions(self, asked: Asked) -> list[str]:
        async def look(bot: BotHandle) -> list[str]:
            return words.position_lines([await bot.hedge_view(hedge) for hedge in bot.live_hedges()])

        return await self.line.have(look, 10.0)

    async def _rates(self, asked: Asked) -> list[str]:
        cursor, rows, spreads = 0, [], {}
        while True:
            found = await self.line.ask(lambda bot, at=cursor: bot.market_rows(at, ROWS_AT_ONCE))  # type: ignore[misc]
            rows += found.rows
            spreads.update({row.symbol: row for row in found.spreads})
            if len(found.rows) < ROWS_AT_ONCE or found.cursor == cursor or len(rows) > 100 * ROWS_AT_ONCE:
                break
            cursor = found.cursor
        if asked.rest:
            newest = {(row.exchange, row.symbol): row for row in rows}
            return words.symbol_lines(asked.rest.upper(), newest.values())
        return words.spread_lines(spreads.values())

    async def _pnl(self, asked: Asked) -> list[str]:
        return words.pnl_lines(await self.line.have(lambda bot: bot.summary(), 10.0))

    async def _help(self, asked: Asked) -> list[str]:
        return list(words.HELP)

    # commanding

    async def _pause(self, asked: Asked) -> list[str]:
        actor, key = self._actor(asked.user_id), f"telegram:{self.bot_id}:{asked.update_id}"
        try:
            await self.line.have(lambda bot: bot.pause(actor, key), keep=True)
        except BotSilent as silent:
            stored = await self._store(CommandKind.PAUSE, actor, key)
            return [f"{silent}", "The pause is stored and done as soon as it does." if stored else NOT_STORED]
        return ["Paused: no new hedges; open ones are looked after as before."]

    async def _ask_kill(self, asked: Asked) -> None:
        if self._killing:
            await self._say(asked.user_id, ["A kill is under way; its message says how far it is."])
            return
        if self._asking:  # the question is on its way
            return
        self._asking = True
        try:
            await self._put_kill_question(asked)
        finally:
            self._asking = False

    async def _put_kill_question(self, asked: Asked) -> None:
        nonce = self.confirmations.ask(asked.user_id)
        lines = await self._kill_question()
        if asked.age > FRESH:
            lines.insert(1, f"(You asked {asked.age.total_seconds() / 60:.0f} minutes ago)")
        lines.append(f"Confirm within {LIFE:.0f} s.")
        buttons = (Button("🔴 Yes, close everything", f"kill:{nonce}"), Button("Cancel", f"cancel:{nonce}"))
        message = await self._insist(lambda: self.post.say(asked.user_id, written(lines), buttons=buttons))
        if message is not None:
            self.confirmations.shown(nonce, message)
        told = (
            "asked for; not confirmed yet"
            if message is not None
            else "asked for; the question was not delivered"
        )
        await self._note(asked.user_id, "kill", False, told)

    async def _kill_question(self) -> list[str]:
        hedges: list[Hedge] | None = None
        status: BotStatus | None = None
        accepted: tuple[Accepted, ...] = ()
        try:
            found, status = await self.line.ask(
                lambda bot: (bot.live_hedges(), bot.status()), LOOK_BEFORE_KILL
            )
            hedges = list(found)
            with anyio.move_on_after(LOOK_BEFORE_KILL):
                accepted = (await self.line.bot.store.load()).accepted
        except FundingArbError as error:
            log.warning("a kill's question does not say everything: %s", error)
        return words.kill_question(hedges, status, accepted)

    async def _kill_confirmed(self, pressed: Pressed, nonce: str) -> None:
        answer = self.confirmations.answer(nonce, pressed.user_id, pressed.message_id)
        if answer is not Answer.VALID:
            await self._note(pressed.user_id, "kill", False, f"a confirmation that is {answer.value}")
            await self._tell(pressed, "Too late: send /kill again", None)
            return
        self._killing = True
        try:
            actor, key = self._actor(pressed.user_id), f"telegram:{self.bot_id}:{pressed.update_id}"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, pressed, "Killing", None)
                progress = words.KillProgress()
                how = await self._kill(actor, key, progress)
            await self._follow_kill(pressed.user_id, how, progress)
        finally:
            self._killing = False

    async def _kill(self, actor: str, key: str, progress: words.KillProgress) -> str:
        """Latch through the trading loop, and where that is silent through the database; tries until one has it."""

        async def latch(bot: BotHandle) -> None:
            progress.note(bot.live_hedges())
            await bot.kill(actor, key)

        silent = ""
        for attempt in range(1, 1000):
            try:
                await self.line.have(latch, ENGINE_SECONDS, keep=attempt == 1)
                return ""
            except FundingArbError as error:
                silent = str(error)
            if self.line.bot.killed:
                return ""
            if await self._store(CommandKind.KILL, actor, key):
                return f"{silent}. The kill is stored: it begins as soon as the loop moves, or the bot is started."
            await anyio.sleep(1.0)
        return f"{silent}. {NOT_STORED}"

    async def _follow_kill(self, user: int, how: str, progress: words.KillProgress) -> None:
        """One message that says how far it is, until everything is flat, or somebody has released the switch."""
        message, said = None, ""
        while True:
            lines, over = await self._progress(progress, how)
            text = written(lines)
            if text != said:
                try:
                    if message is None:
                        message = await self.post.say(user, text)
                    elif over:
                        await self._insist(partial(self._changed, user, message, text))
                    else:
                        await self.post.change(user, message, text)
                    said = text
                except NotDelivered as error:
                    log.warning("how far the kill is was not told: %s", error)
            if over and said == text:
                return
            await anyio.sleep(FOLLOW)

    async def _changed(self, user: int, message: int, text: str) -> int:
        await self.post.change(user, message, text)
        return message

    async def _progress(self, progress: words.KillProgress, how: str) -> tuple[list[str], bool]:
        try:
            killed, flat, hedges, open_legs = await self.line.ask(
                lambda bot: (bot.killed, bot.flattened, tuple(bot.live_hedges()), tuple(bot.not_flat))
            )
        except BotSilent as error:
            return ["🔴 KILL", how or str(error), "At the machine: fundingarb kill"], False
        if not killed and how:  # stored, and not found there yet
            return ["🔴 KILL", how], False
        if not killed:
            return ["🔴 KILL: released meanwhile"], True
        return progress.lines(hedges, open_legs, flat), flat

    async def _store(self, kind: CommandKind, actor: str, key: str) -> bool:
        """Write a command where the bot looks for them, also after a restart; whether that worked."""
        bot = self.line.bot
        command = Command(uuid4(), key, kind, actor, bot.clock.now())
        with anyio.move_on_after(STORE_SECONDS):
            try:
                await bot.store.submit_command(command)
                return True
            except StoreError as error:
                log.warning("%s could not be stored: %s", kind.value.lower(), error)
        return False

    # telling

    async def _say(self, user: int, lines: list[str]) -> None:
        try:
            await self.post.say(user, written(lines))
        except NotDelivered as error:
            log.warning("a Telegram command was not answered: %s", error)

    async def _tell(self, pressed: Pressed, short: str, lines: list[str] | None) -> None:
        """Tell whoever pressed a button, and take the buttons away; with ``lines`` the message says those."""
        try:
            await self.post.answer(pressed.press, short)
            if lines is None:
                await self.post.strip(pressed.user_id, pressed.message_id)
            else:
                await self.post.change(pressed.user_id, pressed.message_id, written(lines))
        except NotDelivered as error:
            log.warning("a pressed button was not answered: %s", error)

    async def _insist(self, deliver: Callable[[], Awaitable[int]], seconds: float = 600.0) -> int | None:
        """Try until it is delivered, as often as Telegram allows; None when it never was."""
        with anyio.move_on_after(seconds):
            pause = 1.0
            while True:
                try:
                    return await deliver()
                except NotNow as error:
                    await anyio.sleep(error.seconds)
                except NotDelivered as error:
                    log.warning("not delivered yet: %s", error)
                    await anyio.sleep(pause)
                    pause = min(pause * 2, 30.0)
        return None

    async def _note(self, user: int, what: str, ok: bool, result: str) -> None:
        """Who did what, for what the bot does not note itself."""
        bot = self.line.bot
        entry = AuditEntry(
            bot.clock.now(), self._actor(user), f"TELEGRAM {what.upper()[:40]}", {}, ok, result[:300]
        )
        with anyio.move_on_after(STORE_SECONDS):
            try:
                await bot.store.audit(entry)
                return
            except StoreError as error:
                log.warning("not audited (%s): %s by %s: %s", error, entry.command, entry.actor, entry.result)
                return
        log.warning("not audited in time: %s by %s: %s", entry.command, entry.actor, entry.result)

    @staticmethod
    def _actor(user: int) -> str:
        return f"telegram:{user}"


NOT_STORED = "Neither the trading loop nor the database answers. At the machine: fundingarb kill"
