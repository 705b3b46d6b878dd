"""The audit is only added to by ways that no trigger of schema 0005 sees: replacing a row (SQLite), TRUNCATE."""

from __future__ import annotations

from alembic import op

from fundingarb.store.migrations.versions.r0005_audit import REFUSAL

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # The row that INSERT OR REPLACE replaces is deleted without the DELETE trigger, whether it has the same id or
        # the same rowid (-1 here where none is given).
        op.execute(
            "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "  # noqa: S608 - a constant
            "WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
            "OR NEW.rowid > 0 AND EXISTS (SELECT 1 FROM audit WHERE rowid = NEW.rowid) "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
    else:
        op.execute(
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_replace")
    else:
        op.execute("DROP TRIGGER audit_no_truncate ON audit")
