"""What is asked of the database: checkpoint and reports. Free functions on a connection, each one reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.sql import Executable

from fundingarb.domain.control import (
    Accepted,
    Command,
    CommandKind,
    ControlState,
    FlattenOrder,
    Latch,
    Subject,
)
from fundingarb.domain.events import Alert, Delivery
from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.hedge import Hedge, Mode
from fundingarb.domain.instrument import Side
from fundingarb.domain.opportunity import Refusal
from fundingarb.domain.order import SKEW, ZERO, Fill
from fundingarb.domain.settlement import Settlement, SettlementStatus
from fundingarb.ports import Checkpoint
from fundingarb.store import control_rows, queries, rows, tables

TOMBSTONES = timedelta(hours=24)
"""How long hedges that are over stay in the checkpoint: a late fill still finds its order."""

FILLS_OVERLAP = timedelta(hours=1)
PAYMENTS_OVERLAP = timedelta(hours=48)
"""How far before their newest row ledgers are read again after a restart: rows may be posted late."""

FIRST_PAYMENTS = timedelta(days=7)
"""How long after a hedge is over the first payment of its account is still looked for."""

KILLED = "killed"
PAUSED = "paused"

UNPAID = (SettlementStatus.EXPECTED.value, SettlementStatus.MISSING.value)

AROUND = timedelta(minutes=2)
"""How long before and after a settlement a hedge may begin or end and still be asked whether it is its."""
LOCALNET_RUN = "localnet_run"
LIVE_MARK = "live_mark"

PART = 500
"""Most ids in one query: SQLite limits its parameters."""


def checkpoint(connection: Connection, instance: str | None, now: datetime) -> Checkpoint:
    """Everything the loop of ``instance`` (None: the database's only bot) needs to go on."""
    table, funding = tables.positions, tables.funding_events
    ended = func.coalesce(table.c.close_timestamp, table.c.created_at)
    # a late fill may have left something there that is not flattened yet
    traded = select(tables.trades.c.position_id).where(tables.trades.c.timestamp > now - TOMBSTONES)
    recent = or_(table.c.mode != Mode.DONE.value, ended > now - TOMBSTONES, table.c.id.in_(traded))
    query = select(table).where(of_instance(table, instance), recent).order_by(table.c.created_at, table.c.id)
    known = accepted(connection, instance)
    found = less_gone(hedges_where(connection, query), known)
    last, switch = last_config(connection, instance), latch(connection, instance)
    return Checkpoint(
        hedges=tuple(found),
        killed=switch is not None and switch.on,
        released_at=None if switch is None or switch.on else switch.at,
        thrown=_thrown(connection, instance, now),
        paused=control_value(connection, instance, PAUSED) == "1",
        accepted=tuple(known),
        flatten_orders=tuple(flatten_orders(connection, instance, now)),
        config_revision=0 if last is None else last[0],
        fills_since=_fills_since(connection, found),
        payments_since={
            **_earliest_hedges(connection, instance, now - FIRST_PAYMENTS),
            **_newest(connection, funding.c.account, funding.c.settlement, PAYMENTS_OVERLAP),
        },
        liquidated=_last_liquidations(connection, instance),
        last_number=connection.scalar(select(func.max(table.c.number)).where(of_instance(table, instance)))
        or 0,
    )


def control_state(connection: Connection, instance: str | None) -> ControlState:
    """The kill latch and the commands that are not done, oldest first."""
    waiting = queries.WAITING_COMMANDS.fetch(connection, instance=instance or "")
    return ControlState(
        killed=control_value(connection, instance, KILLED) == "1",
        commands=tuple(control_rows.command(row) for row in waiting),
    )


def command_of_key(connection: Connection, instance: str | None, key: str) -> Command:
    """The command that was stored under ``key``. There has to be one."""
    table = tables.commands
    query = select(table).where(table.c.instance == (instance or ""), table.c.key == key)
    (row,) = fetch(connection, query)
    return control_rows.command(row)


def latch(connection: Connection, instance: str | None, name: str = KILLED) -> Latch | None:
    """The switch of that name as it was last set or released; None when it was never touched."""
    table = tables.control
    query = select(table).where(table.c.instance == (instance or ""), table.c.name == name)
    for row in fetch(connection, query):
        return Latch(row["value"] == "1", row["actor"], row["at"])
    return None


def accepted(connection: Connection, instance: str | None) -> list[Accepted]:
    """Every difference that was accepted."""
    table = tables.accepted
    query = select(table).where(table.c.instance == (instance or "")).order_by(*table.primary_key.columns)
    return [control_rows.accepted(row) for row in fetch(connection, query)]


def flatten_orders(connection: Connection, instance: str | None, now: datetime) -> list[FlattenOrder]:
    """Those that are not over or were made within the last day, and the last one of every instrument."""
    table = tables.flatten_orders
    newest = (
        select(table.c.account, table.c.symbol, func.max(table.c.attempt).label("attempt"))
        .where(table.c.instance == (instance or ""))
        .group_by(table.c.account, table.c.symbol)
        .subquery()
    )
    last = exists(
        select(literal(1)).where(
            newest.c.account == table.c.account,
            newest.c.symbol == table.c.symbol,
            newest.c.attempt == table.c.attempt,
        )
    )
    query = (
        select(table)
        .where(table.c.instance == (instance or ""), or_(table.c.created_at > now - TOMBSTONES, last))
        .order_by(table.c.created_at, table.c.client_id)
    )
    return [control_rows.flatten_order(row) for row in fetch(connection, query)]


def _thrown(connection: Connection, instance: str | None, now: datetime) -> dict[str, datetime]:
    table = tables.commands
    query = (
        select(table.c.actor, func.max(table.c.created_at).label("at"))
        .where(table.c.instance == (instance or ""), table.c.kind == CommandKind.KILL.value)
        .where(table.c.created_at > now - TOMBSTONES)
        .group_by(table.c.actor)
    )
    return {row.actor: row.at for row in connection.execute(query)}


def control_value(connection: Connection, instance: str | None, name: str) -> str | None:
    """A switch of ``instance``; None when it was never touched."""
    for row in queries.CONTROL_VALUE.fetch(connection, instance=instance or "", name=name):
        return str(row["value"])
    return None


def traded(connection: Connection) -> bool:
    """Whether there has ever been a hedge."""
    return connection.scalar(select(tables.positions.c.id).limit(1)) is not None


def last_sequence(connection: Connection) -> int:
    """The highest ``sequence`` of the order registry."""
    return connection.scalar(select(func.max(tables.orders.c.sequence))) or 0


def last_config(connection: Connection, instance: str | None) -> tuple[int, Any] | None:
    """Number and document of the newest configuration revision of ``instance``."""
    table = tables.config_revisions
    query = (
        select(table).where(table.c.instance == (instance or "")).order_by(table.c.revision.desc()).limit(1)
    )
    for row in fetch(connection, query):
        return row["revision"], row["document"]
    return None


def next_revision(connection: Connection) -> int:
    """The number after the newest configuration revision of any instance."""
    return (connection.scalar(select(func.max(tables.config_revisions.c.revision))) or 0) + 1


def hedges(connection: Connection, instance: str | None, limit: int) -> list[Hedge]:
    """Newest first."""
    table = tables.positions
    query = select(table).where(of_instance(table, instance))
    found = hedges_where(connection, query.order_by(table.c.created_at.desc(), table.c.id).limit(limit))
    return less_gone(found, accepted(connection, instance))


def less_gone(hedges: Iterable[Hedge], known: Iterable[Accepted]) -> list[Hedge]:
    """``hedges`` without what a person accepted to be gone from their legs."""
    gone = {(each.name, each.account): each.quantity for each in known if each.subject is Subject.LEG}
    result = []
    for hedge in hedges:
        for side in Side:
            quantity = gone.get((str(hedge.id), hedge.intent.leg(side).account), ZERO)
            if quantity:
                taken = {**hedge.taken, side: hedge.taken.get(side, ZERO) + quantity}
                hedge = replace(hedge, taken=taken)
        result.append(hedge)
    return result


def hedges_by_id(connection: Connection, wanted: Iterable[UUID]) -> dict[UUID, Hedge]:
    """The hedges of these ids, those that exist."""
    found = {}
    for part in _parts(list(wanted)):
        for hedge in hedges_where(connection, queries.HEDGES_BY_ID, ids=part):
            found[hedge.id] = hedge
    return found


def hedges_where(connection: Connection, query: Executable, **values: object) -> list[Hedge]:
    """The hedges of the rows of ``query``, in its order, each with its orders and what its fills add up to."""
    intents = [rows.intent(row) for row in fetch(connection, query, **values)]
    order_rows: dict[UUID, list[rows.Row]] = {}
    fill_rows: dict[UUID, list[rows.Row]] = {}
    for part in _parts([intent.id for intent in intents]):
        for row in fetch(connection, queries.ORDERS_OF, ids=part):
            order_rows.setdefault(row["position_id"], []).append(row)
        for row in fetch(connection, queries.FILL_SIZES_OF, ids=part):
            fill_rows.setdefault(row["position_id"], []).append(row)
    return [
        rows.hedge(intent, order_rows.get(intent.id, ()), fill_rows.get(intent.id, ())) for intent in intents
    ]


def fills(connection: Connection, hedge_id: UUID | None = None) -> list[Fill]:
    """Oldest first; of one hedge, or all of them."""
    if hedge_id is None:
        return [rows.fill(row) for row in fetch(connection, queries.FILLS)]
    return [rows.fill(row) for row in queries.FILLS_OF.fetch(connection, hedge=hedge_id)]


def payments(connection: Connection, hedge_id: UUID | None = None) -> list[FundingPayment]:
    """Oldest first; of one hedge, or all of them."""
    if hedge_id is None:
        return [rows.payment(row) for row in fetch(connection, queries.PAYMENTS)]
    return [rows.payment(row) for row in queries.PAYMENTS_OF.fetch(connection, hedge=hedge_id)]


def booked_beside(connection: Connection, read: Sequence[FundingPayment]) -> list[FundingPayment]:
    """The payments booked on the accounts of ``read``, from their first settlement to their last."""
    times = [payment.settlement for payment in read]
    accounts = sorted({payment.account for payment in read})
    span = {"first": min(times), "last": max(times)}
    found = fetch(connection, queries.PAYMENTS_BETWEEN, accounts=accounts, **span)
    return [rows.payment(row) for row in found]


def settlements(
    connection: Connection, hedge_id: UUID | None = None, since: datetime | None = None
) -> list[Settlement]:
    """Oldest first; of one hedge or all of them, from ``since`` on with every older one that is still unpaid."""
    table = tables.settlements
    query = select(table).order_by(table.c.settlement, table.c.account, table.c.pair)
    if hedge_id is not None:
        query = query.where(table.c.position_id == hedge_id)
    if since is not None:
        query = query.where(or_(table.c.settlement >= since, table.c.status.in_(UNPAID)))
    return [rows.settlement(row) for row in fetch(connection, query)]


def hedges_at(connection: Connection, account: str, symbol: str, at: datetime) -> list[Hedge]:
    """The hedges with a leg on ``account`` in ``symbol`` that were live at ``at``, give or take ``AROUND``."""
    table = tables.positions
    ended = table.c.close_timestamp
    query = select(table).where(
        table.c.pair == symbol,
        or_(table.c.long_account == account, table.c.short_account == account),
        table.c.created_at <= at + AROUND,
        or_(ended.is_(None), ended >= at - AROUND),
    )
    return hedges_where(connection, query.order_by(table.c.created_at, table.c.id))


def funding_total(connection: Connection, hedge_id: UUID) -> Decimal:
    """What a hedge's funding payments add up to. Summed here, exactly: SQLite would add binary floats."""
    return sum((row["payment_usd"] for row in queries.FUNDING_OF.fetch(connection, hedge=hedge_id)), ZERO)


def result_since(connection: Connection, accounts: Collection[str], since: datetime) -> Decimal:
    """Price results and funding less fees, booked to hedges on ``accounts``. Summed here, as in ``funding_total``."""
    wanted = {"accounts": list(accounts), "since": since}
    booked = fetch(connection, queries.TRADED_SINCE, **wanted)
    prices = sum((row["realized_pnl"] - row["fee"] for row in booked), ZERO)
    return prices + sum(connection.scalars(queries.PAID_SINCE, wanted), ZERO)


def refusals(connection: Connection, limit: int) -> list[Refusal]:
    """Newest first, each the last of its kind."""
    table = tables.refusals
    query = select(table).order_by(table.c.last_at.desc(), *table.primary_key.columns).limit(limit)
    return [control_rows.refusal(row) for row in fetch(connection, query)]


def refusal_counts(connection: Connection) -> dict[str, int]:
    """Gate -> how many candidates it refused."""
    table = tables.refusals
    total = func.sum(table.c["count"]).label("total")
    query = select(table.c.gate, total).group_by(table.c.gate).order_by(table.c.gate)
    return {row["gate"]: int(row["total"]) for row in fetch(connection, query)}


def alerts(connection: Connection, limit: int) -> list[Alert]:
    """Newest first."""
    table = tables.alerts
    query = select(table).order_by(table.c.at.desc(), table.c.id).limit(limit)
    return [control_rows.alert(row) for row in fetch(connection, query)]


def undelivered(connection: Connection, instance: str | None, since: datetime) -> list[Delivery]:
    """Oldest first."""
    waiting, table = tables.deliveries, tables.alerts
    query = (
        select(table, waiting.c.sink)
        .join(waiting, waiting.c.alert_id == table.c.id)
        .where(of_instance(waiting, instance), waiting.c.delivered_at.is_(None), table.c.at >= since)
        .order_by(table.c.at, table.c.id, waiting.c.sink)
    )
    return [Delivery(control_rows.alert(row), row["sink"], None) for row in fetch(connection, query)]


def of_instance(table: Table, instance: str | None) -> ColumnElement[bool]:
    """Whether a row is of ``instance``; None is the only bot there is."""
    return true() if instance is None else table.c.instance == instance


def _fills_since(connection: Connection, known: Sequence[Hedge]) -> dict[str, datetime]:
    """Per account, when to read fills from: an hour before the newest one, or the oldest order that misses some."""
    since = _newest(connection, tables.trades.c.account, tables.trades.c.timestamp, FILLS_OVERLAP)
    for hedge in known:
        for order in hedge.orders:
            if not order.state.terminal or order.booked < order.filled:
                made = order.created_at - SKEW
                since[order.account] = min(since.get(order.account, made), made)
    return since


def _earliest_hedges(connection: Connection, instance: str | None, after: datetime) -> dict[str, datetime]:
    """Account -> when the first of its hedges that ended ``after`` was made: where to look while nothing is booked."""
    table = tables.positions
    ended = func.coalesce(table.c.close_timestamp, table.c.created_at)
    query = select(table.c.long_account, table.c.short_account, table.c.created_at).where(
        of_instance(table, instance), or_(table.c.mode != Mode.DONE.value, ended > after)
    )
    earliest: dict[str, datetime] = {}
    for row in fetch(connection, query):
        for account in (row["long_account"], row["short_account"]):
            earliest[account] = min(earliest.get(account, row["created_at"]), row["created_at"])
    return earliest


def _last_liquidations(connection: Connection, instance: str | None) -> dict[str, datetime]:
    """Symbol -> when its last liquidated hedge was closed."""
    table = tables.positions
    closed = table.c.close_timestamp
    over = (table.c.liquidated, closed.is_not(None), of_instance(table, instance))
    query = select(table.c.pair, func.max(closed, type_=closed.type).label("closed")).where(*over)
    return {row["pair"]: row["closed"] for row in fetch(connection, query.group_by(table.c.pair))}


def _newest(
    connection: Connection, account: Column[str], at: Column[datetime], overlap: timedelta
) -> dict[str, datetime]:
    query = select(account.label("account"), func.max(at, type_=at.type).label("newest")).group_by(account)
    return {row["account"]: row["newest"] - overlap for row in fetch(connection, query)}


def fetch(connection: Connection, query: Executable, **values: object) -> list[Mapping[str, Any]]:
    """All rows by column name."""
    result = connection.execute(query, values)
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]


def _parts(ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    return (ids[start : start + PART] for start in range(0, len(ids), PART))
