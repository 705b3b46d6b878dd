"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundingarb.store.columns import Instant, Money, Words, document

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=True),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("title", Words(), nullable=False),
        sa.Column("lines", document(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_at"), "alerts", ["at"], unique=False)
    op.create_table(
        "config_revisions",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("document", document(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_config_revisions")),
    )
    op.create_table(
        "control",
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "name", name=op.f("pk_control")),
    )
    op.create_table(
        "leases",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_leases")),
    )
    op.create_table(
        "positions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("pair", sa.String(length=40), nullable=False),
        sa.Column("long_exchange", sa.String(length=40), nullable=False),
        sa.Column("short_exchange", sa.String(length=40), nullable=False),
        sa.Column("long_entry_price", Money(), nullable=True),
        sa.Column("short_entry_price", Money(), nullable=True),
        sa.Column("size_usd", Money(), nullable=True),
        sa.Column("leverage_long", sa.Integer(), nullable=False),
        sa.Column("leverage_short", sa.Integer(), nullable=False),
        sa.Column("entry_timestamp", Instant(), nullable=True),
        sa.Column("entry_funding_spread", Money(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("close_timestamp", Instant(), nullable=True),
        sa.Column("realized_pnl", Money(), nullable=True),
        sa.Column("funding_collected", Money(), nullable=True),
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("long_account", sa.String(length=40), nullable=False),
        sa.Column("short_account", sa.String(length=40), nullable=False),
        sa.Column("long_instrument", document(), nullable=False),
        sa.Column("short_instrument", document(), nullable=False),
        sa.Column("first_side", sa.String(length=10), nullable=False),
        sa.Column("deadline", Instant(), nullable=False),
        sa.Column("tolerance", Money(), nullable=False),
        sa.Column("close_reason", sa.String(length=20), nullable=True),
        sa.Column("liquidated", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("config_revision", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("long_exit_price", Money(), nullable=True),
        sa.Column("short_exit_price", Money(), nullable=True),
        sa.Column("price_pnl", Money(), nullable=True),
        sa.Column("fees_paid", Money(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
    )
    op.create_index("ix_positions_instance_created_at", "positions", ["instance", "created_at"], unique=False)
    op.create_index(
        "uq_positions_live_pair",
        "positions",
        ["instance", "pair"],
        unique=True,
        sqlite_where=sa.text("mode <> 'DONE'"),
        postgresql_where=sa.text("mode <> 'DONE'"),
    )
    op.create_table(
        "refusals",
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("long_exchange", sa.String(length=40), nullable=False),
        sa.Column("short_exchange", sa.String(length=40), nullable=False),
        sa.Column("gate", sa.String(length=40), nullable=False),
        sa.Column("first_at", Instant(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("needed", Words(), nullable=False),
        sa.Column("actual", Words(), nullable=False),
        sa.Column("spread_8h", Money(), nullable=True),
        sa.Column("net_usd", Money(), nullable=True),
        sa.PrimaryKeyConstraint(
            "symbol", "long_exchange", "short_exchange", "gate", name=op.f("pk_refusals")
        ),
    )
    op.create_index("ix_refusals_last_at", "refusals", ["last_at"], unique=False)
    op.create_table(
        "funding_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=True),
        sa.Column("exchange", sa.String(length=40), nullable=False),
        sa.Column("pair", sa.String(length=40), nullable=False),
        sa.Column("funding_rate", Money(), nullable=True),
        sa.Column("payment_usd", Money(), nullable=False),
        sa.Column("timestamp", Instant(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("settlement", Instant(), nullable=False),
        sa.Column("currency", sa.String(length=40), nullable=False),
        sa.Column("ledger_id", Words(), nullable=False),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_funding_events_position_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding_events")),
        sa.UniqueConstraint(
            "exchange",
            "account",
            "pair",
            "settlement",
            name=op.f("uq_funding_events_exchange_account_pair_settlement"),
        ),
    )
    op.create_index(
        "ix_funding_events_account_settlement", "funding_events", ["account", "settlement"], unique=False
    )
    op.create_index(op.f("ix_funding_events_position_id"), "funding_events", ["position_id"], unique=False)
    op.create_table(
        "live_instruments",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_live_instruments_position_id")
        ),
        sa.PrimaryKeyConstraint("account", "symbol", name=op.f("pk_live_instruments")),
    )
    op.create_index(
        op.f("ix_live_instruments_position_id"), "live_instruments", ["position_id"], unique=False
    )
    op.create_table(
        "orders",
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("leg", sa.String(length=10), nullable=False),
        sa.Column("purpose", sa.String(length=10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("price", Money(), nullable=True),
        sa.Column("time_in_force", sa.String(length=20), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("filled", Money(), nullable=False),
        sa.Column("average_price", Money(), nullable=True),
        sa.Column("exchange_order_id", Words(), nullable=False),
        sa.Column("reference", Money(), nullable=True),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("acknowledged_at", Instant(), nullable=True),
        sa.Column("resolved_at", Instant(), nullable=True),
        sa.Column("latency_ms", sa.Float(precision=53), nullable=True),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_orders_position_id")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_position_id"), "orders", ["position_id"], unique=False)
    op.create_table(
        "trades",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=True),
        sa.Column("exchange", sa.String(length=40), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("order_type", sa.String(length=10), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("size", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("timestamp", Instant(), nullable=False),
        sa.Column("order_id", Words(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("trade_id", Words(), nullable=False),
        sa.Column("client_id", Words(), nullable=True),
        sa.Column("order_side", sa.String(length=10), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("maker", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_trades_position_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trades")),
        sa.UniqueConstraint("account", "symbol", "trade_id", name=op.f("uq_trades_account_symbol_trade_id")),
    )
    op.create_index("ix_trades_account_timestamp", "trades", ["account", "timestamp"], unique=False)
    op.create_index(op.f("ix_trades_position_id"), "trades", ["position_id"], unique=False)


def downgrade() -> None:
    op.drop_table("trades")
    op.drop_table("orders")
    op.drop_table("live_instruments")
    op.drop_table("funding_events")
    op.drop_table("refusals")
    op.drop_table("positions")
    op.drop_table("leases")
    op.drop_table("control")
    op.drop_table("config_revisions")
    op.drop_table("alerts")
