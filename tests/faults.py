"""Databases that fail at a chosen statement: the connection is lost there, or the server's own error comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from pymysql import err
from sqlalchemy import Engine, MetaData, event, make_url
from sqlalchemy.exc import OperationalError

from backend.domain.errors import Unavailable
from backend.store.session import create_engine_for
from backend.workers.ledger import SqlLedger
from tests.servers import MariaDb
from tests.standins.proxy import Loss, Proxy

T = TypeVar("T")

# What is repeated at once, and what the server's condition is: the codes of `backend.domain.database_errors`.
REPEATED = (1213, 1205, 1317, 2006, 1040, 2013)
REFUSED = {1290: "database_read_only", 1114: "database_full", 1021: "database_full", 1969: "database_slow"}
LOCKED = 5
SQLITE_REFUSED = {8: "database_read_only", 13: "database_full", 10: "database_storage"}
# By database, how it fails: the connection is lost before a statement or after it; an error that is repeated; one that is not.
WAYS = [
    ("mariadb", "statement"),
    ("mariadb", "answer"),
    ("mariadb", "repeated"),
    ("mariadb", "refused"),
    # SQLite has one writer, who waits before its first statement: see the tests of sessions. What it refuses, requests prove below.
    pytest.param("sqlite", "refused", marks=pytest.mark.soak),
]
# One request is several transactions: fewer ways find as much.
WAYS_OF_REQUESTS = [("mariadb", "answer"), ("mariadb", "refused"), ("sqlite", "refused")]
MOST_STATEMENTS = 100


@dataclass
class Failing:
    """Raises the driver's error at the n-th statement of an engine, once; a commit is a statement too."""

    count: int = 0
    at: int = 0
    failed: str = ""
    error: Callable[[], Exception] = RuntimeError

    def hook(self, engine: Engine) -> None:
        """Listen to the engine for the rest of its life."""
        event.listen(engine, "do_execute", self._execute)
        event.listen(engine, "do_executemany", self._execute)
        event.listen(engine, "commit", self._commit)

    def _execute(self, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN", "SET ")):
            self._pass(statement, self.error)

    def _commit(self, _connection: object) -> None:
        # Raised beside SQLAlchemy's own execution, so it must be dressed as one of its errors.
        self._pass("COMMIT", lambda: OperationalError("COMMIT", None, self.error()))

    def _pass(self, statement: str, error: Callable[[], Exception]) -> None:
        self.count += 1
        if self.count == self.at:
            self.failed = statement
            raise error()


def server_error(number: int) -> Exception:
    """As pymysql raises it."""
    return err.OperationalError(number, "as the server says it")


def sqlite_error(number: int) -> Exception:
    """As sqlite3 raises it."""
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = number
    return error


@dataclass
class Weak:
    """The same database twice: directly, and so that it fails in the given way at a chosen statement of `call`."""

    engine: Engine
    weak: Engine
    way: str
    proxy: Proxy | None = None
    failing: Failing = field(default_factory=Failing)
    number: int = 0
    lost: str = ""

    def at_every_statement(self, run: Callable[[int], None]) -> list[str]:
        """Run again and again, each time failing one statement later, until a run is not disturbed; what failed."""
        found: list[str] = []
        while len(found) < MOST_STATEMENTS:
            self.number, self.lost = len(found) + 1, ""
            run(len(found))
            if not self.lost:
                return found
            found.append(self.lost)
        raise AssertionError(f"still disturbed: {found}")

    def call(self, act: Callable[[Engine], T], *, steps: bool = False) -> T:
        """Do it once on the weak engine. What is refused must have changed nothing, unless it is made of several `steps`,
        and is then done without trouble.
        """
        if self.way != "refused":
            with self.armed():
                return act(self.weak)
        before = everything(self.engine)
        try:
            with self.armed():
                result = act(self.weak)
        except Unavailable as error:
            assert error.code == self.condition
            assert steps or everything(self.engine) == before
            result = act(self.weak)
        else:
            # Swallowed on the way: only what goes on by itself later may be.
            assert steps or not self.failing.failed
        return result

    @property
    def url(self) -> str:
        """Of the weak engine."""
        return self.weak.url.render_as_string(hide_password=False)

    def through(self, ledger: SqlLedger) -> Any:
        """The ledger, each verb of which is one `call`."""
        return _Through(self, ledger)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Fail at the chosen statement while inside."""
        if self.way in {"statement", "answer"}:
            with self._losing("statement" if self.way == "statement" else "answer"):
                yield
            return
        self.failing.error, self.failing.count, self.failing.at = self._error, 0, self.number
        self.failing.failed = ""
        try:
            yield
        finally:
            self.failing.at = 0
            self.lost = self.lost or self.failing.failed

    @contextmanager
    def _losing(self, what: Loss) -> Iterator[None]:
        assert self.proxy is not None
        self.proxy.lose(self.number, what)
        try:
            yield
        finally:
            self.lost = self.lost or self.proxy.lost
            self.proxy.lose(0, what)

    def _error(self) -> Exception:
        number = self._numbers[self.number % len(self._numbers)]
        return sqlite_error(number) if self.weak.dialect.name == "sqlite" else server_error(number)

    @property
    def condition(self) -> str:
        """The code that callers are told for a refusal at the chosen statement."""
        known = REFUSED | SQLITE_REFUSED
        return known[self._numbers[self.number % len(self._numbers)]]

    @property
    def _numbers(self) -> Sequence[int]:
        if self.weak.dialect.name == "sqlite":
            return tuple(SQLITE_REFUSED) if self.way == "refused" else (LOCKED,)
        return tuple(REFUSED) if self.way == "refused" else REPEATED


@dataclass
class _Through:
    _weak: Weak
    _ledger: SqlLedger

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            return self._weak.call(
                lambda engine: getattr(replace(self._ledger, engine=engine), verb)(*arguments)
            )

        return call


@contextmanager
def weakened(engine: Engine, way: str, mariadb: MariaDb | None = None) -> Iterator[Weak]:
    """The engine's database made weak; MariaDB is reached through a proxy where connections shall be lost."""
    url = make_url(engine.url)
    if way in {"statement", "answer"}:
        assert mariadb is not None
        with Proxy(("127.0.0.1", mariadb.port)).serving() as proxy:
            yield from _weak(Weak(engine, _engine(url.set(port=proxy.port)), way, proxy))
    else:
        weak = Weak(engine, _engine(url), way)
        weak.failing.hook(weak.weak)
        yield from _weak(weak)


def _engine(url: Any) -> Engine:
    return create_engine_for(url.render_as_string(hide_password=False), pooled=False)


def _weak(weak: Weak) -> Iterator[Weak]:
    try:
        yield weak
    finally:
        weak.weak.dispose()


def everything(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    tables = _tables(engine)
    with engine.execution_options(reading=True).connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for table in tables.sorted_tables
        }


_reflected: dict[str, MetaData] = {}


def _tables(engine: Engine) -> MetaData:
    # The schema is the same for every test, and reflecting it takes longer than reading it.
    if engine.dialect.name not in _reflected:
        found = MetaData()
        with engine.execution_options(reading=True).connect() as connection:
            found.reflect(connection)
        _reflected[engine.dialect.name] = found
    return _reflected[engine.dialect.name]
