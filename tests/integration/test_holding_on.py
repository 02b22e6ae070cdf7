"""Leases, pulses and statements under trouble: what the review of the core found, and must never come back."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from redis import Redis
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.dispatch import queues
from backend.dispatch.dispatching import dispatch_tasks
from backend.dispatch.pump import Limits
from backend.domain.errors import Unavailable
from backend.domain.ports import Lease, Standing
from backend.store import recovery, runs
from backend.store.session import read, transact
from backend.store.tables import Allocation, MessageTask, Node, Pulse, WorkItem
from backend.store.waiting import waiting
from backend.workers.forking import fork_child
from backend.workers.leases import Leases
from tests import building
from tests.servers import MariaDb

on_mariadb = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)


def test_a_pulse_that_is_late_itself_lets_nothing_be_recovered(engine: Engine) -> None:
    world = building.make_world(engine)
    building.begin(world)
    building.expire(engine)
    transact(engine, lambda session: recovery.stamp_pulse(session, "beat", 45.0))
    assert len(read(engine, recovery.expired_leases)) == 1
    with engine.begin() as connection:
        connection.execute(Pulse.__table__.update().values(alive_at=recovery.now(-100)))  # type: ignore[attr-defined]
    assert read(engine, recovery.expired_leases) == []


@on_mariadb  # SQLite has one writer at a time and no row locks
def test_a_renewal_passes_over_a_row_that_is_being_settled_and_renews_the_others(
    mariadb: MariaDb, engine: Engine
) -> None:
    world = building.make_world(engine, 2, capacity=2)
    ledger = world.ledger
    orders = [ledger.begin_next(world.queue, f"x{number}", 10) for number in range(2)]
    leases = [Lease(one.allocation_id, one.attempt, one.execution) for one in orders if one is not None]
    assert len(leases) == 2
    building.expire(engine)
    with Session(engine) as settling, settling.begin():
        settling.execute(
            text("SELECT id FROM allocations WHERE id = :id FOR UPDATE"), {"id": leases[0].allocation_id}
        )
        standings = ledger.renew(leases)
    assert set(standings.values()) == {Standing.HELD}
    transact(engine, lambda session: recovery.stamp_pulse(session, "beat", 45.0))
    expired = [one.allocation_id for one in read(engine, recovery.expired_leases)]
    assert expired == [leases[0].allocation_id]


@on_mariadb  # SQLite runs in this process: there is no round trip to save
def test_many_rows_are_a_few_statements(mariadb: MariaDb, engine: Engine) -> None:
    task_id = building.make_task(engine, building.make_feeds(engine, 500))
    before = _questions(mariadb)
    run_id = transact(
        engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="test").run_id
    )
    assert not transact(engine, lambda session: runs.expand_chunk(session, run_id, 500))
    assert sum(building.counted(engine, WorkItem).values()) == 500
    assert _questions(mariadb) - before < 60


def _questions(mariadb: MariaDb) -> int:
    return int(mariadb.execute("SHOW GLOBAL STATUS LIKE 'Questions'")[0]["Value"])


def test_a_dispatch_that_is_committed_never_ends_in_an_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = building.make_task(engine, building.make_feeds(engine, 3))

    def away(*_: object) -> int:
        raise Unavailable(part="The database")

    monkeypatch.setattr("backend.dispatch.dispatching.pump", away)
    report = dispatch_tasks(engine, None, limits=Limits(1.0), task_id=task_id, actor="test")
    assert (report.allocations_created, report.items_waiting) == (0, 3)
    assert "beat" in report.reason
    assert len(read(engine, runs.list_runs)) == 1


def test_a_node_whose_workers_are_all_dead_gets_no_work(engine: Engine) -> None:
    world = building.make_world(engine, 1)
    building.change(engine, Node, world.node_id, workers_alive=0)
    building.start_run(engine, world.task_id)
    report = building.dispatch(engine, world.task_id)
    assert report.allocations_created == 0
    assert "none of its workers runs" in " ".join(group.reason for group in read(engine, waiting))


def test_a_withdrawn_wake_up_leaves_nothing_in_redis_for_ever(engine: Engine, redis_client: Redis) -> None:
    world = building.make_world(engine)
    building.change(engine, MessageTask, overlap="allow")
    building.dispatch(engine, world.task_id, redis_client)
    for order in iter(lambda: world.ledger.begin_next(world.queue, os.urandom(8).hex(), 10), None):
        queues.withdraw(redis_client, order.queue, order.allocation_id, order.attempt)
    assert queues.length(redis_client, world.queue) == 0
    jobs = list(redis_client.scan_iter("rq:job:*"))
    assert jobs
    assert all(0 < redis_client.ttl(job) <= queues.RESULT_SECONDS for job in jobs)


def test_a_cancel_that_a_renewal_learns_of_reaches_the_work(engine: Engine) -> None:
    world = building.make_world(engine)
    order = building.begin(world)
    leases = Leases(world.ledger, 15.0)
    with leases.held(order):
        leases.renew_now()
        assert not leases.is_cancelled(order.execution)
        building.change(engine, Allocation, order.allocation_id, cancel_requested=True)
        leases.renew_now()
        assert leases.is_cancelled(order.execution)
    assert not leases.is_cancelled(order.execution)


def test_an_error_of_the_database_does_not_show_what_was_written(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_stop_that_comes_right_after_the_fork_reaches_the_child() -> None:
    for _ in range(10):
        pid = fork_child(lambda: 0 if threading.Event().wait(20) else 1)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


def test_statements_of_a_long_loop_are_not_compiled_anew(engine: Engine) -> None:
    world = building.make_world(engine)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    world.ledger.begin_next(world.queue, "x1", 10)
    assert len(statements) < 15
