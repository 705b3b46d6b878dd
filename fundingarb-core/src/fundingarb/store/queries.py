"""The readings that are repeated all day long, each built once: building one costs far more than SQLite's answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam, select

from fundingarb.store.tables import commands, control, funding_events, orders, positions, trades


def _equal(column: Column[Any], name: str) -> ColumnElement[bool]:
    return column == bindparam(name, type_=column.type)


def _among(column: Column[Any], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, type_=column.type, expanding=True))


CONTROL_VALUE = select(control.c.value).where(
    _equal(control.c.instance, "instance"), _equal(control.c.name, "name")
)
WAITING_COMMANDS = (
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
FILLS_OF = FILLS.where(_equal(trades.c.position_id, "hedge"))
PAYMENTS = select(funding_events).order_by(
    funding_events.c.settlement, funding_events.c.account, funding_events.c.pair
)
PAYMENTS_OF = PAYMENTS.where(_equal(funding_events.c.position_id, "hedge"))
PAYMENTS_BETWEEN = select(funding_events).where(
    _among(funding_events.c.account, "accounts"),
    funding_events.c.settlement.between(
        bindparam("first", type_=funding_events.c.settlement.type),
        bindparam("last", type_=funding_events.c.settlement.type),
    ),
)
FUNDING_OF = select(funding_events.c.payment_usd).where(_equal(funding_events.c.position_id, "hedge"))

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
