"""The order registry as the monitor sees it: what is committed, never what the bot believes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from fundingarb.domain.control import FlattenOrder
from fundingarb.domain.hedge import Intent, OrderRecord
from fundingarb.ports import Batch


class Registry(Protocol):
    """What the database holds of our orders."""

    def order(self, client_id: str) -> OrderRecord | None:
        """The committed row; None when there is none."""
        ...

    def flatten(self, client_id: str) -> FlattenOrder | None:
        """The committed row of an order that a kill or a person's flatten made; None when there is none."""
        ...

    def under_way(self, symbol: str) -> Collection[str]:
        """Client order ids of this symbol whose committed state is not a last one."""
        ...


@dataclass
class CommittedRows:
    """A registry that is told of every batch once its commit has returned."""

    orders: dict[str, OrderRecord] = field(default_factory=dict)
    flattens: dict[str, FlattenOrder] = field(default_factory=dict)
    intents: dict[UUID, Intent] = field(default_factory=dict)
    _open: dict[str, dict[str, None]] = field(default_factory=dict)

    def take(self, batch: Batch) -> None:
        for intent in batch.intents:
            self.intents[intent.id] = intent
        for flatten in batch.flatten_orders:
            self.flattens[flatten.client_id] = flatten
        for order in batch.orders:
            self.orders[order.client_id] = order
            waiting = self._open.setdefault(self.intents[order.hedge_id].symbol, {})
            if not order.state.terminal:
                waiting[order.client_id] = None
            else:
                waiting.pop(order.client_id, None)

    def order(self, client_id: str) -> OrderRecord | None:
        return self.orders.get(client_id)

    def flatten(self, client_id: str) -> FlattenOrder | None:
        return self.flattens.get(client_id)

    def under_way(self, symbol: str) -> Collection[str]:
        return self._open.get(symbol, {}).keys()
