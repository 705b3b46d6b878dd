"""Schema migrations, run by Alembic. One module per revision in ``versions``."""
