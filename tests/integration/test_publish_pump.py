"""Placing publish work: users take turns, an account's slot is given once, checks go first, Redis hears of it afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from backend.dispatch import publish_pump
from backend.dispatch.pump import Limits, pump
from backend.dispatch.queues import announcements, job_id, next_announcement, waiting_jobs
from backend.domain.identifiers import new_id
from backend.domain.publish_admission import PublishLimits
from backend.store import account_errands, publish_admission
from backend.store.columns import now
from backend.store.planning import take_pump_lock
from backend.store.session import read, transact
from backend.store.tables import Allocation, Node, PublishAccount, PublishTask
from tests import building
from tests.building import LIMITS, row_of, rows_of
from tests.publishing import free, make_account, make_tasks, placed_tasks, slots

QUEUE = "node:n:publish"
ONE_AT_A_TIME = replace(LIMITS, publishing=PublishLimits(node_slots=1))


def place(engine: Engine, redis: Redis | None = None, limits: Limits = LIMITS) -> int:
    return pump(engine, redis, limits)


def states(engine: Engine) -> dict[str, int]:
    return building.counted(engine, PublishTask)


def test_a_task_gets_its_accounts_slot_and_stands_in_its_nodes_queue(
    engine: Engine, redis_client: Redis
) -> None:
    node_id, account = building.make_node(engine), make_account(engine)
    first, second = make_tasks(engine, account, 2)
    assert place(engine, redis_client) == 1
    allocation, task = row_of(engine, Allocation), row_of(engine, PublishTask, first)
    assert (allocation.kind, allocation.queue, allocation.node_id) == ("publish", QUEUE, node_id)
    assert (allocation.account_id, allocation.active_account_id) == (account, account)
    assert (task.state, task.allocation_id, task.reason_code) == ("queued", allocation.id, "publish_queued")
    assert task.admitted_at is not None
    assert row_of(engine, PublishTask, second).state == "pending"
    assert waiting_jobs(redis_client, QUEUE) == [job_id(allocation.id, 1)]
    # The slot is taken: nothing more, however often somebody looks.
    assert place(engine, redis_client) == 0
    free(engine)
    assert place(engine, redis_client) == 1
    assert placed_tasks(engine) == [second]


def test_a_remote_nodes_long_polls_hear_of_it(engine: Engine, redis_client: Redis) -> None:
    node_id = building.make_third_party(engine, "far")
    kinds = ["update", "publish", "account"]
    building.change(engine, Node, node_id, instance="i", protocol=2, kinds=kinds, publishers=["webhook"])
    make_tasks(engine, make_account(engine))
    with announcements(redis_client) as heard:
        next_announcement(heard, 5)
        assert place(engine, redis_client) == 1
        assert next_announcement(heard, 5) == ["node:far:publish"]
    assert waiting_jobs(redis_client, "node:far:publish") == []


def test_users_take_turns_whoever_came_first_with_however_many(engine: Engine) -> None:
    building.make_node(engine)
    many = {make_account(engine, f"a{number}"): "a" for number in range(4)}
    first = [task for account in many for task in make_tasks(engine, account, 25, user="a")]
    (single,) = make_tasks(engine, make_account(engine, "b", user_id="b"), user="b")
    order: list[str] = []
    for _ in range(3):
        assert place(engine, limits=ONE_AT_A_TIME) == 1
        order += placed_tasks(engine)
        free(engine)
    assert order == [first[0], single, first[1]]


def test_a_user_has_so_many_in_flight_and_so_many_new_a_minute(engine: Engine) -> None:
    building.make_node(engine)
    limits = replace(LIMITS, publishing=PublishLimits(in_flight=3, per_minute=5, node_slots=100))
    tasks = [make_tasks(engine, make_account(engine, str(number)))[0] for number in range(9)]
    assert place(engine, limits=limits) == 3
    free(engine)
    assert place(engine, limits=limits) == 2
    free(engine)
    assert place(engine, limits=limits) == 0
    building.change(engine, PublishTask, tasks[0], admitted_at=now(-61))
    assert place(engine, limits=limits) == 1


def test_gap_and_daily_limit_hold_new_articles_and_no_confirmation(engine: Engine) -> None:
    building.make_node(engine)
    lately = datetime.now(UTC) - timedelta(seconds=30)
    account = make_account(engine, min_gap_seconds=60, daily_limit=2, last_used_at=lately)
    (earlier,) = make_tasks(engine, account, submitted_at=lately)
    building.change(engine, PublishTask, earlier, state="success")
    (waits,) = make_tasks(engine, account)
    assert place(engine) == 0
    building.change(engine, PublishAccount, last_used_at=now(-61))
    assert place(engine) == 1
    free(engine)
    building.change(engine, PublishTask, waits, submitted_at=now(-61))
    make_tasks(engine, account)
    # Two within a day: the third waits until the oldest is a day old.
    assert place(engine) == 0
    (doubtful,) = make_tasks(engine, account, submitted_at=datetime.now(UTC), priority=-1)
    assert place(engine) == 1
    assert placed_tasks(engine) == [doubtful]
    assert row_of(engine, PublishTask, doubtful).admitted_at is None
    free(engine)
    building.change(engine, PublishTask, doubtful, submitted_at=now(-90_000))
    building.change(engine, PublishTask, earlier, submitted_at=now(-90_000))
    assert place(engine) == 1


@pytest.mark.parametrize(
    "hinders",
    [
        {"health": "expired"},
        {"health": "needs_login"},
        {"health": "cooling"},
        {"is_active": False},
        {"node_id": "another"},
    ],
    ids=str,
)
def test_an_account_that_cannot_be_used_gets_no_work(engine: Engine, hinders: dict[str, Any]) -> None:
    building.make_node(engine)
    make_tasks(engine, make_account(engine, **hinders))
    assert place(engine) == 0


def test_a_task_waits_for_its_time(engine: Engine) -> None:
    building.make_node(engine)
    (task,) = make_tasks(engine, make_account(engine), not_before=datetime.now(UTC) + timedelta(hours=1))
    assert place(engine) == 0
    building.change(engine, PublishTask, task, not_before=now(-1))
    assert place(engine) == 1


def test_nodes_that_are_full_of_other_work_still_publish_and_draining_ones_do_not(engine: Engine) -> None:
    node_id = building.make_node(engine, capacity=1)
    building.make_feeds(engine, 5)
    building.start_run(engine, building.make_task(engine, "all"))
    make_tasks(engine, make_account(engine))
    building.change(engine, Node, node_id, draining=True)
    assert place(engine) == 0
    building.change(engine, Node, node_id, draining=False)
    assert place(engine) == 2
    assert {row.kind for row in rows_of(engine, Allocation)} == {"update", "publish"}


# --- visits of accounts


def test_a_check_that_is_due_goes_before_the_accounts_tasks(engine: Engine) -> None:
    building.make_node(engine)
    account = make_account(engine, health="unknown", check_due_at=datetime.now(UTC) - timedelta(seconds=5))
    make_tasks(engine, account)
    assert place(engine) == 1
    assert slots(engine) == {account: "account"}
    visit = row_of(engine, Allocation)
    assert (visit.kind, visit.errand, visit.queue, visit.account_id) == ("account", "check", QUEUE, account)
    after = row_of(engine, PublishAccount).check_due_at
    assert after is not None
    assert after > datetime.now(UTC) + timedelta(hours=1)
    free(engine)
    assert place(engine) == 1
    assert slots(engine) == {account: "publish"}


@pytest.mark.parametrize("health", ["expired", "needs_login", "ok"])
def test_a_visit_that_a_person_asked_for_asks_for_no_health(engine: Engine, health: str) -> None:
    building.make_node(engine)
    account = make_account(engine, health=health, errand_wanted="login")
    assert place(engine) == 1
    assert row_of(engine, Allocation).errand == "login"
    assert row_of(engine, PublishAccount).errand_wanted is None
    free(engine)
    assert place(engine) == 0
    assert account not in slots(engine)


def test_accounts_that_cannot_be_visited_do_not_hide_those_that_can(engine: Engine) -> None:
    building.make_node(engine)
    long_due = datetime.now(UTC) - timedelta(days=1)
    away = {"platform": "webhook", "node_id": "gone", "credentials": "", "check_due_at": long_due}
    rows = [{"id": new_id(), "name": f"away {number}"} | away for number in range(account_errands.AT_ONCE)]
    transact(engine, lambda session: session.execute(insert(PublishAccount), rows))
    make_account(engine, "off", is_active=False, check_due_at=long_due)
    reachable = make_account(engine, "here", check_due_at=datetime.now(UTC) - timedelta(seconds=1))
    assert place(engine, limits=ONE_AT_A_TIME) == 1
    assert slots(engine) == {reachable: "account"}


# --- everything at once


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_nobody_places_publish_work_beside_whoever_has_the_pump(engine: Engine) -> None:
    building.make_node(engine)
    make_tasks(engine, make_account(engine))
    with ThreadPoolExecutor(1) as pool, Session(engine) as session, session.begin():
        take_pump_lock(session)
        other = pool.submit(place, engine)
        assert wait([other], timeout=0.5).not_done
        assert slots(engine) == {}
    assert other.result(10) == 1


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_pumps_that_run_at_once_give_each_slot_away_once(engine: Engine) -> None:
    building.make_node(engine)
    limits = replace(LIMITS, publishing=PublishLimits(in_flight=4, per_minute=20, node_slots=100))
    accounts = [make_account(engine, str(number)) for number in range(12)]
    for number, account in enumerate(accounts):
        make_tasks(engine, account, 3, user=f"user {number % 2}")
    made = building.together(*[lambda: place(engine, limits=limits)] * 4)
    assert sum(made) == 8
    assert len(slots(engine)) == 8
    assert states(engine) == {"queued": 8, "pending": 28}


def test_a_task_that_is_cancelled_while_it_is_placed_takes_no_slot(engine: Engine) -> None:
    building.make_node(engine)
    cancelled = make_tasks(engine, make_account(engine, "x"))[0]
    other = make_account(engine, "y")
    make_tasks(engine, other)
    planned = read(engine, lambda session: publish_pump.plan(session, LIMITS.publishing)).tasks
    assert len(planned) == 2
    building.change(engine, PublishTask, cancelled, state="cancelled")
    placed = transact(engine, lambda session: publish_admission.place(session, planned, {}))
    assert len(placed) == 1
    assert slots(engine) == {other: "publish"}


def test_a_long_queue_of_one_account_hides_no_other(engine: Engine) -> None:
    building.make_node(engine)
    account, other = make_account(engine), make_account(engine, "other")
    tasks = make_tasks(engine, account, 3000)
    (single,) = make_tasks(engine, other)
    assert place(engine) == 2
    assert set(placed_tasks(engine)) == {tasks[0], single}
    assert place(engine) == 0
