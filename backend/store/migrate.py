"""Migrations under a lock; `backend.store.schema` says what state a schema is in."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from backend.domain.errors import ConfigurationError, Unavailable
from backend.store.schema import SCRIPTS, check_server, state_of

# Below the connection's own patience, so that waiting in vain ends with a sentence.
LOCK_SECONDS = 25


def upgrade(engine: Engine) -> None:
    """Bring the schema to this program's version; others that try at the same time wait.

    Raises `ConfigurationError` for a server that is too old or a schema that this program does not know.
    """
    with _exclusive(engine) as connection:
        check_server(connection)
        if state_of(connection) == "unknown":
            raise ConfigurationError("unknown_schema")
        command.upgrade(_alembic(connection), "head")
        connection.commit()


def _alembic(connection: Connection) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.attributes["connection"] = connection
    return settings


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    if engine.dialect.name == "sqlite":
        database = engine.url.database or ""
        with Path(database + ".migrate").open("w", encoding="utf-8") as file, engine.connect() as connection:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield connection
        return
    with engine.connect() as connection:
        taken = connection.execute(
            text("SELECT GET_LOCK('cascade.migrate', :seconds)"), {"seconds": LOCK_SECONDS}
        )
        if taken.scalar() != 1:
            raise Unavailable(part="The migration lock")
        try:
            yield connection
        finally:
            connection.execute(text("SELECT RELEASE_LOCK('cascade.migrate')"))
