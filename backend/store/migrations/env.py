"""Alembic's environment: the connection is handed in by `backend.store.migrate`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from backend.store.tables import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
