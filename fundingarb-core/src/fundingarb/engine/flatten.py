"""Closing on one account what no hedge of ours holds: foreign orders and positions, and whatever is unknown.

Cancels by the exchange's own order ids, and closes with reduce-only market orders that are repeated against the
position as it is read again. A reduce-only order cannot open anything, so where everything is to go (a kill) nobody has
to know how the last one ended; where something is to stay, ``is_over`` says when it is known.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from fundingarb.domain.control import FlattenOrder, flatten_order_id
from fundingarb.domain.events import Alert, Severity
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import (
    ZERO,
    ExchangePosition,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
    TimeInForce,
)
from fundingarb.engine.account import Account
from fundingarb.engine.bus import Bus
from fundingarb.engine.durable import commit
from fundingarb.engine.executor import READ_LAG, REDUCE_AGAIN
from fundingarb.engine.gate import GateClosed, Priority, RequestGate
from fundingarb.engine.state import BotState
from fundingarb.errors import ExchangeError, OrderRefused, StoreError
from fundingarb.ports import Batch, Clock, Store
from fundingarb.redaction import redacted

log = logging.getLogger("fundingarb.flatten")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an exchange said of one account: open orders and positions that are not zero."""

    orders: Sequence[OrderReport]
    positions: Sequence[ExchangePosition]


