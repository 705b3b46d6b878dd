"""A node: takes transactions, makes blocks of them, matches the orders in them.

A block carries out what was broadcast since the one before, in that order. A short-term order is known to the indexer
from the broadcast on and matched with the next block; it ends with its last block. What an immediate order can not have
as the book stands is told at once, though the block may bring it otherwise. A long-term order appears, and is matched,
with the block that includes it. A cancellation works with the next block, and until then the order may fill.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from fundingarb.localnet.truth.types import OrderRequest, Refused, Side, TimeInForce
from fundingarb_dydx.localnet.checks import Checks, digest_of, id_of
from fundingarb_dydx.localnet.codes import ChainRefused, TxResult
from fundingarb_dydx.localnet.desk import SUBACCOUNT, Desk
from fundingarb_dydx.localnet.orders import (
    BEST_EFFORT_CANCELED,
    BEST_EFFORT_OPENED,
    PENDING,
    Record,
    removal_of,
)
from fundingarb_dydx.localnet.transactions import (
    IOC,
    POST_ONLY,
    Admitted,
    BatchCancel,
    OrderId,
    PlaceOrder,
)

__all__ = ["AlreadyInCache", "Included", "Node"]

ZERO = Decimal(0)
KEPT = 10_000
"""Transactions that are remembered by hash."""
BAND = Decimal("0.1")
"""How far from the oracle price the limit of an order that never rests is kept for the truth, which reserves margin at
the limit; the chain reckons with the prices at which an order trades."""


class AlreadyInCache(Exception):
    """The very same transaction was taken before."""


@dataclass(frozen=True, slots=True)
class Included:
    """A transaction that was taken, and the block it went into (None: not yet)."""

    result: TxResult
    data: bytes
    height: int | None


class Node:
    """The chain's only node."""

    def __init__(
        self,
        desk: Desk,
        at_once: Callable[[Record], None],
        with_block: Callable[[Record], None],
        block: Callable[[], None],
    ) -> None:
        """The first two hear of changes of orders that the truth does not tell, ``block`` of every block."""
        self._desk = desk
        self._at_once = at_once
        self._with_block = with_block
        self._block = block
        self._checks = Checks(desk)
        self._pending: list[Callable[[], None]] = []
        self._waiting: list[str] = []
        self._taken: OrderedDict[str, Included] = OrderedDict()

    # -- broadcasting ----------------------------------------------------------------------------------------

    def broadcast(self, data: bytes) -> TxResult:
        """Check a transaction and take it for the next block. Raises ``AlreadyInCache``."""
        digest = digest_of(data)
        if digest in self._taken:
            raise AlreadyInCache
        try:
            admitted = self._checks.admit(data)
        except ChainRefused as refused:
            return TxResult(digest, refused.code, refused.codespace, refused.log)
        result = TxResult(digest)
        self._taken[digest] = Included(result, data, None)
        self._waiting.append(digest)
        if len(self._taken) > KEPT:
            self._taken.popitem(last=False)
        self._take(admitted, digest)
        return result

    def transaction(self, digest: str) -> Included | None:
        """A transaction by its hash."""
        return self._taken.get(digest.upper().removeprefix("0X"))

    def _take(self, admitted: Admitted, digest: str) -> None:
        message = admitted.message
        if isinstance(message, PlaceOrder):
            self._take_order(admitted, message, digest)
        elif isinstance(message, BatchCancel):
            for order in message.ids:
                self._take_short_cancel(order, message.good_til)
        elif message.id.short_term:
            self._take_short_cancel(message.id, message.good_til)
        else:
            name = id_of(message.id)
            self._checks.cancelling.add(name)
            self._pending.append(lambda: self._cancel(name, admitted.timeout_height))

    def _take_order(self, admitted: Admitted, message: PlaceOrder, digest: str) -> None:
        desk, name = self._desk, id_of(message.id)
        old = desk.orders.get(name)
        if old is not None and old.live:
            self._remove(old, "ORDER_REMOVAL_REASON_REPLACED")
        height = desk.chain.height
        record = Record(
            id=name,
            account=admitted.account,
            perpetual=desk.pairs[message.id.clob_pair],
            message=message,
            hash=digest,
            status=BEST_EFFORT_OPENED if message.id.short_term else PENDING,
            updated_ms=desk.truth.now_ms,
            updated_height=height,
            created_height=height + 1,
        )
        desk.orders.add(record)
        self._pending.append(lambda: self._place(record, admitted.timeout_height))
        if record.short_term:
            self._at_once(record)
            if record.immediate:
                self._match_early(record)

    def _match_early(self, record: Record) -> None:
        """What the node matches when it takes an immediate order. Short of the whole, it calls the rest cancelled."""
        desk, buy = self._desk, record.side is Side.BUY
        ticker = record.perpetual.ticker
        book = desk.truth.book(ticker)
        levels = [
            size
            for price, size in (book.asks if buy else book.bids)
            if (price <= record.price if buy else price >= record.price)
        ]
        matched = min(record.size, sum(levels, ZERO))
        removal = "ORDER_REMOVAL_REASON_IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK"
        if record.message.reduce_only:
            row = desk.positions.open(record.account, ticker)
            held = abs(row.size) if row is not None else ZERO
            if held < matched:
                matched, removal = held, "ORDER_REMOVAL_REASON_REDUCE_ONLY_RESIZE"
        record.optimistic = matched
        if matched < record.size:
            record.status, record.removal = BEST_EFFORT_CANCELED, removal
            self._at_once(record)

    def _take_short_cancel(self, order: OrderId, good_til: int) -> None:
        """Nodes take the order out of their books at once, which the indexer tells; a match made before stands."""
        name = id_of(order)
        self._checks.cancels[name] = good_til
        record = self._desk.orders.get(name)
        if record is None or not record.live or record.message.good_til > good_til:
            return
        record.status = BEST_EFFORT_CANCELED
        record.removal = "ORDER_REMOVAL_REASON_USER_CANCELED"
        record.updated_ms, record.updated_height = self._desk.truth.now_ms, self._desk.chain.height
        self._at_once(record)
        self._pending.append(lambda: self._cancel(name))

    # -- blocks ----------------------------------------------------------------------------------------------

    def produce(self) -> None:
        """Make a block now."""
        desk = self._desk
        height = desk.chain.extend(desk.truth.now_ms)
        work, self._pending = self._pending, []
        for step in work:
            step()
        for digest in self._waiting:
            included = self._taken.get(digest)
            if included is not None:
                self._taken[digest] = Included(included.result, included.data, height)
        self._waiting.clear()
        for record in [r for r in desk.orders.live() if r.short_term and r.message.good_til <= height]:
            self._remove(record, "ORDER_REMOVAL_REASON_EXPIRED")
        desk.orders.settle(height)
        cancels = self._checks.cancels
        for name in [name for name, good_til in cancels.items() if good_til < height]:
            del cancels[name]
        self._block()

    def _too_late(self, timeout_height: int) -> bool:
        """Whether the block may not have a transaction any more: nothing comes of it then."""
        return 0 < timeout_height < self._desk.chain.height

    def _place(self, record: Record, timeout_height: int) -> None:
        """Put an order before the truth. What it refuses only the indexer tells."""
        desk = self._desk
        if not record.live:
            return
        late = record.short_term and record.message.good_til < desk.chain.height
        if late or self._too_late(timeout_height):
            self._end(record, "ORDER_REMOVAL_REASON_EXPIRED")
            return
        if record.message.id.subaccount != SUBACCOUNT:
            self._end(record, "ORDER_REMOVAL_REASON_UNDERCOLLATERALIZED")
            return
        try:
            desk.truth.place(record.account, self._request(record))
        except Refused as refused:
            self._end(record, removal_of(refused.reason))

    def _request(self, record: Record) -> OrderRequest:
        message = record.message
        time_in_force = {IOC: TimeInForce.IOC, POST_ONLY: TimeInForce.POST_ONLY}.get(
            message.time_in_force, TimeInForce.GTC
        )
        price = record.price
        if time_in_force is TimeInForce.IOC:
            price = self._near(record)
        return OrderRequest(
            instrument=record.perpetual.ticker,
            side=record.side,
            quantity=record.size,
            price=price,
            time_in_force=time_in_force,
            reduce_only=message.reduce_only,
            order_id=record.id,
            expires_ms=None if record.short_term else message.good_til * 1000,
            extra={"clientId": str(message.id.client_id), "clientMetadata": str(message.metadata)},
        )

    def _near(self, record: Record) -> Decimal:
        """The limit, or one a tenth off the oracle price where it is further away."""
        instrument, mark = record.perpetual.instrument, self._desk.oracle(record.perpetual.ticker)
        if record.side is Side.BUY:
            ticks = (mark * (1 + BAND) / instrument.tick).to_integral_value(ROUND_CEILING)
            return min(record.price, ticks * instrument.tick)
        ticks = (mark * (1 - BAND) / instrument.tick).to_integral_value(ROUND_FLOOR)
        return max(record.price, ticks * instrument.tick)

    def _cancel(self, name: str, timeout_height: int = 0) -> None:
        self._checks.cancelling.discard(name)
        record = self._desk.orders.get(name)
        if record is not None and record.live and not self._too_late(timeout_height):
            self._remove(record, "ORDER_REMOVAL_REASON_USER_CANCELED")

    def _remove(self, record: Record, removal: str) -> None:
        """Take an order out, whether it waits for a block or rests in the book."""
        truth = self._desk.truth
        known = truth.order(record.account, order_id=record.id) if record.placed else None
        if known is None or not known.status.open:
            self._end(record, removal)
            return
        record.ending = removal
        truth.cancel(record.account, record.perpetual.ticker, order_id=record.id)
        record.ending = None

    def _end(self, record: Record, removal: str) -> None:
        """It never got into the truth's book. A long-term order that was not placed leaves no trace."""
        if not record.live:
            return
        desk, before = self._desk, record.status
        desk.orders.end(record, removal, desk.truth.now_ms, desk.chain.height)
        if record.status != before and (record.short_term or record.placed):
            self._with_block(record)
