"""The readings that are repeated all day long, each built once: building one costs far more than SQLite's answer.

Those with a fixed number of parameters are compiled like what is written, and run by the driver itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Select, bindparam, select

from fundingarb.store.statements import Statement
from fundingarb.store.tables import commands, control, funding_events, orders, positions, trades

Columns: TypeAlias = "list[tuple[str, Callable[[Any], Any] | None]]"
"""Names, and what makes a value of what the driver gives."""


class Query:
    """A SELECT and how to turn what it finds into rows by column name."""

    def __init__(self, select: Select[Any]) -> None:
        self.select = select
        self._ready: dict[str, tuple[Statement, Columns]] = {}

    def fetch(self, connection: Connection, **values: object) -> list[dict[str, Any]]:
        """All rows; ``values`` are the parameters."""
        dialect = connection.dialect
        statement, columns = self._ready.get(dialect.name) or self._prepare(dialect)
        driver: Any = connection.connection.driver_connection
        found = driver.execute(statement.sql, statement.bind(values)).fetchall()
        return [
            {
                name: value if convert is None else convert(value)
                for (name, convert), value in zip(columns, row, strict=True)
            }
            for row in found
        ]

    def _prepare(self, dialect: Dialect) -> tuple[Statement, Columns]:
        columns: Columns = [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in self.select.selected_columns
        ]
        self._ready[dialect.name] = ready = (Statement(self.select, dialect), columns)
        return ready


def _equal(column: Column[Any], name: str) -> ColumnElement[bool]:
    return column == bindparam(name, type_=column.type)


def _among(column: Column[Any], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, type_=column.type, expanding=True))


CONTROL_VALUE = Query(
    select(control.c.value).where(_equal(control.c.instance, "instance"), _equal(control.c.name, "name"))
)
WAITING_COMMANDS = Query(
    select(commands)
    .where(_equal(commands.c.instance, "instance"), commands.c.done_at.is_(None))
    .order_by(commands.c.created_at, commands.c.id)
)

HEDGES_BY_ID = select(positions).where(_among(positions.c.id, "ids"))
ORDERS_OF = select(orders).where(_among(orders.c.position_id, "ids")).order_by(orders.c.sequence)
FILL_SIZES_OF = select(
    *(trades.c[name] for name in ("position_id", "client_id", "account", "order_id", "size", "order_side"))
).where(_among(trades.c.position_id, "ids"))

FILLS = select(trades).order_by(trades.c.timestamp, trades.c.account, trades.c.trade_id)
FILLS_OF = Query(FILLS.where(_equal(trades.c.position_id, "hedge")))
PAYMENTS = select(funding_events).order_by(
    funding_events.c.settlement, funding_events.c.account, funding_events.c.pair
)
PAYMENTS_OF = Query(PAYMENTS.where(_equal(funding_events.c.position_id, "hedge")))
PAYMENTS_BETWEEN = select(funding_events).where(
    _among(funding_events.c.account, "accounts"),
    funding_events.c.settlement.between(
        bindparam("first", type_=funding_events.c.settlement.type),
        bindparam("last", type_=funding_events.c.settlement.type),
    ),
)
FUNDING_OF = Query(select(funding_events.c.payment_usd).where(_equal(funding_events.c.position_id, "hedge")))

TRADED_SINCE = select(trades.c.realized_pnl, trades.c.fee).where(
    _among(trades.c.account, "accounts"),
    trades.c.timestamp >= bindparam("since", type_=trades.c.timestamp.type),
    trades.c.position_id.is_not(None),
)
PAID_SINCE = select(funding_events.c.payment_usd).where(
    _among(funding_events.c.account, "accounts"),
    funding_events.c.settlement >= bindparam("since", type_=funding_events.c.settlement.type),
    funding_events.c.position_id.is_not(None),
)
