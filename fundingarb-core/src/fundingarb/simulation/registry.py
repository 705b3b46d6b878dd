"""The order registry as the monitor sees it: what is committed, never what the bot believes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Select, select

from fundingarb.domain.control import FlattenOrder
from fundingarb.domain.hedge import Intent, OrderRecord
from fundingarb.domain.order import OrderState
from fundingarb.ports import Batch
from fundingarb.store import rows, tables
from fundingarb.store.database import connect, explained, make_engine, parse_url


class Registry(Protocol):
    """What the database holds of our orders."""

    def order(self, client_id: str) -> OrderRecord | None:
        """The committed row; None when there is none."""
        ...

    def flatten(self, client_id: str) -> FlattenOrder | None:
        """The committed row of an order that a kill or a person's flatten made; None when there is none."""
        ...

    def unresolved(self, symbol: str) -> Collection[str]:
        """Client order ids of this symbol whose committed state is INTENDED or UNKNOWN."""
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
            if order.state.unresolved:
                waiting[order.client_id] = None
            else:
                waiting.pop(order.client_id, None)

    def order(self, client_id: str) -> OrderRecord | None:
        return self.orders.get(client_id)

    def flatten(self, client_id: str) -> FlattenOrder | None:
        return self.flattens.get(client_id)

    def unresolved(self, symbol: str) -> Collection[str]:
        return self._open.get(symbol, {}).keys()


class SqlRegistry:
    """A registry read from the database itself, on a connection of its own: for a bot in another process or thread."""

    def __init__(self, url: str) -> None:
        self._database = parse_url(url)
        self._engine = make_engine(self._database, read_only=True)

    def order(self, client_id: str) -> OrderRecord | None:
        table = tables.orders
        found = self._rows(select(table).where(table.c.client_id == client_id))
        return rows.order(found[0]) if found else None

    def flatten(self, client_id: str) -> FlattenOrder | None:
        table = tables.flatten_orders
        found = self._rows(select(table).where(table.c.client_id == client_id))
        return rows.flatten_order(found[0]) if found else None

    def unresolved(self, symbol: str) -> Collection[str]:
        orders, hedges = tables.orders, tables.positions
        waiting = [state.value for state in OrderState if state.unresolved]
        query = (
            select(orders.c.client_id)
            .join(hedges, hedges.c.id == orders.c.position_id)
            .where(hedges.c.pair == symbol, orders.c.state.in_(waiting))
        )
        return [str(row["client_id"]) for row in self._rows(query)]

    def _rows(self, query: Select[Any]) -> list[Mapping[str, Any]]:
        with connect(self._engine, self._database) as connection, explained(self._database):
            result = connection.execute(query)
            return [dict(row) for row in result.mappings()]

    def close(self) -> None:
        self._engine.dispose()
