"""What Alembic runs: the migrations, on a connection whose transaction the caller began and will end."""

from __future__ import annotations

from alembic import context

from fundingarb.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # one transaction around everything, not ours to begin
    render_as_batch=True,  # SQLite alters tables by copying them
)
context.run_migrations()
