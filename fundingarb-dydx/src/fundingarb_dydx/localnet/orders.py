"""Orders as the indexer shows them, beside what the truth knows of them.

A short-term order lives in the memory of the nodes: the indexer hears of it when a node takes it (best effort) and has
it in its database only once it was filled. One that ended without a fill is not there any more. An immediate order is
matched as soon as a node takes it, and leaves the nodes' memory with that: the indexer calls it cancelled, or says
nothing more, before the block comes that fills it. A long-term order is on the chain from the block that includes it,
and stays in the database whatever becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fundingarb.localnet.truth.events import OrderChanged
from fundingarb.localnet.truth.types import Reason, Side
from fundingarb_dydx.localnet.contracts import Perpetual
from fundingarb_dydx.localnet.transactions import IOC, PlaceOrder

__all__ = ["BEST_EFFORT_CANCELED", "BEST_EFFORT_OPENED", "CANCELED", "FILLED", "OPEN", "Orders", "Record"]

PENDING = "PENDING"
"""In the mempool; the indexer has not heard of it."""
BEST_EFFORT_OPENED = "BEST_EFFORT_OPENED"
OPEN = "OPEN"
FILLED = "FILLED"
BEST_EFFORT_CANCELED = "BEST_EFFORT_CANCELED"
CANCELED = "CANCELED"

ZERO = Decimal(0)

_REMOVALS = {
    Reason.CANCELLED_BY_USER: "USER_CANCELED",
    Reason.EXPIRED: "EXPIRED",
    Reason.NO_LIQUIDITY: "IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK",
    Reason.POST_ONLY_WOULD_TAKE: "POST_ONLY_WOULD_CROSS_MAKER_ORDER",
    Reason.REDUCE_ONLY: "REDUCE_ONLY_RESIZE",
    Reason.LIQUIDATION: "UNDERCOLLATERALIZED",
    Reason.INSUFFICIENT_MARGIN: "UNDERCOLLATERALIZED",
    Reason.MAX_POSITION: "UNDERCOLLATERALIZED",
}


def removal_of(reason: Reason | None) -> str:
    """``ORDER_REMOVAL_REASON_...`` of why the truth ended or refused an order."""
    return f"ORDER_REMOVAL_REASON_{_REMOVALS.get(reason, 'INTERNAL_ERROR') if reason else 'INTERNAL_ERROR'}"


@dataclass(slots=True)
class Record:
    """One order message and what became of it."""

    id: str
    account: str
    perpetual: Perpetual
    message: PlaceOrder
    hash: str
    """Of the transaction that placed it."""
    status: str
    updated_ms: int
    updated_height: int
    created_height: int
    live: bool = True
    """It may still be filled: it is in the mempool or rests in the book."""
    placed: bool = False
    """A block included it."""
    filled: Decimal = ZERO
    optimistic: Decimal = ZERO
    """What a node matched when it took the order; the block decides."""
    removal: str | None = None
    ending: str | None = None
    """Why it is about to be taken out, where the truth's own reason does not say it."""

    @property
    def short_term(self) -> bool:
        return self.message.id.short_term

    @property
    def immediate(self) -> bool:
        return self.message.time_in_force == IOC

    @property
    def side(self) -> Side:
        return Side.BUY if self.message.side == 1 else Side.SELL

    @property
    def size(self) -> Decimal:
        return self.perpetual.quantity(self.message.quantums)

    @property
    def price(self) -> Decimal:
        return self.perpetual.price(self.message.subticks)

    @property
    def stored(self) -> bool:
        """Whether the indexer's database has it."""
        return bool(self.filled) or (self.placed and not self.short_term)

    @property
    def visible(self) -> bool:
        """Whether the indexer answers with it: from its database or, as long as it rests, from its cache."""
        return self.stored or (self.status == BEST_EFFORT_OPENED and not self.immediate)


class Orders:
    """The orders of all accounts."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._live: dict[str, Record] = {}
        self._ending: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        """Note an order; one with the same id that has ended is forgotten, as its row in the database is."""
        self._records.pop(record.id, None)
        self._ending.pop(record.id, None)
        self._records[record.id] = self._live[record.id] = record

    def get(self, order_id: str) -> Record | None:
        return self._records.get(order_id)

    def of(self, account: str) -> list[Record]:
        """Those of an account, newest first."""
        return [r for r in reversed(self._records.values()) if r.account == account]

    def live(self) -> list[Record]:
        """Those that may still be filled."""
        return list(self._live.values())

    def changed(self, event: OrderChanged, height: int) -> Record | None:
        """Take over what the truth says of an order; None for one that nobody placed, or that changed nothing here."""
        record = self._records.get(event.order.id)
        if record is None:
            return None
        before = (record.status, record.filled)
        record.updated_ms, record.updated_height = event.time_ms, height
        if event.execution == "NEW":
            record.placed = True
            if not record.short_term:
                record.status = OPEN
        elif event.execution == "TRADE":
            self._filled(record, event)
        else:
            self.end(record, record.ending or removal_of(event.reason), event.time_ms, height)
        return record if (record.status, record.filled) != before else None

    def _filled(self, record: Record, event: OrderChanged) -> None:
        record.filled = event.order.filled
        record.live = event.order.status.open
        if not record.live:
            self._live.pop(record.id, None)
        if record.filled >= record.size:
            record.status = FILLED
            record.removal = None
            self._ending.pop(record.id, None)
        elif record.immediate:
            # it is filled in one block only: what this one does not bring is cancelled
            record.status = CANCELED
        elif record.status != BEST_EFFORT_CANCELED:
            record.status = OPEN

    def end(self, record: Record, removal: str, time_ms: int, height: int) -> None:
        """It can not be filled any more. That of a short-term order is certain only after its last block, or in the
        block that filled an immediate one."""
        record.live = False
        self._live.pop(record.id, None)
        record.removal = removal
        record.updated_ms, record.updated_height = time_ms, height
        certain = (
            not record.short_term
            or record.message.good_til <= height
            or (record.immediate and bool(record.filled))
        )
        record.status = CANCELED if certain else BEST_EFFORT_CANCELED
        if not certain:
            self._ending[record.id] = record

    def settle(self, height: int) -> None:
        """Best-effort cancellations whose last block has passed are cancellations."""
        for record in [r for r in self._ending.values() if r.message.good_til <= height]:
            del self._ending[record.id]
            if not record.live:
                record.status = CANCELED
