"""Carrying out a schedule's strikes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import anyio
import anyio.abc

from fundingarb.domain.control import Subject
from fundingarb.domain.hedge import Hedge, LegState
from fundingarb.domain.reconcile import expected_positions
from fundingarb.engine.bot import Bot
from fundingarb.errors import ConfigError, FundingArbError, StoreError
from fundingarb.localnet.faults import IMMEDIATE, Fault, FaultKind
from fundingarb.localnet.truth.types import OrderRequest, OrderType, Refused, Side, TimeInForce
from fundingarb.simulation.coverage import Coverage, stages_of
from fundingarb.simulation.network import SimExchange
from fundingarb.simulation.rules import base_units
from fundingarb.simulation.schedule import COMMITS, ENTERING, Strike
from fundingarb.simulation.stages import Stage, stage_of
from fundingarb.simulation.store import Failing
from fundingarb.simulation.tripwire import Tripwire
from fundingarb.simulation.world import World

log = logging.getLogger("fundingarb.simulation")

LOOKS_EVERY = 1.0
"""Seconds between two looks of the operator at what differs."""
LASTING = ("clock_skew", "maintenance")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a strike goes, and the hedge it is aimed at, if it is aimed at one."""

    exchange: SimExchange
    account: str | None
    symbol: str | None
    hedge: Hedge | None


