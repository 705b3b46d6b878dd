"""What hedges have earned, from what is booked: read once, and again when something of theirs is booked."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fundingarb.domain.events import FillBooked, PaymentBooked, SettlementChanged
from fundingarb.domain.hedge import Hedge
from fundingarb.domain.pnl import HedgePnl, hedge_pnl
from fundingarb.engine.bus import Bus, Subscription
from fundingarb.engine.durable import in_time
from fundingarb.ports import Store

#: Events that wait until somebody asks; when there were more, everything is read again.
NEWS = 2000
#: Accounts that are kept: far more hedges than are open at once.
KEPT = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    orders: int
    pnl: HedgePnl


class HedgeMoney:
    """The account of each hedge, as booked. What the bus says is only looked at when somebody asks."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._news: Subscription | None = None
        self._missed = 0
        self._known: dict[UUID, _Known] = {}
        self._changes = 0

    async def pnl(self, hedge: Hedge) -> HedgePnl:
        """Exact to the ledger as committed. Raises ``StoreError``."""
        self._forget()
        known = self._known.get(hedge.id)
        if known is None or known.orders != len(hedge.orders):
            changes = self._changes
            pnl = hedge_pnl(
                hedge,
                await in_time(self._store.fills(hedge.id)),
                await in_time(self._store.payments(hedge.id)),
                await in_time(self._store.settlements(hedge.id)),
            )
            known = _Known(len(hedge.orders), pnl)
            if changes == self._changes:  # otherwise another look has taken news that may be about this one
                self._known[hedge.id] = known
                if len(self._known) > KEPT:
                    del self._known[next(iter(self._known))]
        return known.pnl

    def _forget(self) -> None:
        """Drop what has changed since it was read."""
        if self._news is None:
            self._news = self._bus.join(NEWS, FillBooked, PaymentBooked, SettlementChanged)
        if self._news.missed != self._missed:
            self._missed = self._news.missed
            self._changes += 1
            self._known.clear()
        while (event := self._news.take()) is not None:
            self._changes += 1
            if isinstance(event, SettlementChanged):
                self._known.pop(event.settlement.hedge_id, None)
            elif isinstance(event, (FillBooked, PaymentBooked)) and event.hedge_id is not None:
                self._known.pop(event.hedge_id, None)
