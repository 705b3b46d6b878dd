"""The order registry of a bot in another process, read from its database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Select, select

from fundingarb.domain.control import FlattenOrder
from fundingarb.domain.hedge import OrderRecord
from fundingarb.domain.order import OrderState
from fundingarb.store import control_rows, rows, tables
from fundingarb.store.database import connect, explained, make_engine, parse_url


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
        return control_rows.flatten_order(found[0]) if found else None

    def under_way(self, symbol: str) -> Collection[str]:
        orders, hedges = tables.orders, tables.positions
        waiting = [state.value for state in OrderState if not state.terminal]
        query = (
            select(orders.c.client_id)
            .join(hedges, hedges.c.id == orders.c.position_id)
            .where(hedges.c.pair == symbol, orders.c.state.in_(waiting))
        )
        return [str(row["client_id"]) for row in self._rows(query)]

    def names(self) -> list[str]:
        """Client order ids of every order there is a row of."""
        found = [*self._rows(select(tables.orders.c.client_id))]
        found += self._rows(select(tables.flatten_orders.c.client_id))
        return [str(row["client_id"]) for row in found]

    def _rows(self, query: Select[Any]) -> list[Mapping[str, Any]]:
        with connect(self._engine, self._database) as connection, explained(self._database):
            result = connection.execute(query)
            return [dict(row) for row in result.mappings()]

    def close(self) -> None:
        self._engine.dispose()
