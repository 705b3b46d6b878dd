"""Commands through the database: polled, each taken once and executed once, the result written where it was asked."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import anyio
import anyio.abc

from fundingarb.domain.control import Command, CommandKind
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.resolve import Resolution
from fundingarb.engine.state import BotState
from fundingarb.errors import ConfigError, FundingArbError, StoreError
from fundingarb.ports import BotStatus, Clock, Store

log = logging.getLogger("fundingarb.commands")

#: Real seconds between two looks.
POLL = 0.5
#: Real seconds between two lines of progress of a kill.
PROGRESS = 0.5
#: A command that allows risk again is not executed when it is older than this many real seconds.
STALE = 60.0

RISKY = (CommandKind.RELEASE, CommandKind.UNPAUSE, CommandKind.ACCEPT, CommandKind.FLATTEN)


class Commanded(Protocol):
    """What commands do to a bot."""

    def status(self) -> BotStatus: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def close_hedge(self, hedge_id: UUID, reason: CloseReason = CloseReason.MANUAL) -> None: ...


@dataclass
class CommandDesk:
    """Looks for commands every half second, and whether somebody has latched the kill switch in the database."""

    bot: Commanded
    state: BotState
    store: Store
    clock: Clock
    kill_switch: KillSwitch
    resolution: Resolution
    _taken: set[UUID] = field(default_factory=set)
    _silent: bool = False

    async def run(self) -> None:
        """Poll until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    await self.look(tasks)
                    self._silent = False
                except StoreError as error:
                    if not self._silent:
                        log.warning("commands cannot be read: %s", error)
                    self._silent = True
                await anyio.sleep(POLL)

    async def look(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take what was commanded. Raises ``StoreError``."""
        version = self.kill_switch.version
        control = await self.store.control()
        if control.killed and not self.state.killed and version == self.kill_switch.version:
            actors = [each.actor for each in control.commands if each.kind is CommandKind.KILL]
            await self.kill_switch.latch(next(iter(actors), "the database"))
        for command in control.commands:
            if command.id in self._taken:
                continue
            if command.taken_at is not None and command.kind is not CommandKind.KILL:
                await self._done(command, False, "the bot ended while it was at it; look, and ask again")
            elif command.taken_at is not None and not control.killed:
                await self._done(command, True, "released meanwhile")
            elif command.taken_at is not None or await self.store.take_command(command.id, self.clock.now()):
                self._taken.add(command.id)
                taken = replace(command, taken_at=command.taken_at or self.clock.now())
                tasks.start_soon(self._execute, taken)

    async def _execute(self, command: Command) -> None:
        log.info("%s by %s", command.kind.value.lower(), command.actor)
        age = (self.clock.now() - command.created_at) / self.clock.speed
        try:
            if command.kind in RISKY and age > timedelta(seconds=STALE):
                raise ConfigError(f"it is {age.total_seconds():.0f} s old; ask again")
            work = self._work[command.kind]
            await self._done(command, True, **_result(await work(command)))
        except FundingArbError as error:
            await self._done(command, False, str(error))
        except Exception as error:
            log.exception("command %s failed", command.kind.value)
            await self._done(command, False, f"{type(error).__name__}: {error}")

    @property
    def _work(self) -> Mapping[CommandKind, Callable[[Command], Awaitable[str | dict[str, Any]]]]:
        return {
            CommandKind.KILL: self._kill,
            CommandKind.RELEASE: self._release,
            CommandKind.PAUSE: self._pause,
            CommandKind.UNPAUSE: self._unpause,
            CommandKind.CLOSE: self._close,
            CommandKind.ACCEPT: self._accept,
            CommandKind.FLATTEN: self._flatten,
            CommandKind.STATUS: self._status,
        }

    async def _done(self, command: Command, ok: bool, text: str, **more: Any) -> None:
        """Write the result, as soon as the database takes it."""
        done = replace(command, done_at=self.clock.now(), result={"ok": ok, "text": text, **more})
        while True:
            try:
                await self.store.report_command(done)
                return
            except StoreError as error:
                log.warning("result of %s not written: %s", command.kind.value, error)
            await anyio.sleep(1.0)

    # the commands

    async def _kill(self, command: Command) -> str:
        """Latch, then say how far it is until everything is flat."""
        await self.kill_switch.latch(command.actor)
        said: dict[str, Any] | None = None
        while self.state.killed and not self.kill_switch.flat:
            result = {
                "text": "closing",
                "legs": [str(leg) for leg in self.kill_switch.open],
                "flat": list(self.kill_switch.flat_accounts),
            }
            if result != said:
                try:
                    await self.store.report_command(replace(command, result=result))
                    said = result
                except StoreError as error:
                    log.debug("progress not written: %s", error)
            await anyio.sleep(PROGRESS)
        return "flat: no order and no position is left" if self.state.killed else "released meanwhile"

    async def _release(self, command: Command) -> str:
        await self.kill_switch.release(command.actor)
        return "released; entries are possible again once every account matches"

    async def _pause(self, command: Command) -> str:
        self.bot.pause()
        await self.store.set_paused(True, command.actor, self.clock.now())
        return "paused; open hedges are looked after as before"

    async def _unpause(self, command: Command) -> str:
        await self.store.set_paused(False, command.actor, self.clock.now())
        self.bot.resume()
        return "entries are on again"

    async def _close(self, command: Command) -> str:
        hedge = self._hedge(str(command.arguments.get("hedge", "")))
        await self.bot.close_hedge(hedge.id)
        return f"closing {hedge.symbol}"

    def _hedge(self, name: str) -> Hedge:
        """The live hedge of that symbol or id."""
        for hedge in self.state.live():
            if name in (hedge.symbol, str(hedge.id)):
                return hedge
        raise ConfigError(f"there is no open hedge {name}")

    async def _accept(self, command: Command) -> dict[str, Any]:
        lines = await self.resolution.accept(_account(command), command.actor)
        return {"text": "accepted", "lines": lines}

    async def _flatten(self, command: Command) -> dict[str, Any]:
        lines = await self.resolution.flatten(_account(command), command.actor)
        return {"text": "flattened", "lines": lines}

    async def _status(self, command: Command) -> dict[str, Any]:
        status = self.bot.status()
        return {
            "text": status.state,
            "waiting_for": status.waiting_for,
            "streams": dict(status.streams),
            "not_flat": [str(leg) for leg in self.kill_switch.open] if self.state.killed else [],
            "accounts": [
                {
                    "account": each.account,
                    "exchange": each.exchange,
                    "balance": None if each.balance is None else str(each.balance.equity),
                    "currency": "" if each.balance is None else each.balance.currency,
                    "halted": each.halted,
                }
                for each in status.accounts
            ],
        }


def _account(command: Command) -> str | None:
    account = command.arguments.get("account")
    return None if account is None else str(account)


def _result(said: str | dict[str, Any]) -> dict[str, Any]:
    return {"text": said} if isinstance(said, str) else said
