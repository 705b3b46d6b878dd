"""Commanding a bot from outside: one that runs, one that hangs, or none at all.

A command is a row in the bot's database. A bot that runs takes it within a second. Where none does, this process takes
the lease (ending a bot that hangs first) and becomes the bot itself for as long as the command needs: there is one way
in which anything is closed.
"""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread

from fundingarb.app import Extras, Surroundings, open_accounts, open_bot
from fundingarb.config import Config
from fundingarb.domain.control import AuditEntry, Command, CommandKind
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.order import ExchangePosition, OrderReport
from fundingarb.errors import ConfigError, ExchangeError, FundingArbError, RateLimited, StoreError
from fundingarb.golive import LiveSwitch
from fundingarb.plugins import Plugins
from fundingarb.ports import Checkpoint, Clock, Secret
from fundingarb.process import Process, end, running
from fundingarb.store import LeaseRow, SqlStore, hold_lease, open_store, revision_of

Say = Callable[[str], None]
T = TypeVar("T")

ACKNOWLEDGE = 5.0
"""Seconds that a bot has to take a command before it counts as hung."""
SILENT = timedelta(seconds=3)
"""How long after its lease should have been confirmed a bot counts as hung."""
LOOK = 0.25
"""Seconds between two looks at a command's row."""
NAMED_EVERY = 30.0
"""Seconds after which what is not flat is named again."""
ASK_AGAIN = 10
"""How often a database that does not answer is asked again, a second apart."""
TRY_AGAIN = 1.0
"""Seconds between two attempts to write a command that the database does not take."""
HANGS_WITHIN = 15.0
"""Seconds after which a bot that has stopped answering is known not to: its lease has ended by then."""
READ_SECONDS = 5.0
"""How long an exchange may take before a person is asked without knowing what is there."""
LEAST_WAIT, LONGEST_WAIT = 5.0, 65.0
"""Seconds that an exchange which wants fewer requests is waited for, at once and in all, where nothing is pressing."""


class NotFlat(FundingArbError):
    """Something is still open, so the kill switch stays latched."""


class BotUnreachable(FundingArbError):
    """A bot holds the accounts and does not answer, and cannot be ended from here."""


def confirm_identity(config: Config, around: Surroundings, what: str) -> None:
    """Make sure that whoever asks may do ``what``: the master password opens the vault. A localnet has no owner.

    Raises ``ConfigError``.
    """
    if config.network == "localnet":
        return
    if around.unlock is None:
        raise ConfigError(
            f"{what} on network {config.network} takes the master password of the credentials vault"
        )
    around.unlock()


@dataclass(frozen=True)
class Holdings:
    """What is on one account: positions and open orders, or why that could not be read."""

    account: str
    exchange: str
    positions: Sequence[ExchangePosition] = ()
    orders: Sequence[OrderReport] = ()
    problem: str | None = None


