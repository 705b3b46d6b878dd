"""Commands through the database, flatten orders, accepted differences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundingarb.store.columns import Instant, Money, Words, document

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("arguments", document(), nullable=False),
        sa.Column("actor", Words(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("taken_at", Instant(), nullable=True),
        sa.Column("done_at", Instant(), nullable=True),
        sa.Column("result", document(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        sa.UniqueConstraint("instance", "key", name=op.f("uq_commands_instance_key")),
    )
    op.create_index("ix_commands_instance_done_at", "commands", ["instance", "done_at"], unique=False)
    op.create_table(
        "flatten_orders",
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=True),
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("filled", Money(), nullable=False),
        sa.Column("exchange_order_id", Words(), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("resolved_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_flatten_orders_position_id")
        ),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_flatten_orders")),
    )
    op.create_index(
        "ix_flatten_orders_instance_created_at", "flatten_orders", ["instance", "created_at"], unique=False
    )
    op.create_table(
        "accepted",
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("actor", Words(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "account", "subject", "name", name=op.f("pk_accepted")),
    )


def downgrade() -> None:
    op.drop_table("accepted")
    op.drop_table("flatten_orders")
    op.drop_table("commands")
