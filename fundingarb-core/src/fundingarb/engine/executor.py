"""The hands: sends committed orders, cancels, asks for outcomes. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import anyio
import anyio.abc

from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.order import NewOrder, OrderState
from fundingarb.engine.gate import GateClosed, Priority, RequestGate
from fundingarb.engine.state import Account, BotState
from fundingarb.errors import ExchangeError, OrderRefused
from fundingarb.ports import Clock

log = logging.getLogger("fundingarb.executor")
T = TypeVar("T")

#: Real seconds an order may not be found for, and how often it must not be found, before it counts as never taken.
PROOF_SECONDS = 12.0
PROOF_MISSES = 3
#: Real seconds between looks at an open order: soon for one that cannot rest, seldom for one that can.
LOOK_IOC = 0.15
LOOK_RESTING = 2.0


class Executor:
    """Runs sends, cancels and queries as tasks of the bot's task group; every answer goes into the state."""

    def __init__(
        self,
        state: BotState,
        gates: dict[str, RequestGate],
        clock: Clock,
        tasks: anyio.abc.TaskGroup,
        wake: Callable[[], None],
    ) -> None:
        self._state = state
        self._gates = gates
        self._clock = clock
        self._tasks = tasks
        self._wake = wake
        self._asking: set[str] = set()
        self._not_before: dict[str, float] = {}

    def send(self, record: OrderRecord) -> None:
        """Send a committed registry row. The caller has put it into ``state.in_flight``."""
        self._tasks.start_soon(self._send, record)

    def cancel(self, record: OrderRecord) -> None:
        """Ask for a cancel, then for what became of the order."""
        if record.client_id in self._asking:
            return
        self._state.put_order(replace(record, cancel_requested=True))
        self._asking.add(record.client_id)
        self._tasks.start_soon(self._cancel, record)

    def resolve(self, record: OrderRecord) -> None:
        """Ask what became of an unresolved order, unless its send is still under way or it was just asked."""
        self._ask(record, first_pause=0.0)

    def watch(self, record: OrderRecord) -> None:
        """Look at an open order from time to time: events are only a hint."""
        pause = LOOK_IOC if record.price is None or record.time_in_force.value == "IOC" else LOOK_RESTING
        self._ask(record, first_pause=pause)

    def _ask(self, record: OrderRecord, first_pause: float) -> None:
        name, now = record.client_id, self._clock.monotonic()
        if name in self._state.in_flight or name in self._asking:
            return
        due = self._not_before.get(name)
        if due is None:
            self._not_before[name] = due = now + first_pause
        if now < due:
            return
        self._asking.add(name)
        self._tasks.start_soon(self._query, record)

    def next_due(self) -> float | None:
        """Real seconds until an order that is not over wants to be looked at; None when there is none."""
        for name in [name for name in self._not_before if self._over(name)]:
            del self._not_before[name]
        return min(self._not_before.values()) - self._clock.monotonic() if self._not_before else None

    def _over(self, name: str) -> bool:
        hedge = self._state.owner(name)
        record = None if hedge is None else hedge.order(name)
        return record is None or record.state.terminal

    async def _send(self, record: OrderRecord) -> None:
        account = self._state.accounts[record.account]
        order = NewOrder(
            client_id=record.client_id,
            symbol=self._state.hedges[record.hedge_id].symbol,
            side=record.side,
            quantity=record.quantity,
            price=record.price,
            time_in_force=record.time_in_force,
            reduce_only=record.reduce_only,
        )
        priority = Priority.REDUCE if record.reduce_only else Priority.OPEN
        started = self._clock.monotonic()
        state, reason, report = OrderState.UNKNOWN, "", None
        try:
            report = await self._call(
                account, priority, "place_order", lambda: account.adapter.place_order(order)
            )
        except (OrderRefused, GateClosed) as error:
            state, reason = OrderState.REFUSED, str(error)
        except Exception as error:
            reason = str(error) or type(error).__name__
            if not isinstance(error, ExchangeError):
                log.exception("sending %s", record.client_id)
        now, latency = self._clock.now(), (self._clock.monotonic() - started) * 1000
        self._state.in_flight.discard(record.client_id)
        if report is not None:
            self._state.observe(report, now)
        current = self._current(record)
        if report is None and not current.state.terminal and current.state is not OrderState.OPEN:
            over = now if state.terminal else None
            current = replace(current, state=state, reason=reason, resolved_at=over)
        self._state.put_order(replace(current, latency_ms=round(latency, 3)))
        self._wake()

    async def _cancel(self, record: OrderRecord) -> None:
        account = self._state.accounts[record.account]
        symbol = self._state.hedges[record.hedge_id].symbol
        try:
            await self._call(
                account,
                Priority.CANCEL,
                "cancel_order",
                lambda: account.adapter.cancel_order(symbol, record.client_id),
            )
        except ExchangeError as error:
            log.info("cancel of %s: %s", record.client_id, error)
            self._state.put_order(replace(self._current(record), cancel_requested=False))
        await self._query(record)

    async def _query(self, record: OrderRecord) -> None:
        account = self._state.accounts[record.account]
        symbol = self._state.hedges[record.hedge_id].symbol
        try:
            report = await self._call(
                account,
                Priority.CANCEL,
                "find_order",
                lambda: account.adapter.find_order(symbol, record.client_id),
            )
        except ExchangeError as error:
            log.info("asking for %s: %s", record.client_id, error)
            self._later(record, 1.0)
            return
        if report is not None:
            self._state.observe(report, self._clock.now())
        else:
            self._missed(record)
        current = self._current(record)
        if current.state.terminal:
            self._asking.discard(record.client_id)
            self._not_before.pop(record.client_id, None)
            self._wake()
        else:
            resting = current.state is OrderState.OPEN and current.time_in_force.value != "IOC"
            self._later(record, LOOK_RESTING if resting else min(LOOK_IOC * 2**current.misses, 5.0))

    def _missed(self, record: OrderRecord) -> None:
        """The exchange knows no such order: conclusive only after repeated misses past the proof time."""
        current = self._current(record)
        if current.state.terminal:
            return
        current = replace(current, misses=current.misses + 1)
        age = (self._clock.time() - current.created_at.timestamp()) / self._clock.speed
        if current.misses >= PROOF_MISSES and age >= PROOF_SECONDS and current.filled == 0:
            now = self._clock.now()
            current = replace(
                current, state=OrderState.REFUSED, reason="the exchange knows no such order", resolved_at=now
            )
        self._state.put_order(current)

    def _later(self, record: OrderRecord, pause: float) -> None:
        self._asking.discard(record.client_id)
        self._not_before[record.client_id] = self._clock.monotonic() + pause
        self._wake()

    def _current(self, record: OrderRecord) -> OrderRecord:
        return self._state.hedges[record.hedge_id].order(record.client_id) or record

    async def _call(
        self, account: Account, priority: Priority, operation: str, request: Callable[[], Awaitable[T]]
    ) -> T:
        gate = self._gates[account.exchange]
        return await gate.call(priority, account.adapter.cost(operation), request)