class Panel:
    """The database of one configuration, seen from outside its bot."""

    def __init__(self, config: Config, around: Surroundings, plugins: Plugins, store: SqlStore) -> None:
        self.config = config
        self.plugins = plugins
        self.around = around
        self.store = store
        self.actor = f"cli:{_user()}"

    # who runs

    async def holder(self) -> Process | None:
        """The process that trades on this database, as far as can be seen from here; None when there is none."""
        for row in await self.store.leases():
            if row.holder is not None and (running(row.holder) or not (row.holder.here or _expired(row))):
                return row.holder
        return None

    async def answers(self) -> bool:
        """Whether a bot runs and confirms its lease."""
        for row in await self.store.leases():
            if row.holder is not None and not _expired(row):
                return running(row.holder) or not row.holder.here
        return False

    # commands

    async def submit(self, kind: CommandKind, **arguments: Any) -> Command:
        """Write a command where the bot looks."""
        now = self.around.clock.now()
        return await self.store.submit_command(
            Command(uuid4(), uuid4().hex, kind, self.actor, now, arguments)
        )

    async def _insist(
        self, say: Say, kind: CommandKind, *, patience: float = float("inf"), **arguments: Any
    ) -> Command | None:
        """Write a command; None when a bot that hangs in the middle of a commit keeps the database from taking it.

        While a bot answers it is tried again for ``patience`` seconds; then the ``StoreError`` is raised.
        """
        give_up = anyio.current_time() + patience
        while True:
            try:
                return await self.submit(kind, **arguments)
            except StoreError as error:
                if not await self.answers():
                    return None
                if anyio.current_time() >= give_up:
                    raise
                say(f"{kind.value.lower()} not stored yet: {error}")
            await anyio.sleep(TRY_AGAIN)

    async def taken(self, command: Command) -> bool:
        """Whether the bot takes ``command`` within ``ACKNOWLEDGE`` seconds."""
        with anyio.move_on_after(ACKNOWLEDGE):
            while await self.answers() or await self.holder() is not None:
                if (await self.store.command(command.key)).taken_at is not None:
                    return True
                await anyio.sleep(LOOK)
        return False

    async def follow(self, command: Command, say: Say, *, attending: bool = False) -> Command | None:
        """Say how far ``command`` is until it is done; None when the bot that had it answers no more.

        While this process is the bot (``attending``) it is not asked whether it answers: it may be slow, and goes on.
        What is new is said at once, and all that is not flat again every ``NAMED_EVERY`` seconds.
        """
        said: set[str] = set()
        again = anyio.current_time() + NAMED_EVERY
        while True:
            command = await self._row(command)
            if anyio.current_time() >= again:
                said.clear()
                again = anyio.current_time() + NAMED_EVERY
            for line in () if command.done_at is not None else _progress(command):
                if line not in said:
                    say(line)
                said.add(line)
            if command.done_at is not None:
                return command
            if not attending and not await self.answers():
                return None
            await anyio.sleep(LOOK)

    async def _row(self, command: Command) -> Command:
        """The row of ``command``; a database that does not answer at once is asked again."""
        for _ in range(ASK_AGAIN):
            try:
                return await self.store.command(command.key)
            except StoreError:
                await anyio.sleep(1.0)
        return await self.store.command(command.key)

    async def take_over(self, say: Say) -> None:
        """End the bot that holds the lease and does not answer, once it is certain which process that is.

        Raises ``BotUnreachable``, and ``ConfigError`` when whoever asks may not.
        """
        holder = await self.holder()
        if holder is None:
            return
        if not holder.here:
            raise BotUnreachable(
                f"the bot is {holder} and does not answer; end it there, then run this command again"
            )
        await anyio.to_thread.run_sync(confirm_identity, self.config, self.around, "ending a bot that hangs")
        say(f"the bot ({holder}) does not answer; ending it")
        if not await anyio.to_thread.run_sync(end, holder):
            raise BotUnreachable(
                f"the bot ({holder}) does not answer and cannot be ended by you; end it yourself"
            )

    @asynccontextmanager
    async def attending(self, say: Say) -> AsyncIterator[None]:
        """Be the bot, with its logs, only looking after what is open, until the block is left."""
        from fundingarb.panel.logs import logs_of_a_bot  # structlog is loaded for a bot only

        with logs_of_a_bot(self.config, say):
            async with open_bot(self.config, self.around, self.plugins, Extras(caretaker=say)) as bot:
                bot.state.paused = True
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(bot.run)
                    yield
                    bot.stop()

    async def have_done(self, kind: CommandKind, say: Say, **arguments: Any) -> Mapping[str, Any]:
        """Have a command executed by the bot that runs, or by this process when none does; its result.

        Raises ``BotUnreachable`` when one runs and does not answer (only a kill ends it).
        """
        command = await self._insist(say, kind, patience=HANGS_WITHIN, **arguments)
        done = await self.follow(command, say) if command and await self.taken(command) else None
        if done is None:
            holder = await self.holder()
            if holder is not None:
                raise BotUnreachable(
                    f"the bot ({holder}) does not answer; fundingarb kill ends it and flattens"
                )
            if command is None:
                command = await self.submit(kind, **arguments)
            async with self.attending(say):
                done = await self.follow(command, say, attending=True)
        return (done.result if done else None) or {"ok": False, "text": "the bot ended while it was at it"}

    # kill and release

    async def kill(self, say: Say) -> None:
        """Latch, then see to it that everything is flat, whoever has to do it."""
        command = await self._latch(say)
        if command is not None and await self.taken(command) and await self._followed(command, say):
            return
        await self.take_over(say)
        if command is None:
            command = await self.submit(CommandKind.KILL)
            say("kill switch latched")
        say("no bot is running: closing everything from here")
        async with self.attending(say):
            await self._followed(command, say, attending=True)

    async def _latch(self, say: Say) -> Command | None:
        command = await self._insist(say, CommandKind.KILL)
        if command is not None:
            say("kill switch latched")
        return command

    async def _followed(self, command: Command, say: Say, *, attending: bool = False) -> bool:
        done = await self.follow(command, say, attending=attending)
        if done is not None and done.result is not None:
            for line in (*done.result.get("seen", ()), done.result["text"]):
                say(str(line))
        return done is not None

    # pause, and going on after a pause or a kill

    async def pause(self, say: Say) -> str:
        """Open nothing more; what is open is looked after as before."""
        if await self.holder() is not None:
            return await self._done(CommandKind.PAUSE, say)
        await self._switch_entries(CommandKind.PAUSE, off=True)
        return "paused; the next fundingarb run opens nothing until fundingarb resume"

    async def resume(self, say: Say) -> str:
        """Release the kill switch, or where it is not latched end a pause. Raises as ``release``."""
        latch, pause = await self.store.latch(), await self.store.pause()
        paused = pause is not None and pause.on
        if latch is not None and latch.on:
            said = await self.release(say)
            return f"{said}; entries stay paused: run fundingarb resume once more" if paused else said
        if not paused:
            raise ConfigError(
                "the kill switch is not latched and nothing is paused; there is nothing to resume"
            )
        if await self.holder() is not None:
            return await self._done(CommandKind.UNPAUSE, say)
        await self._switch_entries(CommandKind.UNPAUSE, off=False)
        return "not paused any more; the next fundingarb run trades again"

    async def _done(self, kind: CommandKind, say: Say) -> str:
        result = await self.have_done(kind, say)
        if not result["ok"]:
            raise ConfigError(str(result["text"]))
        return str(result["text"])

    async def _switch_entries(self, kind: CommandKind, *, off: bool) -> None:
        async with hold_lease(self.config.database.url, []):
            await self.store.set_paused(off, self.actor, self.around.clock.now())
        await self.note(kind.value, "done; no bot was running")

    async def note(self, command: str, result: str, **arguments: Any) -> None:
        """Put what was done here, without a bot, into the audit."""
        entry = AuditEntry(self.around.clock.now(), self.actor, command, arguments, True, result)
        await self.store.audit(entry)

    async def release(self, say: Say) -> str:
        """Release the kill switch; raises ``NotFlat`` while something is open, naming it."""
        await anyio.to_thread.run_sync(
            confirm_identity, self.config, self.around, "releasing the kill switch"
        )
        if await self.holder() is not None:
            result = await self.have_done(CommandKind.RELEASE, say)
            if not result["ok"]:
                raise NotFlat(str(result["text"]))
            return str(result["text"])
        async with open_accounts(self.config, self.around, self.plugins) as accounts:
            names = sorted(accounts)
        async with hold_lease(self.config.database.url, names):
            still = [line for found in await self.holdings(patient=True) for line in _open(found)]
            if still:
                raise NotFlat(f"not flat: {'; '.join(still)}; run fundingarb kill first")
            await self._finish_kills()
            await self.store.set_killed(False, self.actor, self.around.clock.now())
            await self.note(CommandKind.RELEASE.value, "released; no bot was running")
        return "released; the next fundingarb run trades again"

    async def _finish_kills(self) -> None:
        """Kills that nobody has executed are not to be executed by the next bot."""
        now = self.around.clock.now()
        for command in (await self.store.control()).commands:
            if command.kind is CommandKind.KILL:
                result = {"ok": True, "text": "released meanwhile"}
                await self.store.report_command(
                    Command(
                        command.id, command.key, command.kind, command.actor, command.created_at,
                        command.arguments, command.taken_at or now, now, result,
                    )
                )  # fmt: skip

    # looking

    async def holdings(self, *, patient: bool = False) -> list[Holdings]:
        """What is on every configured account now; ``patient`` waits where an exchange wants fewer requests."""
        found: dict[str, Holdings] = {}

        async def read(name: str, adapter: Any) -> Holdings:
            with anyio.move_on_after(READ_SECONDS):
                orders = await adapter.get_open_orders()
                return Holdings(name, adapter.name, await adapter.get_positions(), orders)
            return Holdings(name, adapter.name, problem="it does not answer")

        async def look(name: str, adapter: Any) -> None:
            try:
                once = partial(read, name, adapter)
                found[name] = await (patiently(once) if patient else once())
            except ExchangeError as error:
                found[name] = Holdings(name, adapter.name, problem=str(error))

        async with (
            open_accounts(self.config, self.around, self.plugins) as accounts,
            anyio.create_task_group() as tasks,
        ):
            for name, adapter in accounts.items():
                tasks.start_soon(look, name, adapter)
        return [found[name] for name in sorted(found)]

    async def hedges(self) -> list[Hedge]:
        """Live hedges as they are stored."""
        checkpoint: Checkpoint = await self.store.glance()
        return [hedge for hedge in checkpoint.hedges if hedge.live]


