"""The hands: sends committed orders, cancels, asks for outcomes. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import anyio
import anyio.abc

from fundingarb.domain.control import Subject
from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.order import SKEW, ZERO, NewOrder, OrderReport, OrderState, TimeInForce
from fundingarb.domain.proof import explained, filled_of
from fundingarb.domain.reconcile import expected_positions
from fundingarb.engine.account import Account
from fundingarb.engine.clock import elapsed
from fundingarb.engine.gate import GateClosed, Priority, RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError, OrderRefused
from fundingarb.ports import Clock, OrderGuard
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.executor")
T = TypeVar("T")

#: So many misses in a row, and so many real seconds since the first: an order counts as never taken when the exchange
#: could no longer take it (its expiry) and what it took has had this much time to become visible.
PROOF_MISSES = 3
READ_LAG = 8.0
#: Real seconds after which a reduction that is not to be found is repeated where orders never expire.
REDUCE_AGAIN = 5.0
#: Real seconds between looks at an open order: soon for one that cannot rest or is being cancelled, seldom else.
LOOK_IOC = 0.15
LOOK_CANCELLED = 0.5
LOOK_RESTING = 2.0
#: Longest pause between looks at an order that is missed: as long as its proof may be near, and later.
LOOK_MISSED, LOOK_LOST = 1.0, 5.0
NEAR = 20.0
#: Real seconds after which a cancel that was taken and changed nothing is repeated.
CANCEL_AGAIN = 2.0
#: Real seconds an order that adds exposure may wait to be sent: after that it answers to a market that has gone.
STALE_SECONDS = 5.0
#: A cancel that failed is tried again after a second, then ever later, up to this many real seconds.
LONGEST_CANCEL_PAUSE = 16.0


class Executor:
    """Runs sends, cancels and queries as tasks of the bot's task group; every answer goes into the state."""

    def __init__(
        self,
        state: BotState,
        gates: dict[str, RequestGate],
        clock: Clock,
        tasks: anyio.abc.TaskGroup,
        wake: Callable[[], None],
        guards: Sequence[OrderGuard] = (),
    ) -> None:
        self._state = state
        self._gates = gates
        self._clock = clock
        self._tasks = tasks
        self._wake = wake
        self._guards = guards
        self._asking: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._missing_since: dict[str, float] = {}
        self._cancelled_at: dict[str, float] = {}
        self._cancel_after: dict[str, tuple[float, float]] = {}

    def guard_with(self, guards: Sequence[OrderGuard]) -> None:
        """Ask these from now on before an order that adds exposure leaves."""
        self._guards = guards

    def send(self, record: OrderRecord) -> None:
        """Send a committed registry row. The caller has put it into ``state.in_flight``."""
        self._tasks.start_soon(self._send, record)

    def cancel(self, record: OrderRecord) -> None:
        """Ask for a cancel, then for what became of the order."""
        current = self._current(record)
        if record.client_id in self._asking or current.state.terminal:
            return
        if self._clock.monotonic() < self._cancel_after.get(record.client_id, (0.0, 0.0))[0]:
            return
        self._state.put_order(replace(current, cancel_requested=True))
        self._asking.add(record.client_id)
        self._tasks.start_soon(self._cancel, record)

    def resolve(self, record: OrderRecord) -> None:
        """Ask what became of an unresolved order, unless its send is still under way or it was just asked."""
        self._ask(record, first_pause=0.0)

    def watch(self, record: OrderRecord) -> None:
        """Look at an open order from time to time: events are only a hint."""
        pause = LOOK_IOC if record.time_in_force is TimeInForce.IOC else LOOK_RESTING
        self._ask(record, first_pause=pause)

    def _ask(self, record: OrderRecord, first_pause: float) -> None:
        name, now = record.client_id, self._clock.monotonic()
        self._state.seen.setdefault(name, now)  # one from before a restart is heard of from here on
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
        for name in [name for name in self._not_before.keys() | self._state.seen.keys() if self._over(name)]:
            self._forget(name)
        busy = self._asking | self._state.in_flight
        due = [at for name, at in self._not_before.items() if name not in busy]
        return min(due) - self._clock.monotonic() if due else None

    def _saw(self, record: OrderRecord, asked: float) -> None:
        """The exchange has told of an order as it was then; of one that is over there is nothing more to hear."""
        if not record.state.terminal:
            self._state.seen[record.client_id] = asked

    def _forget(self, name: str) -> None:
        for memory in (self._not_before, self._missing_since, self._cancelled_at, self._cancel_after):
            memory.pop(name, None)
        self._state.seen.pop(name, None)

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

        async def request() -> OrderReport:
            if not record.reduce_only:
                self._recheck(record, started)
            self._state.sent_at.append(elapsed(self._clock))
            return await account.adapter.place_order(order)

        try:
            report = await self._call(account, priority, "place_order", request)
        except (OrderRefused, GateClosed) as error:
            state, reason = OrderState.REFUSED, str(error)
        except Exception as error:
            reason = redacted(str(error)) or type(error).__name__
            if not isinstance(error, ExchangeError):
                log.exception("sending %s", record.client_id)
        now, latency = self._clock.now(), (self._clock.monotonic() - started) * 1000
        self._state.in_flight.discard(record.client_id)
        if report is not None:
            self._state.observe(report, now, started)
        current = self._current(record)
        self._saw(current, started)
        if report is None and not current.state.terminal and current.state is not OrderState.OPEN:
            over = now if state.terminal else None
            current = replace(current, state=state, reason=reason, resolved_at=over)
        self._state.put_order(replace(current, latency_ms=round(latency, 3)))
        self._wake()

    def _recheck(self, record: OrderRecord, started: float) -> None:
        """The last look before an order that adds exposure leaves: it may have waited for its place."""
        if self._state.killed:
            raise GateClosed("not sent: the kill switch is latched")
        if not self._state.lease.fresh:
            raise GateClosed("not sent: the lease of the database is not confirmed")
        if self._clock.monotonic() - started > STALE_SECONDS:
            raise GateClosed(f"not sent: it waited more than {STALE_SECONDS:.0f} s for its place")
        sent = self._state.sent_lately(elapsed(self._clock))
        for guard in self._guards:
            try:
                reason = guard.admit(record, sent)
            except Exception as error:
                log.exception("a risk rule failed")
                reason = redacted(f"a risk rule failed: {type(error).__name__}: {error}")
            if reason is not None:
                raise GateClosed(f"not sent: {reason}")

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
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            self._report("cancel of", record, error)
            pause = min(2 * self._cancel_after.get(record.client_id, (0.0, 0.5))[1], LONGEST_CANCEL_PAUSE)
            self._cancel_after[record.client_id] = (self._clock.monotonic() + pause, pause)
            self._state.put_order(replace(self._current(record), cancel_requested=False))
        else:
            self._cancelled_at[record.client_id] = self._clock.monotonic()
        await self._query(record)

    async def _query(self, record: OrderRecord) -> None:
        account = self._state.accounts[record.account]
        symbol = self._state.hedges[record.hedge_id].symbol
        asked = self._clock.monotonic()
        try:
            report = await self._call(
                account,
                Priority.CANCEL,
                "find_order",
                lambda: account.adapter.find_order(symbol, record.client_id),
            )
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            self._report("asking for", record, error)
            self._later(record, 1.0)
            return
        if report is not None:
            self._found(record, report, asked)
        else:
            await self._missed(account, symbol, record)
        current = self._current(record)
        self._saw(current, asked)
        if current.state.terminal:
            self._asking.discard(record.client_id)
            self._forget(record.client_id)
            self._wake()
            return
        near = asked - self._missing_since.get(record.client_id, asked) < NEAR
        pause = min(LOOK_IOC * 2 ** min(current.misses, 6), LOOK_MISSED if near else LOOK_LOST)
        if 0 < (left := self._proof_left(account, current)) < pause:
            pause = max(left, LOOK_IOC)
        if current.state is OrderState.OPEN and current.time_in_force is not TimeInForce.IOC:
            pause = LOOK_CANCELLED if current.cancel_requested else LOOK_RESTING
        self._later(record, pause)

    def _found(self, record: OrderRecord, report: OrderReport, asked: float) -> None:
        self._missing_since.pop(record.client_id, None)
        self._state.observe(report, self._clock.now(), asked)
        current = self._current(record)
        if current.cancel_requested and current.state is OrderState.OPEN:
            asked = self._cancelled_at.get(record.client_id, float("-inf"))
            if self._clock.monotonic() - asked >= CANCEL_AGAIN:  # lost, or asked for before a restart
                self._state.put_order(replace(current, cancel_requested=False))

    async def _missed(self, account: Account, symbol: str, record: OrderRecord) -> None:
        """The exchange knows no such order. Conclusive only after repeated misses for as long as one may be on its way
        or invisible, and when neither fills nor the position look as if it had been filled.

        A reduction waits for such witnesses only as long as they may lag: repeated, it opens nothing, but it may reduce
        more than was to be reduced, or what is somebody else's beside the leg. The time runs from the first miss, not
        from the decision: the order may have waited long before it was sent.
        Where the exchange offers no bound on that time, a miss never proves anything.
        """
        current = self._current(record)
        if current.state.terminal:
            return
        self._missing_since.setdefault(record.client_id, self._clock.monotonic())
        left = self._proof_left(account, current)
        proved = current.misses + 1 >= PROOF_MISSES and left <= 0
        if proved and not await self._nothing_speaks_for(account, symbol, current):
            proved = current.reduce_only and left + READ_LAG <= 0
        current = self._current(record)
        if current.state.terminal:
            return
        current = replace(current, misses=current.misses + 1)
        if proved and current.filled:
            reason, state = "the exchange knows its fills only", OrderState.CANCELLED
        else:
            reason, state = "the exchange knows no such order", OrderState.REFUSED
        if proved:
            current = replace(current, state=state, reason=reason, resolved_at=self._clock.now())
        self._state.put_order(current)

    def _proof_left(self, account: Account, record: OrderRecord) -> float:
        """Real seconds until misses may prove that ``record`` was never taken; endless where orders do not expire.

        That of a reduction leaves out how long what it did may be invisible: position and fills are looked at instead.
        """
        expiry, since = account.adapter.order_expiry, self._missing_since.get(record.client_id)
        if since is None or (expiry is None and not record.reduce_only):
            return float("inf")
        seconds = REDUCE_AGAIN if expiry is None else expiry.total_seconds()
        lag = 0.0 if record.reduce_only else READ_LAG
        return since + seconds + lag - self._clock.monotonic()

    async def _nothing_speaks_for(self, account: Account, symbol: str, record: OrderRecord) -> bool:
        """Whether neither fills nor position say that the order was filled, beyond what is known of it."""
        asked, since = self._clock.monotonic(), record.created_at - SKEW
        try:
            fills = await self._call(
                account,
                Priority.CANCEL,
                "get_symbol_fills",
                lambda: account.adapter.get_fills(since, symbol),
            )
            positions = await self._call(
                account, Priority.CANCEL, "get_positions", account.adapter.get_positions
            )
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            self._report("reading fills and position for", record, error)
            return False
        current = self._current(record)
        own = filled_of(current, fills)
        if own > current.filled:  # it arrived, so the time in which it may be invisible begins again
            over = own >= current.quantity
            state, at = (OrderState.FILLED, self._clock.now()) if over else (current.state, None)
            self._state.put_order(replace(current, filled=own, state=state, resolved_at=at, misses=0))
            self._missing_since.pop(current.client_id, None)
            self._state.found_out(current, own, asked)
            return False
        held = sum((p.quantity for p in positions if p.symbol == symbol), ZERO)
        expected = expected_positions(account.name, self._state.unfinished()).get(symbol, ZERO)
        expected += self._state.books(account.name).foreign(symbol)
        accepted = self._state.accepted.get((account.name, Subject.POSITION, symbol))
        strangers = [
            fill
            for fill in fills
            if self._state.hedge_of_fill(fill) is None and (accepted is None or fill.at > accepted.at)
        ]
        surplus = current.side.sign * (held - expected) - explained(current, strangers, self._state.instance)
        return surplus < self._state.hedges[current.hedge_id].intent.leg(current.leg).instrument.lot

    def _later(self, record: OrderRecord, pause: float) -> None:
        self._asking.discard(record.client_id)
        self._not_before[record.client_id] = self._clock.monotonic() + pause
        self._wake()

    def _report(self, what: str, record: OrderRecord, error: Exception) -> None:
        """An exchange's error is a line in the log; anything else is a mistake, and no reason to stop looking."""
        if isinstance(error, ExchangeError):
            log.info("%s %s: %s", what, record.client_id, error)
        else:
            log.error("%s %s failed", what, record.client_id, exc_info=error)

    def _current(self, record: OrderRecord) -> OrderRecord:
        return self._state.hedges[record.hedge_id].order(record.client_id) or record

    async def _call(
        self, account: Account, priority: Priority, operation: str, request: Callable[[], Awaitable[T]]
    ) -> T:
        gate = self._gates[account.exchange]
        return await gate.call(priority, account.adapter.cost(operation), request)
