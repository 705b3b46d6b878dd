"""Which alerts each sink has taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundingarb.store.columns import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("instance", sa.String(length=8), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("sink", sa.String(length=40), nullable=False),
        sa.Column("delivered_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("instance", "alert_id", "sink", name=op.f("pk_deliveries")),
    )
    waiting = sa.text("delivered_at IS NULL")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["instance"],
        unique=False,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def downgrade() -> None:
    op.drop_table("deliveries")
