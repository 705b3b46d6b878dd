"""Expected settlements; a correction is a funding row of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundingarb.store.columns import Instant, Money

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ONCE = ["exchange", "account", "pair", "settlement"]


def upgrade() -> None:
    op.create_table(
        "settlements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=False),
        sa.Column("exchange", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("pair", sa.String(length=40), nullable=False),
        sa.Column("settlement", Instant(), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("noted_at", Instant(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("rate", Money(), nullable=True),
        sa.Column("mark", Money(), nullable=True),
        sa.Column("charged", sa.Boolean(), nullable=False),
        sa.Column("amount", Money(), nullable=True),
        sa.Column("deviation", Money(), nullable=True),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_settlements_position_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
        sa.UniqueConstraint(*ONCE, name=op.f("uq_settlements_exchange_account_pair_settlement")),
    )
    op.create_index(op.f("ix_settlements_position_id"), "settlements", ["position_id"], unique=False)
    op.create_index("ix_settlements_settlement", "settlements", ["settlement"], unique=False)
    unpaid = sa.text("status IN ('EXPECTED', 'MISSING')")
    op.create_index(
        "ix_settlements_unpaid",
        "settlements",
        ["status"],
        unique=False,
        sqlite_where=unpaid,
        postgresql_where=unpaid,
    )
    with op.batch_alter_table("funding_events") as table:
        table.drop_constraint("uq_funding_events_exchange_account_pair_settlement", type_="unique")
        table.create_unique_constraint(
            op.f("uq_funding_events_exchange_account_pair_settlement_ledger_id"), [*ONCE, "ledger_id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("funding_events") as table:
        table.drop_constraint("uq_funding_events_exchange_account_pair_settlement_ledger_id", type_="unique")
        table.create_unique_constraint(op.f("uq_funding_events_exchange_account_pair_settlement"), ONCE)
    op.drop_table("settlements")
