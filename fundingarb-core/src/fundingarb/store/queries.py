"""The readings that are repeated all day long, each built once: building one costs far more than SQLite's answer.

Those with a fixed number of parameters are compiled like what is written, and run by the driver itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Select, bindparam, select

from fundingarb.store.statements import Statement
from fundingarb.store.tables import commands, control, funding_events, orders, positions, trades

Columns: TypeAlias = "list[tuple[str, Callable[[Any], Any] | None]]"
"""Names, and what makes a value of what the driver gives."""


class Query:
    """A SELECT and how to turn what it finds into rows by column name."""

    def __init__(self, select: Select[Any]) -> None:
        self._select = select
        self._statements: dict[str, Statement] = {}
        self._columns: dict[str, Columns] = {}

    def fetch(self, connection: Connection, **values: object) -> list[dict[str, Any]]:
        """All rows; ``values`` are the parameters."""
        dialect = connection.dialect
        statement = self._statements.get(dialect.name)
        if statement is None:
            statement = self._statements[dialect.name] = Statement(self._select, dialect)
        driver: Any = connection.connection.driver_connection
        cursor = driver.execute(statement.sql, statement.bind(values))
        columns = self._columns.get(dialect.name)
        if columns is None:
            columns = self._columns[dialect.name] = self._described(dialect, cursor.description)
        return [
            {
                name: value if convert is None else convert(value)
                for (name, convert), value in zip(columns, row, strict=True)
            }
            for row in cursor.fetchall()
        ]

    def _described(self, dialect: Dialect, description: Sequence[Sequence[Any]]) -> Columns:
        """``description`` is the driver's: what makes a value may depend on the type that the server gives."""
        return [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, described[1]))
            for column, described in zip(self._select.selected_columns, description, strict=True)
        ]


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
