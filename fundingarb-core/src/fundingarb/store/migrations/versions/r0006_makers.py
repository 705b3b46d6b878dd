"""Who made a configuration revision: exact, however long the audit has become since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundingarb.store.columns import Words

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("config_revisions", sa.Column("actor", Words(), nullable=True))


def downgrade() -> None:
    op.drop_column("config_revisions", "actor")
