"""Commands through the database: polled, each taken once and executed once, the result written where it was asked."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import anyio
import anyio.abc

from fundingarb.domain.control import AuditEntry, Command, CommandKind, plain
from fundingarb.domain.hedge import CloseReason, Hedge
from fundingarb.engine.deeds import Deeds
from fundingarb.engine.durable import in_time
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.resolve import Resolution
from fundingarb.engine.state import BotState
from fundingarb.errors import ConfigError, FundingArbError, StoreError, VersionConflict
from fundingarb.ports import BotStatus, Clock, ConfigDesk, Store
from fundingarb.ports.configuring import with_setting
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.commands")

#: Real seconds between two looks.
POLL = 0.5
#: Real seconds between two lines of progress of a kill.
PROGRESS = 0.5
#: A command that allows risk again is not executed when it is older than this many real seconds.
STALE = 60.0

RISKY = (
    CommandKind.RELEASE,
    CommandKind.UNPAUSE,
    CommandKind.ACCEPT,
    CommandKind.FLATTEN,
    CommandKind.OPEN,
    CommandKind.TOLERANCE,
    CommandKind.CONFIGURE,
)
#: What is done also when it cannot be written down before.
WITHOUT_STORE = (CommandKind.CLOSE, CommandKind.PAUSE)


@dataclass
class CommandDesk:
    """Looks for commands every half second, and whether somebody has latched the kill switch in the database.

    ``unreadable`` is why the last look failed; None when it did not. A command that was taken is remembered until the
    database, read after its result was written, does not list it any more.
    """

    status: Callable[[], BotStatus]
    deeds: Deeds
    state: BotState
    store: Store
    clock: Clock
    kill_switch: KillSwitch
    resolution: Resolution
    config: ConfigDesk | None = None
    unreadable: str | None = None
    _taken: set[UUID] = field(default_factory=set)
    _asked: set[UUID] = field(default_factory=set)
    _over: set[UUID] = field(default_factory=set)
    _unnoted: list[AuditEntry] = field(default_factory=list)
    _answered: dict[UUID, Command] = field(default_factory=dict)
    _latched: set[UUID] = field(default_factory=set)
    _pausing: str | None = None
    _tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                while True:
                    try:
                        await self.look(tasks)
                        await self._catch_up()
                        self.unreadable = None
                    except StoreError as error:
                        if self.unreadable is None:
                            log.warning("commands cannot be read: %s", error)
                        self.unreadable = str(error)
                    await anyio.sleep(POLL)
        finally:
            self._tasks = None

    async def _catch_up(self) -> None:
        """What was done while the database did not answer. Raises ``StoreError``."""
        if (actor := self._pausing) is not None:
            await in_time(self.store.set_paused(True, actor, self.clock.now()))
            self._pausing = None if self._pausing == actor else self._pausing
        while self._unnoted:
            entry = self._unnoted[0]
            await in_time(self.store.audit(entry))
            self._unnoted.remove(entry)

    async def note_kill(self, command: Command) -> None:
        """Store a KILL of which the switch is latched already, and see to its result; audited later when the database
        does not answer. It never latches again: it may have been released when it is found there."""
        self._latched.add(command.id)
        if self._tasks is not None:
            self._taken.add(command.id)
        try:
            stored = await in_time(self._submit(command))
        except StoreError as error:
            log.warning("the kill is latched and not noted yet: %s", error)
            self._taken.discard(command.id)
            self._unnoted.append(self._done(command, True, {"text": "latched"}).entry)
        except BaseException:
            self._taken.discard(command.id)
            raise
        else:
            if stored.id == command.id and self._tasks is not None:
                self._tasks.start_soon(self._execute, replace(stored, taken_at=self.clock.now()))

    async def look(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take what was commanded. Raises ``StoreError``."""
        version, over = self.kill_switch.version, set(self._over)
        control = await in_time(self.store.control())
        for memory in (self._over, self._taken, self._asked, self._latched):
            memory -= over
        if control.killed and not self.state.killed and version == self.kill_switch.version:
            actors = [each.actor for each in control.commands if each.kind is CommandKind.KILL]
            await self.kill_switch.latch(next(iter(actors), "the database"))
        for command in control.commands:
            if command.id in self._answered:
                await self._write_late(self._answered[command.id])
                continue
            if command.id in self._taken:
                continue
            kill = command.kind is CommandKind.KILL
            if command.taken_at is not None and not kill and command.id not in self._asked:
                await self._report(command, *self._left_behind(command))
            elif command.taken_at is not None and kill and not control.killed:
                await self._report(command, True, {"text": "released meanwhile"})
            elif command.taken_at is not None or await self._take(command.id):
                self._taken.add(command.id)
                taken = replace(command, taken_at=command.taken_at or self.clock.now())
                tasks.start_soon(self._execute, taken)

    async def _take(self, command_id: UUID) -> bool:
        """Whether the command is ours now. When the database does not say in time it may be, and is then done when it
        is found there."""
        self._asked.add(command_id)
        ours = await in_time(self.store.take_command(command_id, self.clock.now()))
        self._asked.discard(command_id)
        return ours

    async def perform(self, command: Command) -> Command:
        """Store ``command`` and execute it at once; the one with its key that was stored first, when it is done.

        What reduces risk is done also while the database fails or hangs, and noted later; of anything else
        ``StoreError`` is raised, and it is not done. Raises ``ConfigError`` when the key was used for something else.
        """
        if self._tasks is None:
            raise ConfigError("the bot is starting; try again")
        self._taken.add(command.id)
        try:
            stored = await in_time(self._submit(command))
        except StoreError as error:
            if command.kind not in WITHOUT_STORE:
                # should it be stored all the same, that is what is written there: it is not done after all
                self._answered[command.id] = self._done(command, False, {"text": f"not done: {error}"})
                raise
            done = self._answered[command.id] = await self._do(command)
            self._unnoted.append(done.entry)
            return done
        except BaseException:
            self._taken.discard(command.id)  # whoever asked has gone; it is taken when it is found there
            raise
        if stored.id == command.id:
            if self._tasks is None:
                raise ConfigError("the bot has stopped meanwhile; look at what it did when it runs again")
            return await self._have_done(replace(stored, taken_at=self.clock.now()), self._tasks)
        self._taken.discard(command.id)
        if (stored.kind, _plain(stored.arguments)) != (command.kind, _plain(command.arguments)):
            raise ConfigError("this key was used for another command; make a new one")
        while stored.done_at is None:
            await anyio.sleep(PROGRESS)
            stored = await self.store.command(command.key)
        return stored

    async def _submit(self, command: Command) -> Command:
        stored = await self.store.submit_command(command)
        if stored.id == command.id:
            await self.store.take_command(command.id, self.clock.now())
        return stored

    async def _write_late(self, done: Command) -> None:
        """The answer that was given to a command before the database said that it has it. Raises ``StoreError``."""
        await self.store.report_command(done)
        del self._answered[done.id]
        self._over.add(done.id)
        if done.entry in self._unnoted:
            self._unnoted.remove(done.entry)  # noted with the result

    async def _have_done(self, command: Command, tasks: anyio.abc.TaskGroup) -> Command:
        """Execute it in a task of its own: whoever waits for the result may go away."""
        told = anyio.Event()
        results: list[Command] = []
        tasks.start_soon(self._execute, command, results, told)
        await told.wait()
        return results[0]

    async def _execute(
        self, command: Command, results: list[Command] | None = None, told: anyio.Event | None = None
    ) -> None:
        done = await self._do(command)
        if results is not None:
            results.append(done)
        await self._write(done, told)

    async def _do(self, command: Command) -> Command:
        """``command`` with its result."""
        log.info("%s by %s", command.kind.value.lower(), plain(command.actor))
        age = (self.clock.now() - command.created_at) / self.clock.speed
        try:
            if command.kind in RISKY and age > timedelta(seconds=STALE):
                raise ConfigError(f"it is {age.total_seconds():.0f} s old; ask again")
            return self._done(command, True, _result(await self._work[command.kind](command)))
        except FundingArbError as error:
            conflict = {"conflict": True} if isinstance(error, VersionConflict) else {}
            return self._done(command, False, {"text": str(error), **conflict})
        except Exception as error:
            log.exception("command %s failed", command.kind.value)
            return self._done(command, False, {"text": redacted(f"{type(error).__name__}: {error}")})

    def _left_behind(self, command: Command) -> tuple[bool, dict[str, Any]]:
        """What became of a command that was taken when the bot ended: a hedge has the id of the command it is of."""
        if command.kind is CommandKind.OPEN and command.id in self.state.hedges:
            return True, {"text": "opening", "hedge": str(command.id)}
        return False, {"text": "the bot ended while it was at it; look, and ask again"}

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
            CommandKind.OPEN: self._open,
            CommandKind.TOLERANCE: self._tolerance,
            CommandKind.SCAN: self._scan,
            CommandKind.REFRESH: self._refresh,
            CommandKind.CONFIGURE: self._configure,
        }

    def _done(self, command: Command, ok: bool, result: Mapping[str, Any]) -> Command:
        return replace(command, done_at=self.clock.now(), result={"ok": ok, **result})

    async def _report(self, command: Command, ok: bool, result: Mapping[str, Any]) -> None:
        await self._write(self._done(command, ok, result))

    async def _write(self, done: Command, tried: anyio.Event | None = None) -> None:
        """Write the result, as soon as the database takes it; ``tried`` is set when that was tried once."""
        while True:
            try:
                await in_time(self.store.report_command(done))
                self._over.add(done.id)
                return
            except StoreError as error:
                log.warning("result of %s not written: %s", done.kind.value, error)
            finally:
                if tried is not None:
                    tried.set()
            await anyio.sleep(1.0)

    # the commands

    async def _kill(self, command: Command) -> str | dict[str, Any]:
        """Latch, then say how far it is until everything is flat."""
        if command.id not in self._latched:
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
        if not self.state.killed:
            return "released meanwhile"
        seen = self.kill_switch.confirmation()
        return {"text": "flat: no order and no position is left", **({"seen": seen} if seen else {})}

    async def _release(self, command: Command) -> str:
        await self.kill_switch.release(command.actor)
        return "released; entries are possible again once every account matches"

    async def _pause(self, command: Command) -> str:
        """Done also while the database does not answer; it is told as soon as it does."""
        self.deeds.entries(False)
        self._pausing = command.actor
        try:
            await in_time(self.store.set_paused(True, command.actor, self.clock.now()))
            self._pausing = None
        except StoreError as error:
            log.warning("the pause is in memory only: %s", error)
        return "paused; open hedges are looked after as before"

    async def _unpause(self, command: Command) -> str:
        unsaved, self._pausing = self._pausing, None
        try:
            await self.store.set_paused(False, command.actor, self.clock.now())
        except StoreError:
            self._pausing = unsaved or command.actor  # on disk it may be over all the same
            raise
        self.deeds.entries(True)
        return "entries are on again"

    async def _close(self, command: Command) -> str:
        hedge = self._hedge(str(command.arguments.get("hedge", "")))
        reason = CloseReason(command.arguments.get("reason", CloseReason.MANUAL.value))
        self.deeds.close(hedge.id, reason, _version(command))
        return f"closing {hedge.symbol}"

    async def _open(self, command: Command) -> dict[str, Any]:
        """The hedge gets the command's id, so that it is known after a crash what became of the command."""
        symbol, long, short, size = (
            str(command.arguments.get(name, "")) for name in ("symbol", "long", "short", "size_usd")
        )
        made = await self.deeds.open(symbol, long, short, _amount(size), command.id)
        return {"text": f"opening {symbol}", "hedge": str(made)}

    async def _tolerance(self, command: Command) -> dict[str, Any]:
        hedge = self._hedge(str(command.arguments.get("hedge", "")))
        changed = await self.deeds.tolerate(
            hedge.id, str(command.arguments.get("tolerance", "")), _version(command)
        )
        text = f"{hedge.symbol} is kept down to {changed.intent.tolerance}"
        return {"text": text, "version": changed.intent.version}

    async def _scan(self, command: Command) -> str:
        self.deeds.scan()
        return "looking at every symbol"

    async def _refresh(self, command: Command) -> str:
        self.deeds.refresh()
        return "reading every account"

    async def _configure(self, command: Command) -> dict[str, Any]:
        """Settings by dotted path, an earlier revision, or the file as it is now: put in force, written and audited."""
        if self.config is None:
            raise ConfigError("this bot was put together by a program; change its configuration there")
        wanted = command.arguments.get("set")
        if command.arguments.get("reload"):
            applied = await self.config.reload(command.actor)
        elif command.arguments.get("rollback") is not None:
            applied = await self.config.rollback(int(command.arguments["rollback"]), command.actor)
        elif isinstance(wanted, Mapping):
            document = self.config.document()
            for path, value in wanted.items():
                document = with_setting(document, str(path).split("."), value)
            applied = await self.config.apply(document, command.actor, self.config.revision)
        else:
            raise ConfigError("nothing to change was named")
        changes = [
            {"path": each.path, "before": each.before, "after": each.after, "restart": each.restart}
            for each in applied.changes
        ]
        return {"text": f"revision {applied.revision}", "revision": applied.revision, "changes": changes}

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
        status = self.status()
        return {
            "text": status.state,
            "waiting_for": status.waiting_for,
            "streams": dict(status.streams),
            "not_flat": [str(leg) for leg in self.kill_switch.open] if self.state.killed else [],
            "failed_services": dict(status.failed_services),
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


def _version(command: Command) -> int | None:
    version = command.arguments.get("version")
    return None if version is None else int(version)


def _amount(text: str) -> Decimal:
    """US dollars. Raises ``ConfigError``."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise ConfigError("the size is not an amount; write US dollars, such as 500")
    return amount


def _plain(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in arguments.items() if value is not None}


def _result(said: str | dict[str, Any]) -> dict[str, Any]:
    return {"text": said} if isinstance(said, str) else said