class Flattener:
    """The hands of a kill, and of ``reconcile --flatten``, on one account.

    ``instrument`` is how a symbol is listed, if it is; ``doubt`` has the exchange's list read again.
    """

    def __init__(
        self, account: Account, state: BotState, gate: RequestGate, store: Store, bus: Bus, clock: Clock,
        instance: str, instrument: Callable[[str], Instrument | None], doubt: Callable[[], None],
    ) -> None:  # fmt: skip
        self.account = account
        self._state = state
        self._gate = gate
        self._store = store
        self._bus = bus
        self._clock = clock
        self._instance = instance
        self._instrument, self._doubt = instrument, doubt
        self._unsaved: dict[str, FlattenOrder] = {}
        self._sent: dict[str, float] = {}

    async def look(self) -> Holdings:
        """Read what there is, as urgently as a cancel: also while the breaker is open. Raises ``ExchangeError``."""
        adapter = self.account.adapter
        orders = await self._call(Priority.CANCEL, "get_open_orders", adapter.get_open_orders)
        for order in orders:
            self._state.observe(order, self._clock.now())
        positions = await self._call(Priority.CANCEL, "get_positions", adapter.get_positions)
        return Holdings(orders, positions)

    def unattended(self, orders: Iterable[OrderReport]) -> list[OrderReport]:
        """Those open orders that the trading loop does not look after: not ours, or over as far as we know."""
        found = []
        for order in orders:
            hedge = self._state.owner(order.client_id)
            record = None if hedge is None else hedge.order(order.client_id or "")
            if record is None or record.state.terminal:
                found.append(order)
        return found

    async def cancel(self, order: OrderReport) -> str | None:
        """Cancel an order, whoever made it; why it could not be done, or None."""
        try:
            await self._call(
                Priority.CANCEL, "cancel_order", lambda: self.account.adapter.cancel_foreign(order)
            )
        except Exception as error:  # noqa: BLE001 - told, whatever it is
            return self._told(error)
        return None

    def lot(self, symbol: str) -> Decimal:
        """The step of order quantities there, as listed now; 0 where it is not known."""
        listed = self._instrument(symbol)
        return ZERO if listed is None else listed.lot

    async def reduce(
        self, symbol: str, quantity: Decimal, hedge_id: UUID | None = None, *, held: Decimal
    ) -> str | None:
        """Take ``quantity`` (signed base units, as held) off a position of ``held``; why it could not be done, or None.

        One order asks for as much of it as the exchange lets it; the rest is for the next look. All of a position is
        rounded up to the lot (no more is taken than there is), a part of it down.

        ``hedge_id``: the hedge whose leg that is, if it is one.

        The row is on disk before the order is sent. While the database is down it goes out all the same, and the row
        is written when it answers again: what reduces does not wait (failure model, I2).
        """
        record = self._next(symbol, quantity, hedge_id, whole=quantity == held)
        if not record.quantity:
            return f"{abs(quantity)} is less than the lot of {self.lot(symbol)}, beside a position that stays"
        await self._save(record, before=True)
        self._sent[record.client_id] = self._clock.monotonic()
        reason: str | None = None
        order = NewOrder(
            record.client_id, symbol, record.side, record.quantity, None, TimeInForce.IOC, reduce_only=True
        )
        try:
            report = await self._call(
                Priority.REDUCE, "place_order", lambda: self.account.adapter.place_order(order)
            )
        except (OrderRefused, GateClosed) as error:
            if isinstance(error, OrderRefused):
                self._doubt()
            reason = self._told(error)
            record = self._over(record, OrderState.REFUSED, reason)
        except Exception as error:  # noqa: BLE001 - told, whatever it is
            reason = self._told(error)
            record = self._over(record, OrderState.UNKNOWN, reason)
        else:
            record = replace(
                self._over(record, report.state, report.reason),
                filled=report.filled,
                exchange_order_id=report.exchange_order_id,
            )
        await self._save(record)
        return reason

    async def is_over(self, symbol: str) -> bool:
        """Whether the newest order sent for ``symbol`` can reduce nothing any more; asks the exchange where needed.

        One that it does not know counts as never taken when it has expired, and what it did would be visible.
        """
        mine = [
            o
            for o in self._state.flatten_orders.values()
            if (o.account, o.symbol) == (self.account.name, symbol)
        ]
        last = max(mine, key=lambda order: order.attempt, default=None)
        if last is None or last.state.terminal:
            return True
        adapter = self.account.adapter
        sent = self._sent.setdefault(last.client_id, self._clock.monotonic())
        try:
            report = await self._call(
                Priority.CANCEL, "find_order", lambda: adapter.find_order(symbol, last.client_id)
            )
        except Exception as error:  # noqa: BLE001 - asked again, whatever it is
            self._told(error)
            return False
        if report is not None:
            found = replace(self._over(last, report.state, report.reason), filled=report.filled)
            await self._save(replace(found, exchange_order_id=report.exchange_order_id))
            return report.state.terminal
        expiry = REDUCE_AGAIN if adapter.order_expiry is None else adapter.order_expiry.total_seconds()
        if self._clock.monotonic() - sent <= expiry + READ_LAG:
            return False
        await self._save(self._over(last, OrderState.REFUSED, "the exchange knows no such order"))
        return True

    def _told(self, error: Exception) -> str:
        """Why something did not work. A mistake of an adapter is no reason to stop flattening."""
        if not isinstance(error, ExchangeError):
            log.error("flattening %s", self.account.name, exc_info=error)
        elif error.code == "unknown-symbol":
            return f"{redacted(str(error))}; it cannot be closed from here, close it on the exchange"
        return redacted(str(error)) or type(error).__name__

    def _next(self, symbol: str, quantity: Decimal, hedge_id: UUID | None, *, whole: bool) -> FlattenOrder:
        attempt = 1 + max(
            (
                order.attempt
                for order in self._state.flatten_orders.values()
                if order.account == self.account.name and order.symbol == symbol
            ),
            default=0,
        )
        listed, size = self._instrument(symbol), abs(quantity)
        return FlattenOrder(
            client_id=flatten_order_id(self._instance, self.account.name, symbol, attempt),
            account=self.account.name,
            symbol=symbol,
            attempt=attempt,
            side=OrderSide.SELL if quantity > 0 else OrderSide.BUY,
            quantity=size if listed is None else listed.to_reduce(size, whole=whole, market=True),
            created_at=self._clock.now(),
            hedge_id=hedge_id,
        )

    def _over(self, record: FlattenOrder, state: OrderState, reason: str) -> FlattenOrder:
        now = self._clock.now() if state.terminal else None
        return replace(record, state=state, reason=reason, resolved_at=now)

    async def _save(self, record: FlattenOrder, *, before: bool = False) -> None:
        self._state.flatten_orders[record.client_id] = record
        self._unsaved[record.client_id] = record
        if not await self.catch_up() and before:
            self._sent_from_memory(record)

    async def catch_up(self) -> bool:
        """Write the rows that the database did not take yet; whether all are written."""
        if waiting := dict(self._unsaved):
            try:
                await commit(self._store, Batch(flatten_orders=tuple(waiting.values())))
            except StoreError as error:
                log.warning("flatten orders %s not on disk yet: %s", ", ".join(waiting), error)
                return False
            for name, record in waiting.items():
                if self._unsaved.get(name) is record:
                    del self._unsaved[name]
        return True

    def _sent_from_memory(self, record: FlattenOrder) -> None:
        lines = (
            f"{record.side.value} {record.quantity} {record.symbol} on {record.account}, reduce-only",
            f"Order: {record.client_id}; its row is written when the database answers",
        )
        self._bus.publish(
            Alert(Severity.CRITICAL, "Reduction Sent Without The Database", lines, self._clock.now())
        )

    async def _call(self, priority: Priority, operation: str, request: Callable[[], Awaitable[T]]) -> T:
        return await self._gate.call(priority, self.account.adapter.cost(operation), request)
