"""The trading loop: look, decide, commit, act. One task; everything that changes a hedge passes through here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
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
from fundingarb.domain.events import HedgeChanged, OrderChanged
from fundingarb.domain.hedge import CloseReason, Hedge, LegState, Mode, OrderRecord
from fundingarb.domain.netting import netted
from fundingarb.domain.order import OrderState
from fundingarb.engine.accounts import AccountReader
from fundingarb.engine.alerts import Announcer
from fundingarb.engine.bus import Bus
from fundingarb.engine.durable import COMMIT_SECONDS, Patience, commit
from fundingarb.engine.entries import Entries
from fundingarb.engine.executor import Executor
from fundingarb.engine.markets import Markets
from fundingarb.engine.naked import NakedWatch
from fundingarb.engine.state import BotState
from fundingarb.engine.store_health import StoreHealth
from fundingarb.engine.strays import halt_for_strays
from fundingarb.engine.view import TradingSettings
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Clock, Exit, Store

log = logging.getLogger("fundingarb.trading")

#: Real seconds between two looks for what is unhedged.
NAKED_LOOK = 0.25


@dataclass
class TradingLoop:
    """Wakes when something happened and at least every ``period`` (real) seconds; ``beat`` is called each time."""

    state: BotState
    markets: Markets
    store: Store
    store_health: StoreHealth
    bus: Bus
    clock: Clock
    settings: TradingSettings
    entries: Entries
    readers: dict[str, AccountReader]
    executor: Executor
    announcer: Announcer
    beat: Callable[[], None] = lambda: None
    period: float = 0.5
    naked: NakedWatch = field(init=False)
    _wake: anyio.Event = field(default_factory=anyio.Event)
    _exits: list[Exit] = field(default_factory=list)
    _patience: Patience = field(init=False)
    _next_full_scan: float = 0.0

    def __post_init__(self) -> None:
        self._patience = Patience(self.clock)
        self.naked = NakedWatch(self.clock, self.announcer, self.markets.about)

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
            hurried = self.store_health.loop_error is not None and self._pressing()
            if await self._commit(now, self._patience.seconds(hurried)):
                self.store_health.answered(loop=True)
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
        self._exits.extend(self.entries.scan(symbols, now, everything=everything))
        for wanted in self._exits:
            hedge = self.state.hedges.get(wanted.hedge_id)
            if hedge is None or not hedge.live:
                continue
            pressing = wanted.reason in URGENT and hedge.intent.close_reason not in URGENT
            if hedge.intent.mode is not Mode.CLOSING or pressing:
                self._edit(hedge, mode=Mode.CLOSING, close_reason=wanted.reason)
        self._exits.clear()

    # commands

    def close(self, hedge_id: UUID, reason: CloseReason) -> None:
        self._exits.append(Exit(hedge_id, reason))
        self.wake()

    def scan_now(self) -> None:
        """Have the strategy look at every symbol with the next tick, which is at once."""
        self._next_full_scan = 0.0
        self.wake()

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
            hedging=not (
                self.state.killed or self.store_health.loop_error or not self.state.lease.fresh or taken
            ),
            naked_for=timedelta(seconds=self.naked.seconds(hedge.id) * self.clock.speed),
        )
        return decide(hedge, market, self.settings.policy, now)

    def _may_enter(self, hedge: Hedge, now: datetime) -> bool:
        """Whether an entry that is under way goes on; what of it has filled is hedged in any case."""
        if (
            self.state.killed
            or self.entries.stopping
            or self.store_health.loop_error
            or not self.state.lease.fresh
        ):
            return False
        legs = (hedge.intent.long, hedge.intent.short)
        if any(self.state.accounts[leg.account].halted for leg in legs):
            return False
        return not self.entries.settling(hedge.symbol, legs, now)

    def _leg_market(self, hedge: Hedge, state: LegState) -> LegMarket:
        leg, odd = state.plan, state.filled > 0 and not state.plan.instrument.orderable(state.filled)
        exchange, symbol = leg.instrument.exchange, leg.instrument.symbol
        book, account = self.markets.fresh_book(exchange, symbol), self.state.accounts.get(leg.account)
        return LegMarket(
            bid=book.bid if book else None,
            ask=book.ask if book else None,
            mark=self.markets.fresh_mark(exchange, symbol),
            reachable=exchange not in self.state.down and (exchange, symbol) not in self.markets.gone,
            traded=not self.markets.perhaps_halted(exchange, symbol),
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
                self.entries.count(1)
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
        refusals = self.entries.refusals.due()
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
            self.entries.refusals.stored()
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
        self.store_health.loop_failed(reason)
        for record in reducing:
            self.announcer.sent_from_memory(record, self.state.hedges[record.hedge_id], now)
        return reducing
