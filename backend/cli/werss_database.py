"""A WeRSS database, read and never written: SQLite, MySQL/MariaDB, PostgreSQL where its driver is there.

Tables are found under both of WeRSS's names (`feeds`, `we_feeds`), columns by looking; values come as the driver
gives them, because versions of WeRSS wrote them in different ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, column, create_engine, event, func, inspect, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from backend.cli.opening import address_of, reason_of
from backend.domain.errors import ConfigurationError

PREFIX = "we_"
# What is taken, by the name under which people choose it.
TABLES = {
    "feeds": "feeds",
    "articles": "articles",
    "users": "users",
    "nodes": "cascade_nodes",
    "tasks": "message_tasks",
}
DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
FAMILIES = ("sqlite", "mysql", "mariadb", "postgresql")
# Where an SQLite file says that it keeps a write-ahead log.
WAL_BYTES = slice(18, 20)
WAL = b"\x02\x02"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WerssDatabase:
    """An open source; `columns` are those of each table that it has, `names` what the table is called there."""

    engine: Engine
    names: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]

    def batches(self, kind: str, size: int) -> Iterator[list[Row]]:
        """All rows by id, so many at a time, each batch read in a short transaction of its own."""
        if kind not in self.names:
            return
        source = table(self.names[kind], *(column(name) for name in self.columns[kind]))
        # SQLite lets even a primary key be NULL; such a row has no place to go on from.
        query = select(source).where(source.c.id.is_not(None)).order_by(source.c.id).limit(size)
        last: Any = None
        while True:
            after = query if last is None else query.where(source.c.id > last)
            rows = self._read(after)
            if rows:
                yield rows
            if len(rows) < size:
                return
            last = rows[-1]["id"]

    def _read(self, query: Any) -> list[Row]:
        try:
            with self.engine.connect() as connection:
                return [dict(row) for row in connection.execute(query).mappings()]
        except DBAPIError as error:
            raise _unreadable(self.engine.url, reason_of(error)) from error


@contextmanager
def opened_werss(url: str) -> Iterator[WerssDatabase]:
    """The database, read-only. Raises `ConfigurationError` with what keeps it from being read."""
    engine = _engine(_parsed(url))
    try:
        yield _looked_at(engine)
    finally:
        engine.dispose()


def _looked_at(engine: Engine) -> WerssDatabase:
    try:
        names = _tables(engine)
        inspector = inspect(engine)
        columns = {
            kind: tuple(one["name"] for one in inspector.get_columns(name)) for kind, name in names.items()
        }
    except DBAPIError as error:
        raise _unreadable(engine.url, reason_of(error)) from error
    return WerssDatabase(engine, names, columns)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("werss_bad_url", shown="this") from None
    family = parsed.drivername.partition("+")[0]
    if family not in FAMILIES:
        raise ConfigurationError("werss_bad_url", shown=parsed.drivername)
    # WeRSS leaves the driver out; then the one is taken that is installed here.
    return parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return create_engine(_read_only_file(url), poolclass=NullPool, hide_parameters=True)
    is_postgres = url.get_backend_name() == "postgresql"
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            execution_options={"postgresql_readonly": True} if is_postgres else {},
            connect_args={"connect_timeout": 5} | ({} if is_postgres else {"charset": "utf8mb4"}),
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError("werss_driver_missing", shown=url.drivername, detail=str(error)) from None
    if not is_postgres:
        event.listen(engine, "connect", _forbid_writing)
    return engine


def _forbid_writing(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _read_only_file(url: URL) -> URL:
    path = Path(url.database or "")
    if not path.is_file():
        raise ConfigurationError("werss_no_file", address=_address(url))
    try:
        with path.open("rb") as file:
            has_log = file.read(WAL_BYTES.stop)[WAL_BYTES] == WAL
    except OSError as error:
        raise _unreadable(url, error.strerror or str(error)) from error
    # With a write-ahead log even a reader leaves files behind, unless it may take the file for unchanging: it may when
    # no log lies beside it, because then nobody has it open.
    still = has_log and not path.with_name(f"{path.name}-wal").exists()
    options = "&immutable=1" if still else ""
    return make_url(f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro{options}&uri=true")


def _tables(engine: Engine) -> dict[str, str]:
    """By kind, what its table is called: of both eras the one whose feeds hold anything, the newer one first."""
    present = set(inspect(engine).get_table_names())
    eras = [prefix for prefix in (PREFIX, "") if f"{prefix}feeds" in present]
    if not eras:
        raise ConfigurationError("werss_no_tables", address=_address(engine.url))
    filled = [prefix for prefix in eras if _count(engine, f"{prefix}feeds")]
    era = (filled or eras)[0]
    order = (era, "" if era else PREFIX)
    found = {
        kind: next((prefix + name for prefix in order if prefix + name in present), "")
        for kind, name in TABLES.items()
    }
    return {kind: name for kind, name in found.items() if name}


def _count(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table(name))) or 0


def _address(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return (url.database or "").removeprefix("file:")
    return address_of(url.render_as_string(hide_password=False))


def _unreadable(url: URL, detail: str) -> ConfigurationError:
    return ConfigurationError("werss_unreadable", address=_address(url), detail=detail)
