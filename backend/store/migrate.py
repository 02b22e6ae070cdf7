"""Migrations under a lock, and what state a database's schema is in."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from backend.domain.errors import ConfigurationError, Unavailable

SCRIPTS = Path(__file__).with_name("migrations")
# Below the connection's own patience, so that waiting in vain ends with a sentence.
LOCK_SECONDS = 25
MINIMUM_MARIADB = (10, 6)
MINIMUM_MYSQL = (8, 0)

SchemaState = Literal["current", "behind", "unknown", "empty"]


def upgrade(engine: Engine) -> None:
    """Bring the schema to this program's version; others that try at the same time wait.

    Raises `ConfigurationError` for a server that is too old or a schema that this program does not know.
    """
    with _exclusive(engine) as connection:
        check_server(connection)
        if _state(connection) == "unknown":
            raise ConfigurationError("unknown_schema")
        command.upgrade(_alembic(connection), "head")
        connection.commit()


def schema_state(engine: Engine) -> SchemaState:
    """How the schema compares with this program's migrations."""
    with engine.execution_options(reading=True).connect() as connection:
        return _state(connection)


def require_current(engine: Engine) -> None:
    """Stop with a sentence unless the schema is this program's. Raises `ConfigurationError` and `Unavailable`."""
    try:
        state = schema_state(engine)
    except DBAPIError as error:
        raise Unavailable(part="The database") from error
    if state == "unknown":
        raise ConfigurationError("unknown_schema")
    if state != "current":
        raise ConfigurationError("schema_behind")


def check_server(connection: Connection) -> None:
    """Raise `ConfigurationError` when the server is older than MariaDB 10.6 or MySQL 8.0."""
    if connection.dialect.name == "sqlite":
        return
    version = connection.dialect.server_version_info or ()
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    if version[:2] < (MINIMUM_MARIADB if mariadb else MINIMUM_MYSQL):
        found = f"{'MariaDB' if mariadb else 'MySQL'} {'.'.join(map(str, version))}"
        raise ConfigurationError("old_database", found=found)


def _alembic(connection: Connection | None = None) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.attributes["connection"] = connection
    return settings


def _state(connection: Connection) -> SchemaState:
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_alembic())
    if current == scripts.get_current_head():
        return "current"
    if current is None:
        return "empty" if not inspect(connection).has_table("allocations") else "unknown"
    return "behind" if current in {script.revision for script in scripts.walk_revisions()} else "unknown"


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
