"""The trading loop: look, decide, commit, act. One task; everything that changes a hedge passes through here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import anyio
import anyio.abc
import anyio.lowlevel

from fundingarb.domain.decide import (
    URGENT,
    Action,
    Cancel,
    CollectFills,
    HedgeMarket,
    LegMarket,
    Place,
    Resolve,
    Retarget,
    SetMode,
    decide,
)
from fundingarb.domain.events import CandidateRefused, HedgeChanged, OrderChanged
from fundingarb.domain.hedge import CloseReason, Hedge, Intent, LegPlan, LegState, Mode, OrderRecord
from fundingarb.domain.netting import netted
from fundingarb.domain.opportunity import HedgePlan, Refusal
from fundingarb.domain.order import OrderState
from fundingarb.domain.risk import Approved, approve, refuse
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus
from fundingarb.engine.clock import elapsed
from fundingarb.engine.durable import COMMIT_SECONDS, Patience, commit
from fundingarb.engine.executor import Executor
from fundingarb.engine.gate import RequestGate
from fundingarb.engine.markets import Markets
from fundingarb.engine.naked import NakedWatch
from fundingarb.engine.preflight import Preflight
from fundingarb.engine.state import BotState
from fundingarb.engine.strays import halt_for_strays, in_the_way
from fundingarb.engine.view import TradingSettings, View
from fundingarb.errors import ConfigError, StoreError
from fundingarb.ports import Batch, Clock, Exit, Proposals, RiskRule, Store, Strategy
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.trading")

#: Real seconds between two looks for what is unhedged.
NAKED_LOOK = 0.25


@dataclass
class TradingLoop:
    """Wakes when something happened and at least every ``period`` (real) seconds; ``beat`` is called each time."""

    state: BotState
    markets: Markets
    store: Store
    bus: Bus
    clock: Clock
    settings: TradingSettings
    strategy: Strategy
    rules: Sequence[RiskRule]
    gates: dict[str, RequestGate]
    readers: dict[str, AccountReader]
    executor: Executor
    announcer: Announcer
    tasks: anyio.abc.TaskGroup
    new_id: Callable[[], UUID]
    beat: Callable[[], None] = lambda: None
    period: float = 0.5
    last_scan: datetime | None = None
    proposals: Proposals = field(default_factory=Proposals)
    proposed_at: datetime | None = None
    store_error: str | None = None
    books_error: str | None = None
    strategy_error: str | None = None
    entries_left: int | None = None
    stopping: bool = False
    refused: dict[tuple[str, str, str, str], Refusal] = field(default_factory=dict)
    waiting: dict[str, Refusal] = field(default_factory=dict)
    _wake: anyio.Event = field(default_factory=anyio.Event)
    _exits: list[Exit] = field(default_factory=list)
    naked: NakedWatch = field(init=False)
    preflight: Preflight = field(init=False)
    _patience: Patience = field(init=False)
    _next_full_scan: float = 0.0
    _next_refusals: float = 0.0

    def __post_init__(self) -> None:
        self._patience = Patience(self.clock)
        self.naked = NakedWatch(self.clock, self.announcer)
        self.preflight = Preflight(
            self.state,
            self.gates,
            self.clock,
            self.tasks,
            self.settings.margin_mode,
            self._refused,
            self.wake,
            lambda account: self.readers[account].want(positions=True),
        )

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self._wake = anyio.Event()
            await self.tick()
            self.beat()
            if not self._wake.is_set():
                due = self.executor.next_due()
                pause = self.period if due is None else min(max(due, 0.0), self.period)
                with anyio.move_on_after(pause):
                    await self._wake.wait()
            await anyio.lowlevel.checkpoint()

    async def tick(self) -> None:
        """One round. What it decided is on disk before anything is sent."""
        now = self.clock.now()
        halt_for_strays(self.state)
        self._scan(now)
        actions = [
            (hedge.id, action)
            for hedge in netted(self.state.unfinished())
            for action in self._decide(hedge, now)
        ]
        placed = self._apply(actions, now)
        try:
            hurried = self.store_error is not None and self._pressing()
            if await self._commit(now, self._patience.seconds(hurried)):
                self.store_answered(loop=True)
        except StoreError as error:
            placed = self._store_failed(str(error), placed, now)
        for record in placed:
            self.executor.send(record)
        for hedge_id, action in actions:
            if isinstance(action, Cancel):
                self.executor.cancel(action.order)
            elif isinstance(action, Resolve):
                self.executor.resolve(action.order)
            elif isinstance(action, CollectFills):
                self._want_fills(self.state.hedges[hedge_id], action.account)
                if action.positions:
                    self.readers[action.account].want(positions=True)
                    self.markets.doubt(self.state.accounts[action.account].exchange)
        for hedge in self.state.unfinished():
            for order in (*hedge.long.live, *hedge.short.live):
                self.executor.watch(order)

    async def watch_naked(self) -> None:
        """Alert for what stays unhedged, whatever a tick is waiting for; runs until cancelled."""
        while True:
            hedges = netted(self.state.unfinished())
            self.naked.look(hedges, self.state.seen, self.state.moved, self.clock.now())
            await anyio.sleep(NAKED_LOOK)

    # looking

    def _scan(self, now: datetime) -> None:
        """Ask the strategy about what changed (and, twice a second, about everything): entries, exits, refusals."""
        symbols: Collection[str] = self.markets.book.take_changed()
        everything = False
        if self.clock.monotonic() >= self._next_full_scan:
            self._next_full_scan = self.clock.monotonic() + min(0.5, 30 / self.clock.speed)
            symbols, everything = self.markets.book.symbols, True
            self.state.forget(now)
        symbols = [symbol for symbol in symbols if symbol in self.settings.wanted]
        if symbols or everything:
            self.last_scan = now
            proposals = self._evaluate(symbols, now)
            if everything:
                self.proposals, self.proposed_at = proposals, now
        for wanted in self._exits:
            hedge = self.state.hedges.get(wanted.hedge_id)
            if hedge is None or not hedge.live:
                continue
            pressing = wanted.reason in URGENT and hedge.intent.close_reason not in URGENT
            if hedge.intent.mode is not Mode.CLOSING or pressing:
                self._edit(hedge, mode=Mode.CLOSING, close_reason=wanted.reason)
        self._exits.clear()

    def _evaluate(self, symbols: Collection[str], now: datetime) -> Proposals:
        """Ask the strategy. One that raises proposes nothing; what is open is looked after as before."""
        try:
            proposals = self.strategy.evaluate(View(self.state, self.markets, self.settings), symbols, now)
            self._take(proposals, now)
        except Exception as error:
            reason = redacted(f"{type(error).__name__}: {error}")
            if reason != self.strategy_error:
                log.exception("the strategy failed")
                self.announcer.strategy_failed(reason, now)
            self.strategy_error = reason
            return Proposals()
        self.strategy_error = None
        return proposals

    def _take(self, proposals: Proposals, now: datetime) -> None:
        for refusal in proposals.refusals:
            self._refused(refusal)
        self._exits.extend(proposals.exits)
        settled: set[str] = set()
        for plan in proposals.plans:
            if plan.symbol in settled:
                continue
            if not self.entries_on:
                self._refused(refuse(plan, "paused", "entries on", self.entries_off_reason, now))
                continue
            if settles := self._settling(plan.symbol, (plan.long, plan.short), now):
                wanted = f"no settlement within {self.settings.settlement_guard.total_seconds():g} s"
                self._refused(refuse(plan, "settlement", wanted, settles, now))
                continue
            approved = self.judge(plan, now)
            if isinstance(approved, Refusal):
                self._refused(approved)
            elif not self.preflight.stuck(plan):
                settled.add(plan.symbol)
                if self.preflight.done(plan):
                    self._open(approved, now)

    def judge(self, plan: HedgePlan, now: datetime) -> Approved[HedgePlan] | Refusal:
        """What the risk rules say of ``plan`` as things are now; a rule that raises refuses.

        No rule is asked while something that is held there already is in the way.
        """
        held = in_the_way(plan, self.state)
        if held is not None:
            return refuse(plan, "occupied", "nothing held there that the legs would meet", held, now)
        try:
            portfolio = self.state.portfolio(self.markets.prices(), elapsed(self.clock))
            return approve(plan, self.rules, portfolio, now)
        except Exception as error:
            log.exception("a risk rule failed")
            actual = redacted(f"{type(error).__name__}: {error}")
            return refuse(plan, "rule", "a risk rule that answers", actual, now)

    @property
    def entries_on(self) -> bool:
        return not self.entries_off_reason

    @property
    def entries_off_reason(self) -> str:
        """Why no new hedge may be opened; empty when one may."""
        if self.state.killed:
            return "kill switch latched"
        if self.stopping:
            return "stopping"
        if self.state.paused:
            return "paused"
        if not self.state.lease.fresh:
            return "the lease of the database is not confirmed"
        if self.store_error or self.books_error:
            return f"database: {self.store_error or self.books_error}"
        if self.entries_left is not None and self.entries_left <= 0:
            return "as many hedges as were asked for are open or done"
        return ""

    def count_entry(self, change: int) -> None:
        """Adjust how many more hedges may be opened, where that is limited."""
        if self.entries_left is not None:
            self.entries_left += change

    def _refused(self, refusal: Refusal) -> None:
        key = (refusal.symbol, refusal.long_exchange, refusal.short_exchange, refusal.gate)
        self.waiting[refusal.symbol] = refusal
        if key not in self.refused:
            self.bus.publish(CandidateRefused(refusal))
        self.refused[key] = refusal

    # commands

    async def open_approved(self, approved: Approved[HedgePlan], hedge_id: UUID | None = None) -> UUID:
        """Open by hand; the plan has passed the risk rules. Sets the accounts up first, returns the hedge's id.

        Setting up takes requests, so the rules are asked again; raises ``ConfigError`` with what is in the way.
        """
        plan = approved.value
        for leg in (plan.long, plan.short):
            await self.preflight.see_to(leg.account, plan.symbol, leg.leverage)
        if settles := self._settling(plan.symbol, (plan.long, plan.short), self.clock.now()):
            raise ConfigError(f"{plan.symbol}: {settles}; try again when that is over")
        if self.stopping or self.store_error or self.books_error or not self.state.lease.fresh:
            raise ConfigError(f"{plan.symbol}: {self.entries_off_reason}; try again when that is over")
        again = self.judge(plan, self.clock.now())
        if isinstance(again, Refusal):
            raise ConfigError(f"{plan.symbol}: {again.gate} refuses: needs {again.needed}, is {again.actual}")
        made = self._open(again, self.clock.now(), hedge_id)
        if made is None:
            raise ConfigError(f"{plan.symbol} has a live hedge already; close it first")
        self.wake()
        return made

    def close(self, hedge_id: UUID, reason: CloseReason) -> None:
        self._exits.append(Exit(hedge_id, reason))
        self.wake()

    def scan_now(self) -> None:
        """Have the strategy look at every symbol with the next tick, which is at once."""
        self._next_full_scan = 0.0
        self.wake()

    def _open(
        self, approved: Approved[HedgePlan], now: datetime, hedge_id: UUID | None = None
    ) -> UUID | None:
        plan = approved.value
        if any(hedge.symbol == plan.symbol for hedge in self.state.live()):
            return None
        settlements = [plan.settlement]
        for leg in (plan.long, plan.short):
            rate = self.markets.fresh_rate(leg.instrument.exchange, plan.symbol)
            settlements += [] if rate is None else [rate.next_settlement]
        before = [at - self.settings.settlement_guard for at in settlements]
        intent = Intent(
            id=hedge_id or self.new_id(),
            instance=self.settings.instance,
            symbol=plan.symbol,
            mode=Mode.OPENING,
            quantity=plan.quantity,
            long=plan.long,
            short=plan.short,
            first=plan.first,
            deadline=min([now + self.settings.fill_timeout, *(at for at in before if at > now)]),
            tolerance=plan.tolerance,
            entry_spread=plan.entry_spread,
            created_at=now,
            config_revision=self.settings.config_revision,
            origin=plan.origin,
        )
        self.count_entry(-1)
        self.state.put_intent(intent)
        self.waiting.pop(plan.symbol, None)
        return intent.id

    def _settling(self, symbol: str, legs: Iterable[LegPlan], now: datetime) -> str:
        """Which settlement is too near, before or after it, to begin or go on with an entry; empty when none is."""
        for leg in legs:
            rate = self.markets.fresh_rate(leg.instrument.exchange, symbol)
            if rate is None:
                continue
            for at in (rate.next_settlement, rate.next_settlement - rate.interval):
                if abs(at - now) <= self.settings.settlement_guard:
                    return f"{leg.instrument.exchange} settles funding at {at:%H:%M:%S} UTC"
        return ""

    # deciding

    def _decide(self, hedge: Hedge, now: datetime) -> Sequence[Action]:
        if hedge.finished:
            return ()
        # what an exchange or a person took is not bought back; the rest is evened out
        taken = any(hedge.taken.values())
        market = HedgeMarket(
            long=self._leg_market(hedge, hedge.long),
            short=self._leg_market(hedge, hedge.short),
            entries=hedge.intent.mode is Mode.OPENING and not taken and self._may_enter(hedge, now),
            hedging=not (self.state.killed or self.store_error or not self.state.lease.fresh or taken),
            naked_for=timedelta(seconds=self.naked.seconds(hedge.id) * self.clock.speed),
        )
        return decide(hedge, market, self.settings.policy, now)

    def _may_enter(self, hedge: Hedge, now: datetime) -> bool:
        """Whether an entry that is under way goes on; what of it has filled is hedged in any case."""
        if self.state.killed or self.stopping or self.store_error or not self.state.lease.fresh:
            return False
        legs = (hedge.intent.long, hedge.intent.short)
        if any(self.state.accounts[leg.account].halted for leg in legs):
            return False
        return not self._settling(hedge.symbol, legs, now)

    def _leg_market(self, hedge: Hedge, state: LegState) -> LegMarket:
        leg, odd = state.plan, state.filled > 0 and not state.plan.instrument.orderable(state.filled)
        exchange, symbol = leg.instrument.exchange, leg.instrument.symbol
        book, account = self.markets.fresh_book(exchange, symbol), self.state.accounts.get(leg.account)
        return LegMarket(
            bid=book.bid if book else None,
            ask=book.ask if book else None,
            mark=self.markets.fresh_mark(exchange, symbol),
            reachable=exchange not in self.state.down,
            unread_for=None if account is None else account.unread_for(self.clock.monotonic()),
            shared=odd and self.state.shared(hedge, state),
        )

    def _apply(self, actions: Sequence[tuple[UUID, Action]], now: datetime) -> list[OrderRecord]:
        """Put decisions into the state (not yet on disk); returns the orders to send once they are."""
        placed = []
        for hedge_id, action in actions:
            hedge = self.state.hedges[hedge_id]
            if isinstance(action, Place):
                self.state.put_order(action.order)
                self.state.in_flight.add(action.order.client_id)
                placed.append(action.order)
            elif isinstance(action, Retarget):
                log.info("%s: %s", hedge.symbol, action.reason)
                self._edit(hedge, quantity=action.quantity)
                if action.second_failed and hedge.intent.quantity > action.quantity:
                    self.announcer.second_leg_failed(hedge, action.reason, now)
                elif hedge.intent.origin == "manual" and hedge.intent.quantity > action.quantity == 0:
                    self.announcer.not_opened(hedge, action.reason, now)
            elif isinstance(action, SetMode):
                self._set_mode(hedge, action, now)
        return placed

    def _set_mode(self, hedge: Hedge, action: SetMode, now: datetime) -> None:
        changes: dict[str, object] = {"mode": action.mode}
        if action.mode is Mode.HOLDING:
            changes |= {"opened_at": now, "quantity": hedge.hedged}
        if action.reason is not None:
            changes["close_reason"] = action.reason
        if action.mode is Mode.DONE:
            changes["closed_at"] = now
            self.announcer.remainder_left(hedge, now)
            if hedge.intent.opened_at is None:
                self.count_entry(1)
            self.state.cool_down(hedge.symbol, now + self.settings.pause_after(hedge))
        self._edit(hedge, **changes)
        if action.mode is not Mode.HOLDING and action.mode is not Mode.DONE:
            return
        for leg in (hedge.intent.long, hedge.intent.short):
            self.state.accounts[leg.account].moves += 1
        for leg in (hedge.intent.long, hedge.intent.short):
            self.readers[leg.account].want(positions=True)

    def _edit(self, hedge: Hedge, **changes: object) -> None:
        self.state.put_intent(self.state.hedges[hedge.id].intent.edit(**changes))

    # committing

    async def flush(self) -> None:
        """Commit what changed without deciding anything; ``StoreError`` when it cannot be."""
        await self._commit(self.clock.now())

    def _pressing(self) -> bool:
        """Whether anything has to be reduced that does not wait for a disk."""
        return any(
            hedge.unhedged
            or (hedge.intent.mode is Mode.CLOSING and (hedge.long.filled or hedge.short.filled))
            for hedge in netted(self.state.unfinished())
        )

    async def _commit(self, now: datetime, seconds: float = COMMIT_SECONDS) -> bool:
        """Everything that changed since the last commit, in one transaction; then publish it. Whether there was any."""
        orders, intents = self.state.dirty_orders, self.state.dirty_intents
        refusals: tuple[Refusal, ...] = ()
        if self.refused and self.clock.monotonic() >= self._next_refusals:
            self._next_refusals = self.clock.monotonic() + 2.0
            refusals = tuple(self.refused.values())
        batch = Batch(intents=tuple(intents.values()), orders=tuple(orders.values()), refusals=refusals)
        if not batch:
            return False
        self.state.dirty_orders, self.state.dirty_intents = {}, {}
        try:
            await commit(self.store, batch, seconds)
        except StoreError:
            self.state.dirty_orders = {**orders, **self.state.dirty_orders}
            self.state.dirty_intents = {**intents, **self.state.dirty_intents}
            raise
        if refusals:
            self.refused.clear()
        changed = {intent.id for intent in batch.intents} | {order.hedge_id for order in batch.orders}
        for order in batch.orders:
            self.bus.publish(OrderChanged(order, now))
            if order.filled > order.booked:
                self._want_fills(self.state.hedges[order.hedge_id], order.account)
            if order.reduce_only and order.state.terminal and order.filled > order.booked:
                # whether it left what we think: a person may have reduced the position as well
                self.readers[order.account].want(positions=True)
        for hedge_id in changed:
            if hedge_id in self.state.hedges:
                self.bus.publish(HedgeChanged(self.state.hedges[hedge_id], now))
        return True

    def _want_fills(self, hedge: Hedge, account: str) -> None:
        late = [
            order.created_at
            for order in hedge.orders
            if order.account == account and order.booked < order.filled
        ]
        self.readers[account].want_fills(hedge.symbol, min(late, default=hedge.intent.created_at))

    def _store_failed(self, reason: str, placed: Sequence[OrderRecord], now: datetime) -> list[OrderRecord]:
        """What may be sent without a durable row: orders that only reduce. Entries are off until a commit succeeds.

        An order that would add exposure is not sent and is over; its row says so with the next commit, because the one
        that failed may have been durable all the same. One that reduces goes out under its deterministic name, from
        memory; its row stays to be committed and gets there with the next one that is.
        """
        reducing = [record for record in placed if record.reduce_only]
        for record in placed:
            if not record.reduce_only:
                self.state.in_flight.discard(record.client_id)
                unsent = "not sent: the database failed"
                self.state.put_order(
                    replace(record, state=OrderState.CANCELLED, reason=unsent, resolved_at=now)
                )
        if self.store_error is None and self.books_error is None:
            self.announcer.store_failed(reason, now)
        for record in reducing:
            self.announcer.sent_from_memory(record, self.state.hedges[record.hedge_id], now)
        self.store_error = reason
        return reducing

    def books_failed(self, reason: str) -> None:
        """What an exchange's ledger says could not be stored: entries are off until the database takes something."""
        if self.store_error is None and self.books_error is None:
            self.announcer.store_failed(reason, self.clock.now())
        self.books_error = reason

    def store_answered(self, *, loop: bool = False) -> None:
        """A commit succeeded. What the loop itself could not commit, only a commit of the ``loop`` proves stored."""
        failed = self.store_error is not None or self.books_error is not None
        self.books_error = None
        if loop:
            self.store_error = None
        if failed and self.store_error is None:
            self.announcer.store_answers(self.clock.now())