@asynccontextmanager
async def open_panel(
    config: Config, around: Surroundings, plugins: Plugins, *, create: bool = False
) -> AsyncIterator[Panel]:
    """The panel of ``config``. Raises ``ConfigError`` when there is no database yet, unless it may be created."""
    url = config.database.url
    if not create and await anyio.to_thread.run_sync(revision_of, url) is None:
        raise ConfigError("there is no database yet: no bot has run with this configuration (database.url)")
    async with open_store(url, around.clock) as store:
        yield Panel(config, around, plugins, store)


@asynccontextmanager
async def open_switch(
    config: Config, clock: Clock, vault: Path, key: Secret
) -> AsyncIterator[tuple[LiveSwitch, str]]:
    """The switch to live trading of a simulation, and who turns it. Raises ``ConfigError`` without a database."""
    url = config.database.url
    if await anyio.to_thread.run_sync(revision_of, url) is None:
        raise ConfigError("there is no database yet: no bot has run with this configuration (database.url)")
    async with open_store(url, clock) as store:
        yield LiveSwitch(store, clock, lambda: config, vault, key), f"cli:{_user()}"


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What ``read`` answers, asking again for a while when the exchange wants fewer requests."""
    waited = 0.0
    while True:
        try:
            return await read()
        except RateLimited as error:
            pause = max(error.retry_after, LEAST_WAIT)
            waited += pause
            if waited > LONGEST_WAIT:
                raise
            await anyio.sleep(pause)


def _progress(command: Command) -> list[str]:
    """How far a kill is: the legs that are open, and while there are any the accounts that are flat."""
    result = command.result or {}
    legs = result.get("legs", ())
    return [f"not flat: {leg}" for leg in legs] + [f"flat: {name}" for name in result.get("flat", ()) if legs]


def _open(found: Holdings) -> list[str]:
    """What keeps an account from being flat, as lines."""
    where = f"{found.exchange} ({found.account})"
    if found.problem is not None:
        return [f"{where} positions and orders unknown: {found.problem}"]
    return [
        *(f"{where} {position.symbol} {position.quantity}" for position in found.positions),
        *(
            f"{where} {order.symbol} order {order.client_id or order.exchange_order_id}"
            for order in found.orders
        ),
    ]


def _expired(row: LeaseRow) -> bool:
    return datetime.now(timezone.utc) > row.expires_at + SILENT


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
