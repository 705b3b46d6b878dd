"""The tables. Names and columns of the specification's three tables are as given there; the rest is the hedge loop's.

In the specification's words: a row of ``positions`` is a hedge, a row of ``trades`` a fill, a row of
``funding_events`` a funding payment. Amounts are settle currency, quantities base units.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from fundingarb.store.columns import Instant, Money, Words, document

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

NAME = 40
"""Characters of a symbol, an exchange's or an account's name."""


def _position(**options: Any) -> Column[Any]:
    return Column("position_id", Uuid(), ForeignKey("positions.id"), **options)


positions = Table(
    "positions",
    metadata,
    # the specification's columns; those marked * are computed from trades and funding_events
    Column("id", Uuid(), primary_key=True),
    Column("pair", String(NAME), nullable=False),
    Column("long_exchange", String(NAME), nullable=False),
    Column("short_exchange", String(NAME), nullable=False),
    Column("long_entry_price", Money()),  # *
    Column("short_entry_price", Money()),  # *
    Column("size_usd", Money()),  # *
    Column("leverage_long", Integer, nullable=False),
    Column("leverage_short", Integer, nullable=False),
    Column("entry_timestamp", Instant()),
    Column("entry_funding_spread", Money(), nullable=False),
    Column("status", String(20), nullable=False),
    Column("close_timestamp", Instant()),
    Column("realized_pnl", Money()),  # *
    Column("funding_collected", Money()),  # *
    # the rest of the intent
    Column("instance", String(8), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("quantity", Money(), nullable=False),
    Column("long_account", String(NAME), nullable=False),
    Column("short_account", String(NAME), nullable=False),
    Column("long_instrument", document(), nullable=False),
    Column("short_instrument", document(), nullable=False),
    Column("first_side", String(10), nullable=False),
    Column("deadline", Instant(), nullable=False),
    Column("tolerance", Money(), nullable=False),
    Column("close_reason", String(20)),
    Column("liquidated", Boolean, nullable=False),
    Column("origin", String(NAME), nullable=False),
    Column("config_revision", Integer, nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("number", Integer, nullable=False, server_default=text("0")),
    # more that is computed from trades
    Column("long_exit_price", Money()),  # *
    Column("short_exit_price", Money()),  # *
    Column("price_pnl", Money()),  # *
    Column("fees_paid", Money()),  # *
    Index(
        "uq_positions_live_pair",
        "instance",
        "pair",
        unique=True,
        sqlite_where=text("mode <> 'DONE'"),
        postgresql_where=text("mode <> 'DONE'"),
    ),
    Index("ix_positions_instance_created_at", "instance", "created_at"),
)
"""One row per hedge. ``size_usd`` is the hedged quantity that was entered, at the mean of both entry prices."""

live_instruments = Table(
    "live_instruments",
    metadata,
    Column("account", String(NAME), primary_key=True),
    Column("symbol", String(NAME), primary_key=True),
    _position(nullable=False, index=True),
)
"""What live hedges occupy: the primary key keeps each (account, symbol) in one hedge."""

orders = Table(
    "orders",
    metadata,
    Column("client_id", String(64), primary_key=True),
    _position(nullable=False, index=True),
    Column("sequence", BigInteger, nullable=False),
    Column("leg", String(10), nullable=False),
    Column("purpose", String(10), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("account", String(NAME), nullable=False),
    Column("side", String(10), nullable=False),
    Column("quantity", Money(), nullable=False),
    Column("price", Money()),
    Column("time_in_force", String(20), nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("filled", Money(), nullable=False),
    Column("average_price", Money()),
    Column("exchange_order_id", Words(), nullable=False),
    Column("reference", Money()),
    Column("reason", Words(), nullable=False),
    Column("acknowledged_at", Instant()),
    Column("resolved_at", Instant()),
    Column("latency_ms", Float(53)),
    Column("misses", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
)
"""The order registry. ``sequence`` is the order in which rows were first committed."""

trades = Table(
    "trades",
    metadata,
    # the specification's columns
    Column("id", Uuid(), primary_key=True),
    _position(index=True),
    Column("exchange", String(NAME), nullable=False),
    Column("side", String(10), nullable=False),
    Column("action", String(10), nullable=False),
    Column("order_type", String(10), nullable=False),
    Column("price", Money(), nullable=False),
    Column("size", Money(), nullable=False),
    Column("fee", Money(), nullable=False),
    Column("timestamp", Instant(), nullable=False),
    Column("order_id", Words(), nullable=False),
    Column("status", String(20), nullable=False),
    # the rest of the fill
    Column("account", String(NAME), nullable=False),
    Column("symbol", String(NAME), nullable=False),
    Column("trade_id", Words(), nullable=False),
    Column("client_id", Words()),
    Column("order_side", String(10), nullable=False),
    Column("realized_pnl", Money(), nullable=False),
    Column("maker", Boolean, nullable=False),
    Column("kind", String(20), nullable=False),
    UniqueConstraint("account", "symbol", "trade_id"),
    Index("ix_trades_account_timestamp", "account", "timestamp"),
)
"""One row per fill, booked once. ``position_id`` is null for a fill that belongs to no hedge of ours."""

funding_events = Table(
    "funding_events",
    metadata,
    # the specification's columns
    Column("id", Uuid(), primary_key=True),
    _position(index=True),
    Column("exchange", String(NAME), nullable=False),
    Column("pair", String(NAME), nullable=False),
    Column("funding_rate", Money()),
    Column("payment_usd", Money(), nullable=False),
    Column("timestamp", Instant(), nullable=False),
    # the rest of the payment
    Column("account", String(NAME), nullable=False),
    Column("settlement", Instant(), nullable=False),
    Column("currency", String(NAME), nullable=False),
    Column("ledger_id", Words(), nullable=False),
    UniqueConstraint("exchange", "account", "pair", "settlement", "ledger_id"),
    Index("ix_funding_events_account_settlement", "account", "settlement"),
)
"""One row per funding payment, booked once; a second one of a settlement is a correction with an id of its own."""

settlements = Table(
    "settlements",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _position(nullable=False, index=True),
    Column("exchange", String(NAME), nullable=False),
    Column("account", String(NAME), nullable=False),
    Column("pair", String(NAME), nullable=False),
    Column("settlement", Instant(), nullable=False),
    Column("side", String(10), nullable=False),
    Column("quantity", Money(), nullable=False),
    Column("noted_at", Instant(), nullable=False),
    Column("status", String(20), nullable=False),
    Column("rate", Money()),
    Column("mark", Money()),
    Column("charged", Boolean, nullable=False),
    Column("amount", Money()),
    Column("deviation", Money()),
    UniqueConstraint("exchange", "account", "pair", "settlement"),
    Index("ix_settlements_settlement", "settlement"),
    Index(
        "ix_settlements_unpaid",
        "status",
        sqlite_where=text("status IN ('EXPECTED', 'MISSING')"),
        postgresql_where=text("status IN ('EXPECTED', 'MISSING')"),
    ),
)
"""One row per settlement that a leg held a position through. Rate and mark can not be read again later."""

refusals = Table(
    "refusals",
    metadata,
    Column("symbol", String(NAME), primary_key=True),
    Column("long_exchange", String(NAME), primary_key=True),
    Column("short_exchange", String(NAME), primary_key=True),
    Column("gate", String(NAME), primary_key=True),
    Column("first_at", Instant(), nullable=False),
    Column("last_at", Instant(), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("needed", Words(), nullable=False),
    Column("actual", Words(), nullable=False),
    Column("spread_8h", Money()),
    Column("net_usd", Money()),
    Index("ix_refusals_last_at", "last_at"),
)
"""The why-not ledger: one row per candidate and gate, with the last numbers, so that it does not grow per tick."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid(), primary_key=True),
    Column("position_id", Uuid()),
    Column("severity", String(10), nullable=False),
    Column("title", Words(), nullable=False),
    Column("lines", document(), nullable=False),
    Column("at", Instant(), nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("instance", String(8), primary_key=True),
    Column("alert_id", Uuid(), primary_key=True),
    Column("sink", String(NAME), primary_key=True),
    Column("delivered_at", Instant()),
    Index(
        "ix_deliveries_waiting",
        "instance",
        sqlite_where=text("delivered_at IS NULL"),
        postgresql_where=text("delivered_at IS NULL"),
    ),
)
"""The outbox: which sinks an alert is meant for, and when each took it. Only of alerts that outlive the process."""

