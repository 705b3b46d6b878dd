"""Readings for people: hedges with everything that is booked to them, and the newest orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, Select, and_, or_, select

from fundingarb.domain.control import AuditEntry
from fundingarb.domain.hedge import Hedge, Mode, OrderRecord
from fundingarb.ports import ConfigRevision, HedgeBooks
from fundingarb.store import control_rows, reading, rows, tables

PART = reading.PART


def closed(connection: Connection, instance: str | None, after: UUID | None, limit: int) -> list[HedgeBooks]:
    """The last closed first; only what has held something. ``after`` goes on behind that hedge."""
    table = tables.positions
    held = or_(table.c.long_entry_price.is_not(None), table.c.short_entry_price.is_not(None))
    over = and_(table.c.mode == Mode.DONE.value, table.c.close_timestamp.is_not(None), held)
    query = select(table).where(reading.of_instance(table, instance), over)
    if after is not None:
        found = connection.execute(select(table.c.close_timestamp).where(table.c.id == after)).first()
        if found is None or found[0] is None:
            return []
        earlier = table.c.close_timestamp < found[0]
        query = query.where(or_(earlier, and_(table.c.close_timestamp == found[0], table.c.id < after)))
    query = query.order_by(table.c.close_timestamp.desc(), table.c.id.desc()).limit(limit)
    return with_books(connection, _less_gone(connection, instance, query))


def books_of(connection: Connection, instance: str | None, wanted: Iterable[UUID]) -> list[HedgeBooks]:
    """Of the hedges of these ids, those that exist."""
    found = reading.hedges_by_id(connection, wanted).values()
    return with_books(connection, reading.less_gone(found, reading.accepted(connection, instance)))


def _less_gone(
    connection: Connection, instance: str | None, query: Select[tuple[object, ...]]
) -> list[Hedge]:
    found = reading.hedges_where(connection, query)
    return reading.less_gone(found, reading.accepted(connection, instance))


def with_books(connection: Connection, hedges: Sequence[Hedge]) -> list[HedgeBooks]:
    """``hedges`` with their fills, payments and settlements, each kind read at once."""
    kinds = (
        (tables.trades, tables.trades.c.timestamp, rows.fill),
        (tables.funding_events, tables.funding_events.c.settlement, rows.payment),
        (tables.settlements, tables.settlements.c.settlement, rows.settlement),
    )
    found: list[dict[UUID, list[object]]] = [{} for _ in kinds]
    ids = [hedge.id for hedge in hedges]
    for start in range(0, len(ids), PART):
        part = ids[start : start + PART]
        for (table, at, made), into in zip(kinds, found, strict=True):
            query = select(table).where(table.c.position_id.in_(part)).order_by(at, table.c.id)
            for row in reading.fetch(connection, query):
                into.setdefault(row["position_id"], []).append(made(row))
    return [HedgeBooks(hedge, *(tuple(kind.get(hedge.id, ())) for kind in found)) for hedge in hedges]  # type: ignore[arg-type]


def audited(connection: Connection, instance: str | None, limit: int) -> list[AuditEntry]:
    """Newest first."""
    table = tables.audit
    query = select(table).where(reading.of_instance(table, instance))
    query = query.order_by(table.c.at.desc(), table.c.id).limit(limit)
    return [control_rows.audit_entry(row) for row in reading.fetch(connection, query)]


def config_revisions(connection: Connection, instance: str | None, limit: int | None) -> list[ConfigRevision]:
    """Newest first."""
    table = tables.config_revisions
    query = select(table).where(table.c.instance == (instance or "")).order_by(table.c.revision.desc())
    found = reading.fetch(connection, query if limit is None else query.limit(limit))
    return [ConfigRevision(row["revision"], row["at"], row["document"], row["actor"]) for row in found]


def newest_orders(
    connection: Connection, instance: str | None, limit: int
) -> list[tuple[OrderRecord, str, str]]:
    """Each with its hedge's symbol and its exchange, the newest first."""
    orders, hedges = tables.orders, tables.positions
    query = (
        select(orders, hedges.c.pair, hedges.c.long_exchange, hedges.c.short_exchange)
        .join(hedges, hedges.c.id == orders.c.position_id)
        .where(reading.of_instance(hedges, instance))
        .order_by(orders.c.sequence.desc())
        .limit(limit)
    )
    found = []
    for row in reading.fetch(connection, query):
        record = rows.order(row)
        exchange = row["long_exchange"] if record.leg.value == "LONG" else row["short_exchange"]
        found.append((record, row["pair"], exchange))
    return found
