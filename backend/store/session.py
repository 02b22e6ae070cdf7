"""Engines, short transactions, and the guard that no connection is held during phase 2."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from backend import metrics
from backend.domain.database_errors import Remedy, Verdict
from backend.domain.errors import HeldConnection, Unavailable
from backend.store.circuit import Circuit
from backend.store.mysql import GREETING_SECONDS, connect_mysql
from backend.store.verdicts import verdict_on

T = TypeVar("T")

log = logging.getLogger(__name__)

SESSION_WAIT_TIMEOUT = 30
LOCK_WAIT_TIMEOUT = 5
ANSWER_SECONDS = 30
TOTAL_SECONDS = 15
SQLITE_BUSY_SECONDS = 10
SQLITE_LOOK_MILLISECONDS = 8
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.05
COUNTED = "counted"

_long_work: ContextVar[bool] = ContextVar("long_work", default=False)
_held = threading.local()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the database is waited for, in seconds: for the answer to one statement, and for one transaction with its
    repetitions. Who `fails_fast` does not wait at all while it is known to be away.
    """

    answer: float = ANSWER_SECONDS
    total: float = TOTAL_SECONDS
    fails_fast: bool = False


def create_engine_for(url: str, *, pooled: bool, patience: Patience | None = None) -> Engine:
    """An engine with the session rules of design.md; `pooled=False` (workers) keeps no idle connection.

    Nothing connects yet.
    """
    patience = patience or Patience()
    watch = {"patience": patience, "circuit": Circuit(patience.fails_fast)}
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            hide_parameters=True,
            poolclass=NullPool,
            execution_options=watch,
            connect_args={"timeout": SQLITE_BUSY_SECONDS},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        options: dict[str, Any] = (
            {"pool_size": 5, "max_overflow": 10, "pool_recycle": 25, "pool_timeout": 5}
            if pooled
            else {"poolclass": NullPool}
        )
        engine = create_engine(
            url,
            # Rendered messages and hashes must not reach a log through a traceback.
            hide_parameters=True,
            pool_pre_ping=pooled,
            isolation_level="READ COMMITTED",
            execution_options=watch,
            connect_args={
                "connect_timeout": GREETING_SECONDS,
                "read_timeout": patience.answer,
                "write_timeout": patience.answer,
                "charset": "utf8mb4",
                # A lower value of the server stays: vanished processes then lose their locks even sooner.
                "init_command": (
                    f"SET SESSION wait_timeout = LEAST(@@GLOBAL.wait_timeout, {SESSION_WAIT_TIMEOUT}), "
                    f"innodb_lock_wait_timeout = {LOCK_WAIT_TIMEOUT}, time_zone = '+00:00'"
                ),
            },
            **options,
        )
        if engine.driver == "pymysql":
            event.listen(engine, "do_connect", connect_mysql)
    event.listen(engine, "checkout", _count_checkout)
    event.listen(engine, "checkin", _count_checkin)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writing one can fail at once with "busy", without waiting.
    if connection.get_execution_options().get("reading", False):
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite's own handler sleeps up to 100 ms between looks; with many short writers, short looks wait far less.
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {SQLITE_LOOK_MILLISECONDS}")
    patience: Patience = connection.get_execution_options().get("patience") or Patience()
    _begin_immediate(connection, time.monotonic() + min(SQLITE_BUSY_SECONDS, patience.total))
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")


def _begin_immediate(connection: Connection, deadline: float) -> None:
    driver: Any = connection.connection.dbapi_connection
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                # Raised beside SQLAlchemy's own execution, so it must be dressed as the error that `transact` knows.
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
        else:
            return


def _count_checkout(_connection: object, _record: object, _proxy: object) -> None:
    if _long_work.get():
        raise HeldConnection
    _held.count = getattr(_held, "count", 0) + 1
    metrics.count(metrics.CONNECTIONS)


