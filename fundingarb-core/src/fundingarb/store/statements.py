"""The statements that write, compiled once per database.

The tables are the single source: SQLAlchemy makes the SQL and the conversion of every value from them. What runs per
commit is the driver's own ``execute`` with ready text, because SQLAlchemy's cost per execution is several times that
of the insert itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    Dialect,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from fundingarb.domain.order import OrderState
from fundingarb.store import tables
from fundingarb.store.columns import text_once

DERIVED = (
    "status",
    "long_entry_price",
    "short_entry_price",
    "long_exit_price",
    "short_exit_price",
    "size_usd",
    "price_pnl",
    "fees_paid",
    "funding_collected",
    "realized_pnl",
)
"""Columns of ``positions`` that are computed from fills and payments."""

TERMINAL = tuple(state.value for state in OrderState if state.terminal)
EXECUTED = (OrderState.FILLED.value, OrderState.CANCELLED.value)
"""How an order ends that the exchange has had: it never becomes anything before that again, nor refused."""
LOOKED_AFTER = (OrderState.OPEN.value, *TERMINAL)
"""What a refused order may become: refused also means that the exchange knew none, and it may turn up after all."""


class Statement:
    """SQL text and how to turn a row into its parameters."""

    __slots__ = ("_fields", "_named", "sql")

    def __init__(self, clause: ClauseElement, dialect: Dialect, columns: Iterable[str] | None = None) -> None:
        keys = None if columns is None else list(columns)
        compiled = clause.compile(dialect=dialect, column_keys=keys)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"{clause} is not a statement")
        self.sql: str = compiled.string
        self._named = compiled.positiontup is None
        order = compiled.positiontup if compiled.positiontup is not None else list(compiled.binds)
        constant = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        processors: dict[str, Callable[[Any], Any] | None] = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        if not self._named:
            for name, bind in compiled.binds.items():
                convert = processors[name]
                if isinstance(bind.type, JSON) and convert is not None:
                    processors[name] = text_once(convert)
        self._fields = [(name, processors[name], constant.get(name)) for name in order]

    def bind(self, row: Mapping[str, Any]) -> Any:
        """The parameters for ``row``: a tuple for SQLite, a mapping for PostgreSQL."""
        if self._named:
            return {
                name: value if convert is None else convert(value)
                for name, convert, constant in self._fields
                for value in (row.get(name, constant),)
            }
        return tuple(
            [
                value if convert is None else convert(value)
                for name, convert, constant in self._fields
                for value in (row.get(name, constant),)
            ]
        )


def _added(new: Any, dialect: Dialect) -> Any:
    """Insert a row of ``audit`` unless it is there: one that is, is not even tried on SQLite, whose trigger refuses it
    before ON CONFLICT is asked."""
    audit = tables.audit
    if dialect.name == "postgresql":
        return new.on_conflict_do_nothing(index_elements=["id"])
    row = [bindparam(column.name, type_=column.type) for column in audit.c]
    there = exists().where(audit.c.id == bindparam("id", type_=audit.c.id.type))
    return new.from_select([column.name for column in audit.c], select(*row).where(~there))


class Statements:
    """Every write of the store for one kind of database. Each is an upsert that a replay leaves as it is."""

    def __init__(self, dialect: Dialect) -> None:
        insert: Any = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        positions, orders, trades, funding = (
            tables.positions,
            tables.orders,
            tables.trades,
            tables.funding_events,
        )

        def names(table: Table, *without: str) -> list[str]:
            return [column.name for column in table.columns if column.name not in without]

        # an older version of an intent never replaces a newer one
        intent_columns = names(positions, *(set(DERIVED) - {"status"}))
        new = insert(positions)
        self.intent = Statement(
            new.on_conflict_do_update(
                index_elements=["id"],
                set_={name: new.excluded[name] for name in intent_columns if name != "id"},
                where=positions.c.version <= new.excluded.version,
            ),
            dialect,
            intent_columns,
        )

        # an order that is over stays over, whatever is replayed; a refused one may turn up after all
        new = insert(orders)
        stored, given = orders.c.state, new.excluded.state
        self.order = Statement(
            new.on_conflict_do_update(
                index_elements=["client_id"],
                set_={
                    name: new.excluded[name] for name in names(orders, "client_id", "position_id", "sequence")
                },
                where=or_(
                    stored.not_in(_inline(TERMINAL)),
                    given.in_(_inline(EXECUTED)),
                    and_(stored.not_in(_inline(EXECUTED)), given.in_(_inline(LOOKED_AFTER))),
                ),
            ),
            dialect,
            names(orders),
        )

        live = tables.live_instruments
        own = live.alias("own")
        account, symbol, position = (bindparam(c.name, type_=c.type) for c in live.columns)
        self.occupy = Statement(
            insert(live).from_select(
                names(live),
                select(account, symbol, position).where(
                    ~exists(
                        select(literal(1)).where(
                            and_(
                                own.c.account == account,
                                own.c.symbol == symbol,
                                own.c.position_id == position,
                            )
                        )
                    )
                ),
            ),
            dialect,
        )
        self.release = Statement(
            live.delete().where(live.c.position_id == bindparam("id", type_=live.c.position_id.type)), dialect
        )

        # a fill or payment is stored once; one that belonged to no hedge may be adopted by one
        told_by_hedge = ("position_id", "side", "action", "order_type")
        self.fill = Statement(
            _adopt(insert(trades), trades, ["account", "symbol", "trade_id"], told_by_hedge), dialect
        )
        self.payment = Statement(
            _adopt(
                insert(funding),
                funding,
                ["exchange", "account", "pair", "settlement", "ledger_id"],
                ("position_id",),
            ),
            dialect,
        )

        noted = tables.settlements
        new = insert(noted)
        self.settlement = Statement(
            new.on_conflict_do_update(
                index_elements=["id"],
                set_={
                    name: new.excluded[name]
                    for name in names(noted, "id", "exchange", "account", "pair", "settlement")
                },
            ),
            dialect,
            names(noted),
        )

        refused = tables.refusals
        new = insert(refused)
        newer = new.excluded.last_at >= refused.c.last_at
        self.refusal = Statement(
            new.on_conflict_do_update(
                index_elements=[column.name for column in refused.primary_key.columns],
                set_={"count": refused.c.count + new.excluded["count"]}
                | {
                    name: case((newer, new.excluded[name]), else_=refused.c[name])
                    for name in ("last_at", "needed", "actual", "spread_8h", "net_usd")
                },
            ),
            dialect,
            names(refused),
        )
        self.alert = Statement(
            insert(tables.alerts).on_conflict_do_nothing(index_elements=["id"]), dialect, names(tables.alerts)
        )

        deliveries = tables.deliveries
        new = insert(deliveries)
        self.delivery = Statement(
            new.on_conflict_do_update(
                index_elements=[column.name for column in deliveries.primary_key.columns],
                set_={
                    "delivered_at": func.coalesce(deliveries.c.delivered_at, new.excluded.delivered_at),
                },
            ),
            dialect,
            names(deliveries),
        )

        self.derived = Statement(
            update(positions)
            .where(positions.c.id == bindparam("key", type_=positions.c.id.type))
            .values({name: bindparam(name, type_=positions.c[name].type) for name in DERIVED}),
            dialect,
        )

        control = tables.control
        new = insert(control)
        self.control = Statement(
            new.on_conflict_do_update(
                index_elements=["instance", "name"],
                set_={name: new.excluded[name] for name in ("value", "actor", "at")},
            ),
            dialect,
            names(control),
        )
        self.revision = Statement(insert(tables.config_revisions), dialect, names(tables.config_revisions))

        # the first command with a key is the one that counts; it is taken once
        commands = tables.commands
        self.command = Statement(
            insert(commands).on_conflict_do_nothing(index_elements=["instance", "key"]),
            dialect,
            names(commands),
        )
        mine = commands.c.id == bindparam("command", type_=commands.c.id.type)
        self.audit = Statement(_added(insert(tables.audit), dialect), dialect, names(tables.audit))
        self.take = Statement(
            update(commands)
            .where(mine, commands.c.taken_at.is_(None))
            .values(taken_at=bindparam("taken_at", type_=commands.c.taken_at.type)),
            dialect,
        )
        self.report = Statement(
            update(commands)
            .where(mine, commands.c.done_at.is_(None))
            .values(
                {
                    name: bindparam(name, type_=commands.c[name].type)
                    for name in ("taken_at", "done_at", "result")
                }
            ),
            dialect,
        )

        flatten, accepted = tables.flatten_orders, tables.accepted
        new = insert(flatten)
        self.flatten = Statement(
            new.on_conflict_do_update(
                index_elements=["client_id"],
                set_={
                    name: new.excluded[name]
                    for name in ("state", "filled", "exchange_order_id", "reason", "resolved_at")
                },
                where=flatten.c.state.not_in(_inline(TERMINAL)),
            ),
            dialect,
            names(flatten),
        )
        new = insert(accepted)
        self.accepted = Statement(
            new.on_conflict_do_update(
                index_elements=[column.name for column in accepted.primary_key.columns],
                set_={name: new.excluded[name] for name in ("quantity", "actor", "at")},
            ),
            dialect,
            names(accepted),
        )


def _inline(values: tuple[str, ...]) -> Any:
    """Constants written into the SQL text: they are part of the statement, not parameters of it."""
    return [literal_column(f"'{value}'") for value in values]


def _adopt(new: Any, table: Table, unique: list[str], columns: Iterable[str]) -> Any:
    """``columns`` are what only the hedge tells of a row; until there is one they were guessed."""
    return new.on_conflict_do_update(
        index_elements=unique,
        set_={name: new.excluded[name] for name in columns},
        where=and_(table.c.position_id.is_(None), new.excluded.position_id.is_not(None)),
    )
