"""Column types that mean the same on MariaDB, MySQL and SQLite, and the database's own clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import DateTime, Dialect, Float, LargeBinary, String, Text, literal
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import HasHints
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds; a naive one is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """`DATETIME(6)` on MariaDB and MySQL."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware to naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime can't be stored; use an aware UTC one")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Naive UTC to aware."""
        return None if value is None else value.replace(tzinfo=UTC)


def ascii_key(length: int) -> String:
    """A short machine-made key: one byte a character, compared byte by byte."""
    variant = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(variant, "mysql", "mariadb")


def long_text() -> Text:
    """Text of up to 16 MB."""
    return Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def chunk() -> LargeBinary:
    """Bytes, up to 16 MB."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


class DatabaseNow(FunctionElement[datetime]):
    """The database's clock in UTC, moved by its one argument, in seconds."""

    inherit_cache = True
    type = UtcDateTime()
    name = "database_now"


def now(seconds: float = 0.0) -> DatabaseNow:
    """The database's clock, `seconds` from now: leases use this one and no other."""
    return DatabaseNow(literal(float(seconds), Float))


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    # Six digits after the point, as SQLAlchemy stores datetimes: text comparison must stay right.
    offset = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {offset}))"


@compiles(DatabaseNow, "mysql", "mariadb")
def _mysql_now(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    offset = compiler.process(element.clauses, **options)
    return f"(UTC_TIMESTAMP(6) + INTERVAL ({offset} * 1000000) MICROSECOND)"


class Clock(FunctionElement[datetime]):
    """The database's clock as a column's default: the column then stays out of the INSERT.

    A driver joins many rows into one statement only when every value of a row is a plain placeholder.
    """

    inherit_cache = True
    type = UtcDateTime()
    name = "clock"


@compiles(Clock, "sqlite")
def _sqlite_clock(element: Clock, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


@compiles(Clock, "mysql", "mariadb")
def _mysql_clock(element: Clock, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001
    # Every session's time zone is UTC.
    return "CURRENT_TIMESTAMP(6)"


Q = TypeVar("Q", bound=HasHints)


def by_index(query: Q, table: Any, name: str) -> Q:
    """The query over this index of the table, whatever the server thinks.

    With an order and a limit, MariaDB and MySQL may walk another index in that order through all that has ended, in the
    hope of finding enough soon.
    """
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(table, f"FORCE INDEX ({name})", dialect)
    return query