def _count_checkin(_connection: object, _record: object) -> None:
    _held.count = max(0, getattr(_held, "count", 0) - 1)
    metrics.count(metrics.CONNECTIONS, -1)


@contextmanager
def long_work() -> Iterator[None]:
    """Phase 2: entering with a connection held, or taking one inside, raises `HeldConnection`.

    Threads started inside must run in a copy of the context to be guarded too.
    """
    if getattr(_held, "count", 0):
        raise HeldConnection
    token = _long_work.set(True)
    try:
        yield
    finally:
        _long_work.reset(token)


@contextmanager
def short_transaction() -> Iterator[None]:
    """Inside phase 2: the one place where a checkpoint may take a connection for its own short transaction."""
    token = _long_work.set(False)
    try:
        yield
    finally:
        _long_work.reset(token)


def is_stuck(engine: Engine) -> bool:
    """Whether the engine's database is known to be away, or a transaction waits for it too long."""
    circuit: Circuit | None = engine.get_execution_options().get("circuit")
    return circuit is not None and circuit.is_stuck


def transact(
    engine: Engine,
    work: Callable[[Session], T],
    *,
    attempts: int = ATTEMPTS,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Run `work` in one short transaction; retried whole, on a fresh connection, when the error is transient.

    `work` must give the same result when it runs twice, because a commit whose answer was lost is repeated.
    An engine with the execution option `before_commit` has it called with the session, in the same transaction.
    Raises `Unavailable`, with the database's condition, when the attempts or the engine's patience are spent, or at once
    when trying again can't help.
    """
    options = engine.get_execution_options()
    patience: Patience = options.get("patience") or Patience()
    circuit: Circuit = options.get("circuit") or Circuit()
    with circuit.watched() as was_away:
        end = time.monotonic() + patience.total
        for attempt in count(1):
            try:
                return _once(engine, work)
            except PoolTimeout as error:
                raise Unavailable("pool_is_empty") from error
            except DBAPIError as error:
                pause = FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
                verdict = verdict_on(error)
                if attempt >= min(attempts, verdict.tries) or time.monotonic() + pause >= end:
                    _give_up(error, verdict, circuit, was_away)
                wait(pause)
    raise AssertionError("unreachable")


def _give_up(error: DBAPIError, verdict: Verdict, circuit: Circuit, was_away: Callable[[], None]) -> NoReturn:
    if verdict.remedy in {Remedy.REFUSED, Remedy.UNKNOWN}:
        raise error
    if verdict.away:
        was_away()
    if verdict.remedy is Remedy.LATER and circuit.may_tell(verdict.why):
        # Nobody sees the error itself any more, and a person has to look for its cause.
        arguments = getattr(error.orig, "args", ())
        log.warning(
            "the database: %s (%s %s)",
            verdict.why,
            type(error.orig).__name__,
            arguments[0] if arguments else "",
        )
    raise Unavailable(verdict.why, part="The database") from error


def _once(engine: Engine, work: Callable[[Session], T]) -> T:
    with Session(engine, expire_on_commit=False) as session:
        try:
            result = work(session)
            before_commit = engine.get_execution_options().get("before_commit")
            if before_commit is not None:
                before_commit(session)
            session.commit()
        except DBAPIError:
            # The connection may be half dead or hold a broken transaction: the next attempt gets another.
            session.invalidate()
            raise
        for meter, amount, labels in session.info.get(COUNTED, ()):
            metrics.count(meter, amount, **labels)
        return result


def count_on_commit(session: Session, meter: metrics.Meter, amount: float = 1, **labels: str) -> None:
    """Count what the transaction does, once it is done: what is rolled back or tried again is not counted."""
    if amount:
        session.info.setdefault(COUNTED, []).append((meter, amount, labels))


def read(engine: Engine, work: Callable[[Session], T], *, attempts: int = ATTEMPTS) -> T:
    """Run `work`, which only reads, in one short transaction. Raises `Unavailable` like `transact`."""
    return transact(engine.execution_options(reading=True, before_commit=None), work, attempts=attempts)
