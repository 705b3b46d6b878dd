"""What tests of the engine share: a store in memory and hedges on two fake exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio.lowlevel
from tests.domain.make import instrument
from tests.engine.virtual import LoopClock

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Intent, LegPlan, Mode, OrderRecord
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import ZERO, Fill, FillKind
from fundingarb.errors import StoreError
from fundingarb.ports import Batch, Checkpoint, Committed
from fundingarb.testing import FakeExchange

HEDGE_ID = UUID("00000000-0000-4000-8000-0000000000aa")


class MemoryStore:
    """A ``Store`` in memory. ``failing`` makes every commit raise; ``log`` has what was committed, in order."""

    def __init__(self) -> None:
        self.failing: str | None = None
        self.killed = False
        self.intents: dict[UUID, Intent] = {}
        self.orders: dict[str, OrderRecord] = {}
        self.booked: dict[tuple[str, str, str], tuple[Fill, UUID | None]] = {}
        self.paid: dict[tuple[str, str, datetime], tuple[FundingPayment, UUID | None]] = {}
        self.batches: list[Batch] = []

    async def commit(self, batch: Batch) -> Committed:
        await anyio.lowlevel.checkpoint()
        if self.failing is not None:
            raise StoreError(self.failing)
        self.batches.append(batch)
        for intent in batch.intents:
            known = self.intents.get(intent.id)
            if known is None or known.version <= intent.version:
                self.intents[intent.id] = intent
        for order in batch.orders:
            self.orders[order.client_id] = order
        fills, payments = [], []
        for fill, hedge_id in batch.fills:
            key = (fill.account, fill.symbol, fill.trade_id)
            before = self.booked.get(key)
            if before is None or (before[1] is None and hedge_id is not None):
                self.booked[key] = (fill, hedge_id)
                fills.append((fill, hedge_id))
        for payment, hedge_id in batch.payments:
            name = (payment.account, payment.symbol, payment.settlement)
            earlier = self.paid.get(name)
            if earlier is None or (earlier[1] is None and hedge_id is not None):
                self.paid[name] = (payment, hedge_id)
                payments.append((payment, hedge_id))
        return Committed(tuple(fills), tuple(payments))

    async def load(self) -> Checkpoint:
        return Checkpoint(tuple(await self.hedges()), self.killed, 1)

    async def hedges(self, *, limit: int = 1000) -> Sequence[Hedge]:
        return [self._hedge(intent) for intent in self.intents.values()][:limit]

    def _hedge(self, intent: Intent) -> Hedge:
        orders = []
        for order in self.orders.values():
            if order.hedge_id == intent.id:
                booked = sum(
                    (f.quantity for f, _ in self.booked.values() if f.client_id == order.client_id), ZERO
                )
                orders.append(replace(order, booked=booked, filled=max(order.filled, booked)))
        taken: dict[Side, Decimal] = {}
        for fill, hedge_id in self.booked.values():
            if hedge_id == intent.id and fill.kind is not FillKind.TRADE:
                side = Side.LONG if fill.account == intent.long.account else Side.SHORT
                taken[side] = taken.get(side, ZERO) + fill.quantity
        return Hedge(intent, tuple(orders), taken)

    async def fills(self, hedge_id: UUID | None = None) -> Sequence[Fill]:
        return [fill for fill, owner in self.booked.values() if hedge_id in (None, owner)]

    async def payments(self, hedge_id: UUID | None = None) -> Sequence[FundingPayment]:
        return [payment for payment, owner in self.paid.values() if hedge_id in (None, owner)]

    async def refusals(self, *, limit: int = 1000) -> Sequence[Refusal]:
        return [refusal for batch in self.batches for refusal in batch.refusals][:limit]

    async def refusal_counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for refusal in await self.refusals():
            counts[refusal.gate] = counts.get(refusal.gate, 0) + 1
        return counts

    async def set_killed(self, killed: bool, actor: str, at: datetime) -> None:
        self.killed = killed

    async def save_config(self, document: Mapping[str, Any], at: datetime) -> int:
        return 1

    async def close(self) -> None:
        return None


def hedge_on(clock: LoopClock, **changes: Any) -> Hedge:
    """A hedge of ten units, long on alpha (first) and short on beta, opening now."""
    now = clock.now()
    values: dict[str, Any] = {
        "id": HEDGE_ID,
        "instance": "t3st",
        "symbol": "BTC-USDT",
        "mode": Mode.OPENING,
        "quantity": Decimal(10),
        "long": LegPlan(Side.LONG, "alpha", instrument("alpha"), 5),
        "short": LegPlan(Side.SHORT, "beta", instrument("beta"), 5),
        "first": Side.LONG,
        "deadline": now + timedelta(seconds=30),
        "tolerance": Decimal("-0.0001"),
        "entry_spread": Decimal("0.001"),
        "created_at": now,
    }
    return Hedge(Intent(**{**values, **changes}))


def exchange(name: str, clock: LoopClock, **changes: Any) -> FakeExchange:
    """A fake exchange with a book at 99.9 / 100.1."""
    made = FakeExchange(name, clock=clock, **changes)
    made.set_book("BTC-USDT", "99.9", "100.1")
    return made
