"""Connections, short transactions, the guard of phase 2, and migrations, on the real servers."""

from __future__ import annotations

import contextvars
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pymysql
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from backend.domain.errors import ConfigurationError, HeldConnection, Unavailable
from backend.domain.identifiers import new_id
from backend.store import (
    allocations,
    deliveries,
    migrate,
    mysql,
    nodes,
    placed,
    planning,
    recovery,
    releasing,
    retention,
    runs,
    schema,
    session,
    verdicts,
)
from backend.store.columns import now
from backend.store.session import (
    Patience,
    create_engine_for,
    is_stuck,
    long_work,
    read,
    short_transaction,
    transact,
)
from backend.store.tables import Allocation, Base, Delivery, Lock, Node, Run, WorkItem
from tests import building
from tests.databases import MariaDbTemplate
from tests.servers import MariaDb, wait_until

on_mariadb = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def driver_error(code: int) -> OperationalError:
    return OperationalError("SELECT 1", None, pymysql.err.OperationalError(code, "as the server says it"))


def no_wait(_seconds: float) -> None:
    """Retry at once."""


# --- every connection


@pytest.mark.parametrize("pooled", [True, False])
def test_every_connection_of_mariadb_has_the_session_rules(
    mariadb: MariaDb, mariadb_template: MariaDbTemplate, pooled: bool
) -> None:
    engine = create_engine_for(mariadb.url(mariadb_template.name), pooled=pooled)
    query = "SELECT @@tx_isolation, @@wait_timeout, @@innodb_lock_wait_timeout, @@time_zone, @@character_set_client"
    assert tuple(read(engine, lambda one: one.execute(text(query)).one())) == (
        "READ-COMMITTED",
        30,
        5,
        "+00:00",
        "utf8mb4",
    )
    engine.dispose()


def test_a_lower_wait_timeout_of_the_server_stays(
    mariadb: MariaDb, mariadb_template: MariaDbTemplate
) -> None:
    mariadb.set_global("wait_timeout", 2)
    engine = create_engine_for(mariadb.url(mariadb_template.name), pooled=False)
    assert read(engine, lambda one: one.scalar(text("SELECT @@wait_timeout"))) == 2


def test_workers_leave_no_connection_behind(mariadb: MariaDb, mariadb_template: MariaDbTemplate) -> None:
    engine = create_engine_for(mariadb.url(mariadb_template.name), pooled=False)
    mine = transact(engine, lambda one: one.scalar(text("SELECT CONNECTION_ID()")))
    # A closed connection's thread ends a moment later.
    from_servers = lambda: mine not in {row["ID"] for row in mariadb.process_list()}  # noqa: E731
    wait_until(from_servers, 5, "the end of the connection")
    assert mariadb.process_list() == []


def test_pooled_connections_are_kept_and_checked_before_use(
    mariadb: MariaDb, mariadb_template: MariaDbTemplate
) -> None:
    engine = create_engine_for(mariadb.url(mariadb_template.name), pooled=True)
    ask: Callable[[Session], Any] = lambda one: one.scalar(text("SELECT CONNECTION_ID()"))  # noqa: E731
    first = read(engine, ask)
    assert read(engine, ask) == first
    mariadb.disconnect_all(mariadb_template.name)
    assert transact(engine, ask, attempts=1) != first
    engine.dispose()


def test_nothing_connects_before_the_first_transaction() -> None:
    create_engine_for("mysql+pymysql://nobody:x@127.0.0.1:1/none", pooled=True)
    create_engine_for("sqlite:////no/such/folder/x.db", pooled=False)


@on_sqlite
def test_sqlite_writes_ahead_and_waits(engine: Engine) -> None:
    assert read(engine, lambda one: one.scalar(text("PRAGMA journal_mode"))) == "wal"


# --- transactions and their repetition


@pytest.mark.parametrize("code", [1020, 1205, 1213, 2006, 2013, 4031, 2003, 1053, 1927])
@on_mariadb
def test_transient_errors_are_retried_on_a_fresh_connection(engine: Engine, code: int) -> None:
    used: list[int] = []

    def work(one: Session) -> str:
        used.append(one.scalar(text("SELECT CONNECTION_ID()")) or 0)
        if len(used) < 3:
            raise driver_error(code)
        return "done"

    assert transact(engine, work, wait=no_wait) == "done"
    assert len(set(used)) == 3