config_revisions = Table(
    "config_revisions",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("instance", String(8), nullable=False),
    Column("document", document(), nullable=False),
    Column("at", Instant(), nullable=False),
    Column("actor", Words()),
)

control = Table(
    "control",
    metadata,
    Column("instance", String(8), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("value", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant(), nullable=False),
)
"""Switches that outlive the process: ``killed`` is the kill latch."""

leases = Table(
    "leases",
    metadata,
    Column("account", String(NAME), primary_key=True),
    Column("instance", String(8), nullable=False),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", Instant(), nullable=False),
)
"""Which bot trades an account; ``epoch`` grows with every change of hands."""

commands = Table(
    "commands",
    metadata,
    Column("id", Uuid(), primary_key=True),
    Column("instance", String(8), nullable=False),
    Column("key", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("arguments", document(), nullable=False),
    Column("actor", Words(), nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("taken_at", Instant()),
    Column("done_at", Instant()),
    Column("result", document()),
    UniqueConstraint("instance", "key"),
    Index("ix_commands_instance_done_at", "instance", "done_at"),
)
"""What people asked of the bot. The only table that other processes write while a bot runs, besides the kill latch."""

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid(), primary_key=True),
    Column("instance", String(8), nullable=False),
    Column("at", Instant(), nullable=False),
    Column("actor", Words(), nullable=False),
    Column("command", String(NAME), nullable=False),
    Column("arguments", document(), nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("result", Words(), nullable=False),
    Index("ix_audit_instance_at", "instance", "at"),
)
"""Who did what when, with the result. Triggers refuse to change, replace or delete a row."""

flatten_orders = Table(
    "flatten_orders",
    metadata,
    Column("client_id", String(64), primary_key=True),
    _position(),
    Column("instance", String(8), nullable=False),
    Column("account", String(NAME), nullable=False),
    Column("symbol", String(NAME), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("side", String(10), nullable=False),
    Column("quantity", Money(), nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("filled", Money(), nullable=False),
    Column("exchange_order_id", Words(), nullable=False),
    Column("reason", Words(), nullable=False),
    Column("resolved_at", Instant()),
    Index("ix_flatten_orders_instance_created_at", "instance", "created_at"),
)
"""Reduce-only orders that closed what no order of a hedge closed."""

accepted = Table(
    "accepted",
    metadata,
    Column("instance", String(8), primary_key=True),
    Column("account", String(NAME), primary_key=True),
    Column("subject", String(20), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("quantity", Money(), nullable=False),
    Column("actor", Words(), nullable=False),
    Column("at", Instant(), nullable=False),
)
"""Differences between books and exchange that a person accepted."""
