"""What state a database's schema is in, told without Alembic: every process asks, and it would keep 11 MB in each."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, inspect, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.domain.errors import ConfigurationError, Unavailable
from backend.store.tables import Lock, core
from backend.store.verdicts import unavailable

SCRIPTS = Path(__file__).with_name("migrations")
MINIMUM_MARIADB = (10, 6)
MINIMUM_MYSQL = (8, 0)

SchemaState = Literal["current", "behind", "unknown", "empty"]


@functools.cache
def revisions() -> tuple[str, ...]:
    """This program's migrations, oldest first: the numbers that their files begin with."""
    return tuple(sorted(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py")))


def schema_state(engine: Engine) -> SchemaState:
    """How the schema compares with this program's migrations."""
    with engine.execution_options(reading=True).connect() as connection:
        return state_of(connection)


def state_of(connection: Connection) -> SchemaState:
    """The same on a connection."""
    tables = inspect(connection)
    if not tables.has_table("alembic_version"):
        return "unknown" if tables.has_table("allocations") else "empty"
    current = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if current is None:
        return "unknown" if tables.has_table("allocations") else "empty"
    if current == revisions()[-1]:
        return "current"
    return "behind" if current in revisions() else "unknown"


def require_current(engine: Engine) -> None:
    """Stop with a sentence unless the schema is this program's. Raises `ConfigurationError` and `Unavailable`."""
    try:
        state = schema_state(engine)
    except DBAPIError as error:
        raise unavailable(error) or Unavailable(part="The database") from error
    if state == "unknown":
        raise ConfigurationError("unknown_schema")
    if state != "current":
        raise ConfigurationError("schema_behind")


def try_writing(session: Session) -> None:
    """Change no row: a database that takes no writes refuses even that."""
    locks = core(Lock)
    session.execute(update(locks).where(locks.c.name == "").values(name=locks.c.name))


def check_server(connection: Connection) -> None:
    """Raise `ConfigurationError` when the server is older than MariaDB 10.6 or MySQL 8.0."""
    if connection.dialect.name == "sqlite":
        return
    version = connection.dialect.server_version_info or ()
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    if version[:2] < (MINIMUM_MARIADB if mariadb else MINIMUM_MYSQL):
        found = f"{'MariaDB' if mariadb else 'MySQL'} {'.'.join(map(str, version))}"
        raise ConfigurationError("old_database", found=found)