class Harm:
    """Watches the stages of a world and strikes; ``coverage`` counts what came of it.

    ``waiting`` is, at the end, what never struck: no hedge reached the stage.
    """

    def __init__(self, world: World, strikes: Sequence[Strike], tasks: anyio.abc.TaskGroup) -> None:
        self.world = world
        self.coverage = Coverage(world)
        self.struck: list[tuple[Strike, float]] = []
        self.stopped = False
        self._tasks = tasks
        self._begin = world.clock.monotonic()
        self._failing: list[tuple[Failing, UUID | None]] = []
        self._by_hand: set[tuple[str, str, str]] = set()
        self._armed = [strike for strike in strikes if strike.stage is not None]
        self.waiting: list[Strike] = []
        world.on_stage.append(self._reached)
        world.store.fate = self._fate
        for strike in strikes:
            if strike.stage is None:
                tasks.start_soon(self._later, strike, strike.at, None)

    # when

    def _reached(self, hedge: Hedge, stage: Stage) -> None:
        """A hedge reached a stage: strike if something waits for it."""
        seconds = self.world.clock.monotonic() - self._begin
        for strike in list(self._armed):
            fits = strike.symbol in (None, hedge.symbol)
            if strike.stage == stage.value and strike.at <= seconds and fits and not _of_a_commit(strike):
                self._armed.remove(strike)
                self._tasks.start_soon(self._later, strike, strike.delay, hedge)

    def _fate(self, ids: Collection[UUID]) -> Failing | None:
        """How a commit of these hedges fails: the one that brings a hedge into its stage, the next of one struck."""
        bot, seconds = self.world.bot, self.world.clock.monotonic() - self._begin
        if bot is None or self.stopped:
            return None
        for waiting in self._failing:
            if waiting[1] is None or waiting[1] in ids:
                self._failing.remove(waiting)
                return waiting[0]
        for hedge in [bot.state.hedges[one] for one in sorted(ids) if one in bot.state.hedges]:
            stage = stage_of(hedge, killed=bot.state.killed).value
            for strike in self._armed:
                aimed = _of_a_commit(strike) and strike.stage == stage and strike.at <= seconds
                if aimed and strike.symbol in (None, hedge.symbol):
                    self._armed.remove(strike)
                    self._note(strike)
                    return self._begin_with(strike, hedge)
        return None

    def _begin_with(self, strike: Strike, hedge: Hedge) -> Failing:
        """What starts with a commit of ``hedge``."""
        how: Failing = strike.kind  # type: ignore[assignment]
        self.coverage.begin(how, "", hedge)
        if how == "db_down":
            self.world.store.down = True
            self._tasks.start_soon(self._do_db_down, strike)
        elif how == "db_hang":
            self.world.store.hang(strike.lasts)
        else:
            self._failing += [(how, hedge.id)] * ((strike.count or 1) - 1)
        return how

    def _note(self, strike: Strike) -> None:
        self.struck.append((strike, self.world.clock.monotonic() - self._begin))
        self.world.trace.add(f"{self.world.clock.time():.6f}", "strike", strike.kind, strike.stage or "")

    def strike(self, strike: Strike, hedge: Hedge) -> None:
        """Strike ``hedge`` now, whatever stage it is in."""
        self._tasks.start_soon(self._later, strike, 0.0, hedge)

    async def _later(self, strike: Strike, seconds: float, hedge: Hedge | None) -> None:
        await anyio.sleep(seconds)
        if self.stopped:
            return
        current = self.world.bot.state.hedges.get(hedge.id) if hedge is not None and self.world.bot else None
        self._note(strike)
        await self._strike(strike, current or hedge)

    # what

    async def _strike(self, strike: Strike, hedge: Hedge | None) -> None:
        leg = None if hedge is None else _leg(hedge, strike.leg)
        account = strike.account or (leg.plan.account if leg is not None else None)
        symbol = strike.symbol or (hedge.symbol if hedge is not None else None)
        target = Target(self._exchange(strike, leg), account, symbol, hedge)
        self.coverage.begin(strike.kind, target.exchange.name, hedge)
        if strike.kind in {kind.value for kind in FaultKind}:
            await self._fault(strike, target)
            return
        await getattr(self, f"_do_{strike.kind}")(strike, target)

    def _exchange(self, strike: Strike, leg: LegState | None) -> SimExchange:
        if strike.exchange is not None:
            if strike.exchange not in self.world.exchanges:
                known = ", ".join(self.world.exchanges)
                raise ConfigError(f"the scenario strikes {strike.exchange}; there are {known}")
            return self.world.exchanges[strike.exchange]
        if leg is not None:
            return self.world.exchanges[leg.plan.instrument.exchange]
        return next(iter(self.world.exchanges.values()))

    async def _fault(self, strike: Strike, target: Target) -> None:
        kind = FaultKind(strike.kind)
        if kind in IMMEDIATE:
            self._immediately(kind, strike, target)
            return
        if kind in (FaultKind.STREAM_DISCONNECT, FaultKind.STREAM_STALL):
            cut = kind is FaultKind.STREAM_DISCONNECT
            if target.exchange.cut_streams() if cut else target.exchange.stall_streams():
                self.coverage.count(strike.kind, target.hedge)
            return
        fault = Fault(
            kind,
            operation=strike.operation if not strike.kind.startswith("frame") else None,
            count=None if strike.kind in LASTING else strike.count,
            seconds=strike.seconds
            if kind is not FaultKind.LATE_ACCEPT
            else strike.seconds * self.world.clock.speed,
            fraction=strike.fraction,
            retry_after=strike.seconds,
        )
        target.exchange.faults.install(fault)
        if kind is FaultKind.CLOCK_SKEW:
            self.coverage.count(strike.kind, target.hedge)
        await anyio.sleep(strike.lasts)
        target.exchange.faults.clear(fault.id)

    def _immediately(self, kind: FaultKind, strike: Strike, target: Target) -> None:
        """What happens at once: prices, forced closes, a new funding interval."""
        exchange, account, symbol = target.exchange, target.account, target.symbol
        truth = exchange.truth
        native = exchange.native(symbol) if symbol is not None else next(iter(truth.instruments))
        for one in self.world.exchanges.values():
            one.sync()
        try:
            if kind is FaultKind.PRICE_GAP:
                for one in self.world.exchanges.values() if strike.leg == "first" else (exchange,):
                    one.truth.move_price(one.native(truth.instruments[native].symbol), factor=strike.factor)
            elif kind is FaultKind.LIQUIDATION and account is not None:
                truth.liquidate(account, native)
            elif kind is FaultKind.ADL and account is not None:
                truth.deleverage(account, native, _part(exchange, account, native, strike.fraction))
            elif kind is FaultKind.FUNDING_INTERVAL:
                truth.set_funding(native, interval_hours=strike.hours)
        except Refused:  # nothing is held there any more
            return
        self.coverage.count(kind.value, target.hedge)

    async def _do_outage(self, strike: Strike, target: Target) -> None:
        target.exchange.outages += 1
        await anyio.sleep(strike.lasts)
        target.exchange.outages = max(0, target.exchange.outages - 1)

    async def _do_broken_promise(self, strike: Strike, target: Target) -> None:
        fault = Fault(
            FaultKind.LATE_ACCEPT,
            operation="order.place",
            count=1,
            seconds=strike.seconds * self.world.clock.speed,
        )
        target.exchange.faults.install(fault)
        await anyio.sleep(strike.lasts)
        target.exchange.faults.clear(fault.id)

    async def _do_crash(self, strike: Strike, target: Target) -> None:
        stage, was_up = self.coverage.stage(target.hedge), self.world.up
        if await self.world.crash(strike.lasts) and was_up:
            self.coverage.count("crash", target.hedge, stage)

    async def _do_db_before(self, strike: Strike, target: Target) -> None:
        self._failing += [("db_before", _id(target.hedge))] * (strike.count or 1)

    async def _do_db_after(self, strike: Strike, target: Target) -> None:
        self._failing.append(("db_after", _id(target.hedge)))

    async def _do_db_hang(self, strike: Strike, _target: Target) -> None:
        self.world.store.hang(strike.lasts)

    async def _do_db_down(self, strike: Strike, _target: Target | None = None) -> None:
        self.world.store.down = True
        await anyio.sleep(strike.lasts)
        self.world.store.down = False

    async def _do_close(self, strike: Strike, target: Target) -> None:
        bot, hedge = self.world.bot, target.hedge
        stage = self.coverage.stage(hedge)
        if bot is not None and self.world.up and hedge is not None and bot.ready.is_set():
            try:
                bot.deeds.close(hedge.id)
            except ConfigError:  # it is over already
                return
            self.coverage.count("close", hedge, stage)

    async def _do_kill(self, strike: Strike, target: Target) -> None:
        bot = self.world.bot
        if bot is not None and self.world.up and bot.ready.is_set():
            stages = stages_of(bot.state.live(), killed=bot.state.killed)
            self.world.monitor.kill(self.world.clock.now())
            await bot.kill("the operator")
            self.coverage.count_all("kill", stages)
        else:
            await self._do_kill_absent(strike, target)

    async def _do_kill_absent(self, strike: Strike, _target: Target) -> None:
        killed = self.world.killed
        self.world.down_until_told()
        while True:
            try:
                now = self.world.clock.now()
                await self.world.store.set_killed(True, "fundingarb kill", now)
                self.world.monitor.kill(now)
                break
            except StoreError:
                await anyio.sleep(0.5)
        stored = [hedge for hedge in await self.world.store.hedges() if hedge.live]
        self.coverage.count_all("kill_absent", stages_of(stored, killed=killed))
        await anyio.sleep(strike.lasts)
        self.world.may_start()

    async def _do_kill_loss(self, strike: Strike, _target: Target) -> None:
        """The limit is reached, and the guard looks: it does so every second, and one of these is now."""
        for rule in self.world.setup.rules:
            if isinstance(rule, Tripwire):
                rule.tripped = True
        bot = self.world.bot
        if bot is None or not self.world.up or not bot.ready.is_set() or bot.state.killed:
            return
        stages = stages_of(bot.state.live(), killed=False)
        try:
            await bot.parts_in_use.guards.look(self.world.clock.now())
        except RuntimeError:  # its tasks are over: it has died meanwhile
            await anyio.sleep(0.01)
            if self._lives(bot):
                raise
        if self.world.killed:
            self.coverage.count_all("kill_loss", stages)

    def _lives(self, bot: Bot) -> bool:
        return self.world.up and self.world.bot is bot

    async def _do_beside(self, strike: Strike, target: Target) -> None:
        """A person's position on the side of the leg; from then on the operator accepts what is a person's there."""
        if target.account is None or target.symbol is None:
            return
        if self._unheard(target.exchange, target.account, target.symbol):
            return  # whose of two it would be, nobody could say
        self.world.monitor.opens_beside = True
        try:
            there = self._trade(target, strike.fraction, opens=True)
        finally:
            self.world.monitor.opens_beside = False
        if not there:
            return
        while True:
            await anyio.sleep(LOOKS_EVERY)
            await self._accept(target.exchange.truth.name, target.account, target.symbol)

    async def _accept(self, exchange: str, account: str, symbol: str) -> None:
        """The operator accepts a difference that is exactly what is somebody else's now, less what he accepted, and
        that more was taken of a leg than it held."""
        bot = self.world.bot
        if bot is None or not self.world.up or not bot.ready.is_set():
            return
        theirs = self.world.monitor.beside.get((exchange, account, symbol), Decimal(0))
        unknown = theirs - bot.state.books(account).foreign(symbol)
        told = bot.readers[account].comparison.differences
        positions = [(one.symbol, one.quantity) for one in told if one.about is not Subject.LEG]
        if told and positions == ([(symbol, unknown)] if unknown else []):
            try:
                await bot.commands.resolution.accept(account, "the operator")
            except FundingArbError as error:
                log.info("accepting: %s", error)

    async def _do_by_hand(self, strike: Strike, target: Target) -> None:
        if target.account is None or target.symbol is None:
            return
        where = (target.exchange.truth.name, target.account, target.symbol)
        if not self.world.monitor.beside.get(where):  # whose of two it would be, nobody could say
            self._by_hand.add(where)
            self._trade(target, strike.fraction, opens=False)

    def _unheard(self, exchange: SimExchange, account: str, symbol: str) -> bool:
        """Whether a person has reduced a leg there and the bot's books are not what the exchange holds."""
        bot, native = self.world.bot, exchange.native(symbol)
        if (exchange.truth.name, account, symbol) not in self._by_hand:
            return False
        if bot is None:
            return True
        exchange.sync()
        contracts = sum((one.quantity for one in exchange.truth.positions(account, native)), Decimal(0))
        held = contracts * base_units(exchange.truth.instruments[native])
        return held != expected_positions(account, bot.state.unfinished()).get(symbol, Decimal(0))

    def _trade(self, target: Target, fraction: float, *, opens: bool) -> bool:
        """A person trades a part of what is held: on its side, or against it; whether anything is held."""
        exchange, account, symbol = target.exchange, target.account, target.symbol
        if account is None or symbol is None:
            return False
        exchange.sync()
        native = exchange.native(symbol)
        held = sum(one.quantity for one in exchange.truth.positions(account, native))
        quantity = _part(exchange, account, native, fraction, beyond=opens)
        if not held or not quantity:
            return False
        side = Side.BUY if (held > 0) is opens else Side.SELL
        request = OrderRequest(
            native, side, quantity, OrderType.MARKET, None, TimeInForce.IOC, reduce_only=not opens
        )
        kind = "beside" if opens else "by_hand"
        try:
            if exchange.truth.place(account, request).filled:
                self.coverage.count(kind, target.hedge)
        except Refused as refused:
            log.info("%s: %s", kind, refused)
        return True

    def stop(self) -> None:
        """Take every fault away: what is installed, and what still waits."""
        self.stopped = True
        self.waiting, self._armed = self._armed, []
        self.world.store.heal()
        for exchange in self.world.exchanges.values():
            exchange.faults.clear()
            exchange.outages = 0


def _of_a_commit(strike: Strike) -> bool:
    """Whether it strikes the very commit that brings a hedge into its stage, not what comes after it."""
    return strike.kind in COMMITS and strike.stage is not None and strike.operation == ENTERING


def _id(hedge: Hedge | None) -> UUID | None:
    return None if hedge is None else hedge.id


def _leg(hedge: Hedge, which: str) -> LegState:
    first = hedge.leg(hedge.intent.first)
    second = hedge.leg(hedge.intent.first.opposite)
    if which == "working":
        return second if not second.idle else first
    if which == "held":
        return first if first.filled > 0 else second
    return second if which == "second" else first


def _part(
    exchange: SimExchange, account: str, native: str, fraction: float, *, beyond: bool = False
) -> Decimal:
    """A fraction of what is held, in whole lots and at least one; no more than is held, unless it may go ``beyond``.
    Zero when nothing is held."""
    held = abs(sum((one.quantity for one in exchange.truth.positions(account, native)), Decimal(0)))
    lot = exchange.truth.instruments[native].lot
    part = max(lot, held * Decimal(str(fraction)) // lot * lot) if held else held
    return part if beyond else min(held, part)
