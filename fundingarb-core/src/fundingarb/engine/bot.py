"""The bot: feeds, accounts, loop, alerts and services on one task group."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

import anyio
import anyio.abc
import anyio.lowlevel

from fundingarb.domain.hedge import Hedge
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.pnl import HedgePnl, hedge_pnl
from fundingarb.engine.account_feed import AccountFeed
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.adopt import Parts
from fundingarb.engine.alerts import Announcer, lease_lost, left_unhedged
from fundingarb.engine.bus import Bus
from fundingarb.engine.checks import AccountChecks
from fundingarb.engine.commands import CommandDesk
from fundingarb.engine.deadman import DeadMan
from fundingarb.engine.deeds import Deeds
from fundingarb.engine.durable import START_SECONDS, in_time
from fundingarb.engine.ending import STOP_UNEVEN, settle, tell
from fundingarb.engine.entries import Entries
from fundingarb.engine.executor import Executor
from fundingarb.engine.flatten import Flattener
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.guards import GuardWatch
from fundingarb.engine.handle import Handle
from fundingarb.engine.health import HealthWatch
from fundingarb.engine.kill import KillSwitch
from fundingarb.engine.listings import ListingWatch
from fundingarb.engine.markets import Markets
from fundingarb.engine.outbox import Outbox
from fundingarb.engine.peg import PegWatch
from fundingarb.engine.preflight import Preflight
from fundingarb.engine.reactions import Reactions
from fundingarb.engine.refusals import Refusals
from fundingarb.engine.resolve import Resolution
from fundingarb.engine.settlements import Settlements
from fundingarb.engine.startup import Startup
from fundingarb.engine.state import BotState, SoleProcess
from fundingarb.engine.store_health import StoreHealth
from fundingarb.engine.supervisor import keep_running
from fundingarb.engine.takeup import take_up
from fundingarb.engine.terms import FundingTermsWatch
from fundingarb.engine.trading import TradingLoop
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import LeaseTaken, StoreError
from fundingarb.ports import (
    AlertSink,
    Clock,
    ClosingRule,
    ConfigDesk,
    ExchangeAdapter,
    Guard,
    Lease,
    ListeningSink,
    LiveDesk,
    OrderGuard,
    Owner,
    RiskRule,
    Service,
    Store,
    Strategy,
)

log = logging.getLogger("fundingarb.bot")

#: Real seconds at most before an account is read again after a failure: a leg may have lost its partner meanwhile.
READ_AGAIN = 2.0


@dataclass
class BotParts:
    """Everything a bot is made of, opened. ``market_data`` adapters have no account; ``accounts`` map names.

    ``rights_accepted`` are the accounts whose owner answers for keys of which the exchange does not tell the rights.
    """

    clock: Clock
    store: Store
    settings: TradingSettings
    strategy: Strategy
    market_data: Mapping[str, ExchangeAdapter]
    accounts: Mapping[str, ExchangeAdapter]
    network: str = "localnet"
    rights_accepted: Collection[str] = ()
    lease: Lease = field(default_factory=SoleProcess)
    rules: Sequence[RiskRule] = ()
    sinks: Mapping[str, AlertSink] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    config: ConfigDesk | None = None
    live: LiveDesk | None = None
    owner: Owner | None = None
    new_id: Callable[[], UUID] = uuid4


class Bot(Handle):
    """A running bot (``ports.BotHandle``). ``async with bot.running():`` or ``await bot.run()``."""

    def __init__(self, parts: BotParts) -> None:
        self.parts = parts
        self.clock = parts.clock
        self.store = parts.store
        self.bus = Bus()
        self.state = BotState(lease=parts.lease, instance=parts.settings.instance)
        self.markets = Markets(self.clock, self.bus.publish, self._wake)
        self.settings = parts.settings.for_speed(self.clock.speed)
        self.announcer = Announcer(self.bus)
        self.readers: dict[str, AccountReader] = {}
        self.gates: dict[str, RequestGate] = {}
        self.network, self.market_data = parts.network, parts.market_data
        self.new_id, self.config, self.live = parts.new_id, parts.config, parts.live
        self.owner = parts.owner
        self.started_at = self.clock.now()
        self.ready = anyio.Event()
        self.loop: TradingLoop
        self.store_health: StoreHealth
        self.executor: Executor
        self.parts_in_use: Parts
        self.kill_switch: KillSwitch
        self.commands: CommandDesk
        self.deeds: Deeds
        self.settlements: Settlements
        self._stop = anyio.Event()
        self._last_failure: dict[str, str] = {}
        self._replaced_by: str | None = None

    def _wake(self) -> None:
        loop = getattr(self, "loop", None)
        if loop is not None:
            loop.wake()

    # running

    async def run(self) -> None:
        """Run until ``stop`` is called, which cancels resting entries first. Being cancelled is like a crash: the
        next start resolves what was under way. Raises ``LeaseTaken`` when another process has taken over."""
        checkpoint = await in_time(self.store.load(), START_SECONDS)
        take_up(checkpoint, self.state, self.parts.accounts, self.settings, self.clock)
        for hedge in [each for each in self.state.hedges.values() if each.taken or not each.finished]:
            self.state.note_taken(hedge, await in_time(self.store.fills(hedge.id), START_SECONDS))
        for exchange, adapter in self.parts.market_data.items():
            self.gates[exchange] = RequestGate(
                exchange, adapter.limits, self.clock, on_breaker=self._breaker_handler(exchange)
            )
        async with anyio.create_task_group() as tasks:
            self._compose(tasks)
            reactions = Reactions(
                self.state, self.markets, self.store, self.bus, self.clock, self.settings, self.announcer,
                self._wake, self.pnl,
            )  # fmt: skip
            tasks.start_soon(self._keep_lease, tasks.cancel_scope)
            await tasks.start(reactions.watch_events)
            outbox = Outbox(self.store, self.bus, self.clock, self.parts.sinks, self.store_health.answered)
            await tasks.start(outbox.run)
            await reactions.remember_liquidations()
            pegs = PegWatch(self.state, self.markets, self.parts.market_data, self.gates, self.clock)
            health = HealthWatch(
                self.settings.margin, self.state, self.readers, self.markets, self.clock, self.announcer
            )
            listings = ListingWatch(
                self.state, self.markets, self.bus, self.clock, self.settings.delisting_close
            )
            tasks.start_soon(keep_running, "listings", listings.run, self.clock, self._failed)
            terms = FundingTermsWatch(
                self.state, self.markets, self.bus, self.clock, self.settings.rules.horizon,
                self.settings.settlement_guard, self.settings.forecast,
            )  # fmt: skip
            guards = self._guards()
            startup = Startup(
                self.state, self.parts.market_data, self.gates, self.markets, self.readers, self.loop,
                self.settings, self.clock, self._failed,
            )  # fmt: skip
            self.parts_in_use = Parts(
                self.loop,
                self.executor,
                reactions,
                health,
                listings,
                terms,
                self.settlements,
                guards,
                startup,
            )
            for label, watch in (
                ("guards", guards.run), ("margin", health.run), ("funding terms", terms.run),
                ("pegs", pegs.run),
            ):  # fmt: skip
                tasks.start_soon(keep_running, label, watch, self.clock, self._failed)
            await self.settlements.load()
            self._start_readers(tasks)
            tasks.start_soon(self.kill_switch.run)
            tasks.start_soon(self.commands.run)
            await self._listen()
            await startup.run(tasks)
            tasks.start_soon(self.loop.run)
            tasks.start_soon(self.loop.watch_naked)
            tasks.start_soon(keep_running, "settlements", self.settlements.run, self.clock, self._failed)
            if self.parts.services:
                tasks.start_soon(self.lag.run)
            for name, service in self.parts.services.items():
                await service.start(self)
                log.info("%s is up%s", name, f" at {service.url}" if service.url else "")
            self.ready.set()
            await self._stop.wait()
            with anyio.move_on_after(STOP_UNEVEN):
                await settle(self.loop, self.state, self.readers, self.settlements, self.clock)
            with anyio.move_on_after(5.0):
                await outbox.flush()
            for hedge in [each for each in self.state.live() if each.unhedged]:
                await tell(left_unhedged(hedge, self.clock.now()), self.parts.sinks)
            tasks.cancel_scope.cancel()
        if self._replaced_by is not None:
            await tell(lease_lost(self._replaced_by, self.clock.now()), self.parts.sinks)
            raise LeaseTaken(f"{self._replaced_by}; this bot has ended, its hedges are the other one's now")

    async def _listen(self) -> None:
        """Have the sinks take commands. One that makes a mistake there is deaf; the bot goes on."""
        for name, sink in self.parts.sinks.items():
            if isinstance(sink, ListeningSink):
                try:
                    await sink.listen(self)
                except Exception as error:
                    log.exception("alert sink %s takes no commands", name)
                    self._failed(f"alert sink {name}", error)

    async def _keep_lease(self, everything: anyio.CancelScope) -> None:
        """When another process has the lease, this one does nothing more, not even tidy up: it is all the other's."""
        self._replaced_by = await self.state.lease.keep()
        everything.cancel()

    def adopt(self, settings: TradingSettings, strategy: Strategy, rules: Sequence[RiskRule]) -> None:
        """Put other settings, another strategy and other rules in force, between two decisions."""
        self.settings = settings.for_speed(self.clock.speed)
        self.parts_in_use.adopt(self.settings, strategy, rules)

    async def unlisted(self, symbols: Collection[str]) -> set[str]:
        """Those of ``symbols`` that no exchange lists. Raises ``ExchangeError`` when one does not answer."""
        return await self.parts_in_use.startup.unlisted(symbols)

    def stop(self) -> None:
        """Ask for a clean end: entries off, resting entries cancelled, open hedges stay open."""
        self._stop.set()

    def _compose(self, tasks: anyio.abc.TaskGroup) -> None:
        for account in self.state.accounts.values():
            self.readers[account.name] = AccountReader(
                account, self.state, self.gates[account.exchange], self.store, self.bus, self.clock, self._wake,
                self.started_at, self.settings.margin_mode,
            )  # fmt: skip
        self.settlements = Settlements(
            self.state, self.markets, self.store, self.bus, self.clock, self.announcer, self._want_payments,
            self.settings.funding_patience, self.settings.funding_tolerance,
        )  # fmt: skip
        self.executor = Executor(
            self.state, self.gates, self.clock, tasks, self._wake,
            [rule for rule in self.parts.rules if isinstance(rule, OrderGuard)],
        )  # fmt: skip
        self.store_health = StoreHealth(self.announcer, self.clock)
        self.loop = TradingLoop(
            state=self.state,
            markets=self.markets,
            store=self.store,
            store_health=self.store_health,
            bus=self.bus,
            clock=self.clock,
            settings=self.settings,
            entries=self._entries(tasks),
            readers=self.readers,
            executor=self.executor,
            announcer=self.announcer,
            period=min(0.5, 20 / self.clock.speed) if self.clock.speed > 1 else 0.5,
        )
        flatteners = {
            name: Flattener(
                account, self.state, self.gates[account.exchange], self.store, self.bus, self.clock,
                self.settings.instance, partial(self._instrument, account.exchange),
                partial(self.markets.doubt, account.exchange),
            )
            for name, account in self.state.accounts.items()
        }  # fmt: skip
        self.kill_switch = KillSwitch(
            self.state, self.store, self.bus, self.clock, flatteners, self.loop.close, self._reread
        )
        resolution = Resolution(self.state, self.store, self.clock, self.readers, flatteners)
        self.deeds = Deeds(
            self.state, self.markets, self.loop, self.bus, self.clock, self.readers, lambda: self.settings
        )
        self.commands = CommandDesk(
            self.status,
            self.deeds,
            self.state,
            self.store,
            self.clock,
            self.kill_switch,
            resolution,
            self.config,
        )

    def _entries(self, tasks: anyio.abc.TaskGroup) -> Entries:
        refusals = Refusals(self.bus, self.clock)
        preflight = Preflight(
            self.state, self.gates, self.clock, tasks, self.settings.margin_mode, refusals.add, self._wake,
            lambda account: self.readers[account].want(positions=True),
        )  # fmt: skip
        return Entries(
            self.state, self.markets, self.clock, self.settings, self.parts.strategy, self.parts.rules,
            self.announcer, self.store_health, preflight, refusals, self.parts.new_id, self.settings.max_new_hedges,
        )  # fmt: skip

    def _instrument(self, exchange: str, symbol: str) -> Instrument | None:
        return self.markets.instruments.get((exchange, symbol))

    def _reread(self) -> None:
        for reader in self.readers.values():
            reader.unread()

    def _start_readers(self, tasks: anyio.abc.TaskGroup) -> None:
        for account in self.state.accounts.values():
            reader = self.readers[account.name]
            sink = AccountFeed(self.state, self.markets, reader, self.clock, self._wake)
            events = partial(account.adapter.stream_account, sink)
            checks = AccountChecks(
                account, self.gates[account.exchange], self.bus, self.clock, self.parts.network, self._wake,
                account.name in self.parts.rights_accepted,
            )  # fmt: skip
            jobs: list[tuple[str, Callable[[], Awaitable[None]]]]
            jobs = [("events", events), ("reader", reader.run), ("positions", reader.watch_positions)]
            jobs += [("clock", checks.watch_clock), ("key", checks.watch_key)]
            if account.adapter.dead_man:
                timer = DeadMan(account, self.state, self.gates[account.exchange], self.clock)
                jobs.append(("timer", timer.run))
            for label, job in jobs:
                tasks.start_soon(
                    keep_running, f"{account.name}.{label}", job, self.clock, self._failed, 0.2, READ_AGAIN
                )

    def _guards(self) -> GuardWatch:
        guards = [rule for rule in self.parts.rules if isinstance(rule, Guard)]
        closers = [rule for rule in self.parts.rules if isinstance(rule, ClosingRule)]
        return GuardWatch(
            guards, self.state, self.markets, self.store, self.bus, self.clock, self.announcer, self.pnl,
            self.kill, closers, self.loop.close,
        )  # fmt: skip

    def _want_payments(self, account: str) -> None:
        if account in self.readers:
            self.readers[account].want(payments=True)

    # what happened

    def _breaker_handler(self, exchange: str) -> Callable[[bool], None]:
        def changed(is_open: bool) -> None:
            (self.state.down.add if is_open else self.state.down.discard)(exchange)
            self.announcer.breaker(exchange, is_open, self.clock.now())
            for account in self.state.accounts.values():
                if account.exchange == exchange:
                    self.readers[account.name].unread()
            self._wake()

        return changed

    def _failed(self, task: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if self._last_failure.get(task) != text:
            log.warning("%s: %s", task, text)
        self._last_failure[task] = text
        if isinstance(error, StoreError):
            self.store_health.books_failed(str(error))

    def service_failed(self, name: str, reason: str) -> None:
        """A service has ended by itself; trading goes on without it."""
        self.state.failed_services[name] = reason
        self.announcer.service_failed(name, reason, self.clock.now())

    # what others ask

    async def pnl(self, hedge: Hedge) -> HedgePnl:
        """The account of ``hedge`` from what is booked. Raises ``StoreError``."""
        return hedge_pnl(
            hedge,
            await in_time(self.store.fills(hedge.id)),
            await in_time(self.store.payments(hedge.id)),
            await in_time(self.store.settlements(hedge.id)),
        )

    def allow_hedges(self, more: int) -> None:
        """Raise the number of hedges that may still be opened, where it is limited."""
        self.loop.entries.count(more)
        self._wake()
