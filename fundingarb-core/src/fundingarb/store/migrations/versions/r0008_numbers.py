"""Every hedge has a number that people call it by; those there are get theirs in the order in which they were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("positions", sa.Column("number", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.execute(
        "UPDATE positions SET number = ranked.place FROM "
        "(SELECT id, row_number() OVER (PARTITION BY instance ORDER BY created_at, id) AS place FROM positions) "
        "AS ranked WHERE positions.id = ranked.id"
    )


def downgrade() -> None:
    op.drop_column("positions", "number")