def test_what_was_written_before_the_error_is_undone_before_the_repetition(engine: Engine) -> None:
    seen: list[int] = []

    def work(one: Session) -> None:
        seen.append(len(one.scalars(select(Lock.name)).all()))
        one.execute(insert(Lock).values(name="written"))
        if len(seen) < 3:
            raise driver_error(1213)

    transact(engine, work, wait=no_wait)
    assert seen == [1, 1, 1]
    assert [row.name for row in building.rows_of(engine, Lock)] == ["pump", "written"]


def test_a_locked_sqlite_file_is_transient() -> None:
    error = OperationalError("BEGIN", None, sqlite3.OperationalError("database is locked"))
    assert verdicts.is_transient(error)
    assert not verdicts.is_transient(
        OperationalError("X", None, sqlite3.OperationalError("no such table: x"))
    )


def test_attempts_are_bounded_with_growing_waits_and_then_it_is_unavailable(engine: Engine) -> None:
    calls: list[int] = []
    waits: list[float] = []

    def work(_session: Session) -> None:
        calls.append(1)
        raise driver_error(2006)

    with pytest.raises(Unavailable) as failed:
        transact(engine, work, wait=waits.append)
    assert (len(calls), len(waits)) == (session.ATTEMPTS, session.ATTEMPTS - 1)
    for number, seconds in enumerate(waits):
        assert 0.5 <= seconds / (session.FIRST_WAIT_SECONDS * 2**number) <= 1.5
    assert isinstance(failed.value.__cause__, OperationalError)


def test_patience_bounds_the_repetitions(migrated_url: str) -> None:
    hurried, calls = create_engine_for(migrated_url, pooled=False, patience=Patience(total=0.3)), []

    def work(_session: Session) -> None:
        calls.append(1)
        raise driver_error(1213)

    with pytest.raises(Unavailable) as refused:
        transact(hurried, work)
    assert refused.value.code == "database_busy"
    assert 1 < len(calls) < session.ATTEMPTS


def test_what_repeating_can_t_mend_is_tried_once(engine: Engine) -> None:
    calls: list[int] = []

    def work(_session: Session) -> None:
        calls.append(1)
        raise driver_error(1290)

    with pytest.raises(Unavailable) as refused:
        transact(engine, work, wait=no_wait)
    assert (refused.value.code, len(calls)) == ("database_read_only", 1)


def test_a_server_that_takes_connections_and_never_greets_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mysql, "GREETING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql+pymysql://u:p@127.0.0.1:{silent.getsockname()[1]}/d"
        hung, began = create_engine_for(url, pooled=False), time.monotonic()
        with pytest.raises(Unavailable):
            read(hung, lambda one: one.scalar(text("SELECT 1")), attempts=2)
    assert time.monotonic() - began < session.ANSWER_SECONDS / 2
    assert is_stuck(hung)


def test_other_errors_are_raised_at_once_and_undo_everything(engine: Engine) -> None:
    calls = []

    def work(one: Session) -> None:
        calls.append(1)
        one.execute(insert(Lock).values(name="other"))
        one.execute(insert(Lock).values(name="pump"))

    with pytest.raises(IntegrityError):
        transact(engine, work, wait=no_wait)
    assert len(calls) == 1
    assert [row.name for row in building.rows_of(engine, Lock)] == ["pump"]


def test_an_error_of_the_caller_undoes_everything_and_passes(engine: Engine) -> None:
    def work(one: Session) -> None:
        one.execute(insert(Lock).values(name="other"))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        transact(engine, work)
    assert [row.name for row in building.rows_of(engine, Lock)] == ["pump"]


@on_mariadb
def test_a_real_deadlock_is_survived(engine: Engine) -> None:
    transact(engine, lambda one: one.execute(insert(Lock), [{"name": "a"}, {"name": "b"}]))
    barrier = threading.Barrier(2)
    tries: list[str] = []

    def locker(first: str, second: str) -> Callable[[], int]:
        def work(one: Session) -> int:
            tries.append(first)
            one.execute(update(Lock).where(Lock.name == first).values(name=first))
            if tries.count(first) == 1:
                # Only the first try meets the other one: both hold what the other wants.
                barrier.wait(5)
            one.execute(update(Lock).where(Lock.name == second).values(name=second))
            return 1

        return lambda: transact(engine, work)

    assert building.together(locker("a", "b"), locker("b", "a")) == [1, 1]
    assert len(tries) == 3


@on_mariadb
def test_a_real_lock_wait_is_survived(
    migrated_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_WAIT_TIMEOUT", 1)
    impatient = create_engine_for(migrated_url, pooled=False)
    codes: list[int] = []

    @event.listens_for(impatient, "handle_error")
    def _note(context: Any) -> None:
        codes.append(context.original_exception.args[0])

    with engine.connect() as holder:
        holder.execute(select(Lock.name).where(Lock.name == "pump").with_for_update())
        take: Callable[[Session], None] = planning.take_pump_lock
        transact(impatient, take, wait=lambda _seconds: holder.rollback())
    assert codes == [1205]


@on_mariadb
def test_a_connection_that_is_killed_in_the_middle_of_a_statement_is_replaced(
    engine: Engine, mariadb: MariaDb
) -> None:
    started = threading.Event()
    used: list[int] = []

    def work(one: Session) -> int:
        used.append(one.scalar(text("SELECT CONNECTION_ID()")) or 0)
        if len(used) == 1:
            started.set()
            one.execute(text("SELECT SLEEP(20)"))
        return len(used)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(transact, engine, work)
        assert started.wait(10)
        mariadb.execute("KILL %s", used[0])
        assert future.result(20) == 2


@on_mariadb
def test_a_server_that_is_shut_down_in_the_middle_of_a_statement_is_waited_for(
    engine: Engine, mariadb: MariaDb
) -> None:
    started = threading.Event()
    tries: list[int] = []

    def work(one: Session) -> int:
        tries.append(1)
        one.execute(text("SELECT 1"))
        if len(tries) == 1:
            started.set()
            one.execute(text("SELECT SLEEP(20)"))
        return len(tries)

    with ThreadPoolExecutor(1) as pool:
        restarted = threading.Event()
        future = pool.submit(transact, engine, work, wait=lambda _seconds: restarted.wait(30))
        assert started.wait(10)
        mariadb.restart()
        restarted.set()
        assert future.result(20) >= 2


@on_sqlite
def test_writers_of_sqlite_wait_for_each_other(engine: Engine) -> None:
    building.make_feeds(engine, 1)

    def count(one: Session) -> None:
        # Read, then write: a deferred transaction would fail here with "database is locked".
        intro = one.scalar(text("SELECT intro FROM feeds")) or "0"
        one.execute(text("UPDATE feeds SET intro = :intro"), {"intro": str(int(intro) + 1)})

    def writer() -> None:
        for _ in range(10):
            transact(engine, count, attempts=1)

    building.together(*[writer] * 6)
    assert read(engine, lambda one: one.scalar(text("SELECT intro FROM feeds"))) == "60"


@on_sqlite
def test_a_writer_that_finds_no_gap_ends_unavailable_and_readers_go_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SQLITE_BUSY_SECONDS", 0.05)
    take: Callable[[Session], None] = planning.take_pump_lock
    with engine.connect() as holder:
        holder.execute(text("SELECT 1"))
        with pytest.raises(Unavailable):
            transact(engine, take, attempts=2, wait=no_wait)
        assert read(engine, lambda one: one.scalar(select(Lock.name))) == "pump"
    transact(engine, take, attempts=1)


# --- the guard of phase 2


def test_phase_two_may_not_begin_while_a_connection_is_held(engine: Engine) -> None:
    with engine.connect(), pytest.raises(HeldConnection), long_work():
        pass
    with long_work():
        pass


def test_phase_two_may_not_take_a_connection(engine: Engine) -> None:
    with long_work():
        with pytest.raises(HeldConnection):
            transact(engine, planning.take_pump_lock)
        with pytest.raises(HeldConnection):
            read(engine, planning.waiting_kinds)
    assert read(engine, planning.waiting_kinds) == []


def test_phase_two_may_make_short_transactions_where_it_says_so(engine: Engine) -> None:
    with long_work():
        with short_transaction():
            transact(engine, planning.take_pump_lock)
        with pytest.raises(HeldConnection):
            transact(engine, planning.take_pump_lock)


def test_a_thread_of_phase_two_is_guarded_too(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool, long_work():
        context = contextvars.copy_context()
        with pytest.raises(HeldConnection):
            pool.submit(context.run, read, engine, planning.waiting_kinds).result(10)
        # A thread of somebody else, such as the lease's, is free.
        assert pool.submit(read, engine, planning.waiting_kinds).result(10) == []


def test_the_guard_is_not_confused_by_connections_that_were_lost(engine: Engine) -> None:
    def lost(one: Session) -> None:
        one.execute(text("SELECT 1"))
        raise driver_error(2013)

    with pytest.raises(Unavailable):
        transact(engine, lost, attempts=3, wait=no_wait)
    with long_work():
        pass


# --- servers and migrations


@pytest.mark.parametrize(
    ("mariadb_server", "version", "accepted"),
    [
        (True, (10, 5, 29), False),
        (True, (10, 6, 0), True),
        (True, (11, 4, 2), True),
        (False, (5, 7, 44), False),
        (False, (8, 0, 11), True),
        (False, (9, 1, 0), True),
    ],
)
def test_an_old_server_is_refused_by_name(
    mariadb_server: bool, version: tuple[int, ...], accepted: bool
) -> None:
    dialect = SimpleNamespace(name="mysql", server_version_info=version, is_mariadb=mariadb_server)
    connection = cast("Connection", SimpleNamespace(dialect=dialect))
    if accepted:
        schema.check_server(connection)
        return
    with pytest.raises(ConfigurationError) as refused:
        schema.check_server(connection)
    assert refused.value.code == "old_database"
    assert ".".join(map(str, version)) in str(refused.value)


def test_two_upgrades_at_once_make_one_schema(database_url: str) -> None:
    engine = create_engine_for(database_url, pooled=False)
    assert schema.schema_state(engine) == "empty"
    with pytest.raises(ConfigurationError):
        schema.require_current(engine)
    building.together(*[lambda: migrate.upgrade(engine)] * 3)
    assert schema.schema_state(engine) == "current"
    schema.require_current(engine)
    assert [row.name for row in building.rows_of(engine, Lock)] == ["pump"]


@on_mariadb
def test_an_upgrade_that_finds_no_turn_is_unavailable_before_its_connection_gives_up(
    engine: Engine, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert migrate.LOCK_SECONDS < session.ANSWER_SECONDS
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 0)
    with mariadb.connect() as holder, holder.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('cascade.migrate', 0)")
        with pytest.raises(Unavailable):
            migrate.upgrade(engine)
        # The server frees it some time after a connection was closed.
        cursor.execute("SELECT RELEASE_LOCK('cascade.migrate')")
    migrate.upgrade(engine)


@pytest.mark.parametrize(
    "statement", ["UPDATE alembic_version SET version_num = '9999'", "DELETE FROM alembic_version"]
)
def test_a_schema_that_is_not_known_is_refused_and_left_alone(engine: Engine, statement: str) -> None:
    before = read(engine, lambda one: one.execute(text("SELECT version_num FROM alembic_version")).all())
    transact(engine, lambda one: one.execute(text(statement)))
    try:
        assert schema.schema_state(engine) == "unknown"
        for refuse in (migrate.upgrade, schema.require_current):
            with pytest.raises(ConfigurationError) as refused:
                refuse(engine)
            assert refused.value.code == "unknown_schema"
    finally:
        transact(engine, lambda one: one.execute(text("DELETE FROM alembic_version")))
        transact(
            engine,
            lambda one: one.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": before[0][0]}),
        )


def test_the_migrated_schema_is_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        found = {table: inspect(connection).get_indexes(table) for table in Base.metadata.tables}
    for name, table in Base.metadata.tables.items():
        wanted = {index.name: [column.name for column in index.columns] for index in table.indexes}
        assert wanted.items() <= {one["name"]: one["column_names"] for one in found[name]}.items(), name


@on_mariadb
def test_the_tables_keep_every_character_and_machine_keys_byte_by_byte(engine: Engine) -> None:
    query = text(
        "SELECT DISTINCT engine, table_collation FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
    )
    assert [tuple(row) for row in read(engine, lambda one: one.execute(query).all())] == [
        ("InnoDB", "utf8mb4_unicode_ci")
    ]
    keys = text(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND column_name IN ('id', 'state', 'queue', 'slug', 'execution', 'key_hash') AND data_type = 'varchar'"
    )
    assert read(engine, lambda one: one.scalars(keys).all()) == ["ascii_bin"]


# --- the queries that run in a loop


LOOPS: dict[str, Callable[[Session], object]] = {
    "begin_next": lambda one: allocations.begin_next(
        one, "node:n", new_id(), 10, allocations.Taker("n", "i", 45.0)
    ),
    "begun_by": lambda one: allocations.begun_by(one, "node:n", new_id()),
    "feed_orders": lambda one: allocations.feed_orders(one, new_id()),
    "unclaimed": allocations.unclaimed,
    "waiting_kinds": planning.waiting_kinds,
    "waiting_items": lambda one: planning.waiting_items(one, {"rss": 2000}),
    "expired_leases": recovery.expired_leases,
    "due_items": lambda one: releasing.due(one, WorkItem),
    "due_deliveries": lambda one: releasing.due(one, Delivery),
    "old_runs": lambda one: retention.old_runs(one, 30.0, ""),
    "old_deliveries": lambda one: retention.old_deliveries(one, 30.0, ""),
    "old_allocations": lambda one: retention.old_allocations(one, 30.0, ""),
    "pending_for": lambda one: placed.pending_for(one, 30.0, ["n"]),
    "replan": lambda one: recovery.replan(one, "n"),
    "items_in_flight": nodes.items_in_flight,
    "assigned_count": deliveries.assigned_count,
    "waiting_deliveries": lambda one: deliveries.waiting(one, 2000),
    "recent_attempts": lambda one: deliveries.recent_attempts(one, ["r1", "r2"], 60.0),
    "ended_runs": runs.ended,
    "expanding_runs": runs.expanding,
}
# Shows that the test sees a scan where there is one.
CONTROL: dict[str, Callable[[Session], object]] = {
    "control": lambda one: one.scalar(select(WorkItem.id).where(WorkItem.reason == "x"))
}


def fill(engine: Engine, count: int) -> None:
    """A database that has worked for a while: nearly everything has ended."""
    numbers = range(count)

    def state(number: int, ended: str, *open_states: str) -> str:
        return open_states[number % len(open_states)] if number % 100 < 2 else ended

    run = [
        {
            "id": new_id(),
            "task_id": "t",
            "task_name": "T",
            "trigger": "m",
            "reason": "",
            "state": state(n, "completed", "running", "expanding"),
        }
        for n in numbers
    ]
    allocation = [
        {
            "id": new_id(),
            "kind": "update",
            "queue": f"node:n{n % 7}" if n % 3 else "node:n",
            "node_id": "n" if n % 3 == 0 else f"n{n % 7}",
            "state": state(n, "completed", "pending", "executing"),
            "reason": "",
        }
        for n in numbers
    ]
    item = [
        {
            "id": new_id(),
            "run_id": run[n]["id"],
            "task_id": "t",
            "feed_id": f"f{n}",
            "state": state(n, "done", "waiting", "assigned"),
            "node_id": f"n{n % 7}",
            "allocation_id": allocation[n]["id"],
            "reason": "",
        }
        for n in numbers
    ]
    delivery = [
        {
            "id": new_id(),
            "task_id": "t",
            "feed_id": f"f{n}",
            "receiver": f"r{n % 50}",
            "receiver_kind": "webhook",
            "state": state(n, "delivered", "waiting", "assigned"),
            "reason": "",
        }
        for n in numbers
    ]

    def work(one: Session) -> None:
        for table, rows in ((Run, run), (Allocation, allocation), (WorkItem, item), (Delivery, delivery)):
            one.execute(insert(table), rows)
        one.execute(update(Delivery).values(attempted_at=now(-3600)))
        told = {"transport": "remote", "instance": "i", "callback_url": "http://n.example"}
        one.add(Node(id="n", name="n", slug="n", **told))
        recovery.stamp_pulse(one, "beat", 45.0)

    transact(engine, work)
    with engine.connect() as connection:
        connection.execute(text("ANALYZE TABLE runs, allocations, work_items, deliveries"))


@on_mariadb
def test_every_query_that_runs_in_a_loop_uses_an_index(engine: Engine) -> None:
    fill(engine, 4000)
    statements: list[tuple[str, str, Any]] = []
    current = ""

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _cursor: object, statement: str, values: Any, _x: object, _many: object) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            statements.append((current, statement, values[0] if isinstance(values, list) else values))

    with Session(engine) as one:
        for name, query in (LOOPS | CONTROL).items():
            current = name
            query(one)
            one.rollback()
    event.remove(engine, "before_cursor_execute", _note)
    assert {name for name, _, _ in statements} == (LOOPS | CONTROL).keys()
    with engine.connect() as connection:
        scans = [
            (name, row.table, row.type, row.rows, statement)
            for name, statement, values in statements
            for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            if row.table in {"runs", "allocations", "work_items", "deliveries"}
            and row.type in {"ALL", "index"}
        ]
    assert [scan for scan in scans if scan[0] != "control"] == []
    assert len(scans) == 1
