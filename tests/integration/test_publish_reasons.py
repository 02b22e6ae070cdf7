"""A person can always tell why a publish task waits and when it goes on: asked for one, for a page, and in the row itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.dispatch.publish_repairs import reasons
from backend.dispatch.pump import pump
from backend.domain.errors import NotFound
from backend.domain.publish_admission import PublishLimits
from backend.store import recovery
from backend.store.columns import now
from backend.store.publish_waiting import waits
from backend.store.scene import Asker, Explained, explain, scene
from backend.store.session import read, transact
from backend.store.tables import PublishAccount, PublishTask
from backend.store.waiting import waiting
from tests import building
from tests.building import LIMITS, change, row_of
from tests.publishing import make_account, make_tasks

WIDE = PublishLimits(node_slots=4)


@pytest.fixture(autouse=True)
def beat(engine: Engine) -> None:
    """A beat is alive, and a node."""
    transact(engine, lambda session: recovery.stamp_pulse(session, "a beat", 45))
    building.make_node(engine)


def why(engine: Engine, task: str, limits: PublishLimits = WIDE, owner: str | None = None) -> Explained:
    return read(engine, lambda session: explain(session, task, Asker(limits, owner)))


def seconds_to(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize(
    ("account", "state", "code"),
    [
        ({"health": "needs_login", "health_reason": "a captcha."}, "held", "why_account_needs_login"),
        ({"health": "expired"}, "held", "why_account_expired"),
        ({"is_active": False}, "held", "why_account_off"),
        ({"node_id": "gone"}, "pending", "why_publish_no_node"),
        ({"platform": "zhihu", "min_gap_seconds": 36000, "last_used_at": datetime.now(UTC)}, "pending", "why_account_gap"),
        ({}, "pending", "why_publish_next"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_why_a_task_waits(engine: Engine, account: dict[str, Any], state: str, code: str) -> None:
    (task,) = make_tasks(engine, make_account(engine, **account))
    change(engine, PublishTask, task, state=state)
    found = why(engine, task)
    assert (found.noun, found.state, found.why.code) == ("publish_task", state, code)
    assert "{" not in found.why.sentence("zh")


def test_those_behind_in_the_queue_are_told_how_many_come_first_and_when_their_turn_is(
    engine: Engine,
) -> None:
    account = make_account(engine, min_gap_seconds=60)
    tasks = make_tasks(engine, account, 5)
    (urgent,) = make_tasks(engine, account, priority=5)
    (later,) = make_tasks(
        engine, account, scheduled_at=None, not_before=datetime.now(UTC) + timedelta(hours=1)
    )
    assert pump(engine, None, LIMITS) == 1
    told = read(engine, lambda session: waits(session, [urgent, *tasks, later], WIDE, scene(session)))
    assert urgent not in told, "it does not wait any more"
    assert [told[one].why.params.get("count") for one in tasks] == [None, 1, 2, 3, 4]
    assert told[tasks[0]].why.code == "why_account_busy"
    # One is under way, three come first: each takes its minute.
    assert seconds_to(told[tasks[3]].expected_at) == pytest.approx(240, abs=20)
    assert seconds_to(told[later].expected_at) == pytest.approx(3600, abs=20)


def test_users_limits_are_named_with_the_time_when_they_allow_more(engine: Engine) -> None:
    limits = PublishLimits(in_flight=1, per_minute=2, node_slots=9)
    tasks = [make_tasks(engine, make_account(engine, str(number)))[0] for number in range(3)]
    assert pump(engine, None, replace(LIMITS, publishing=limits)) == 1
    assert why(engine, tasks[1], limits).why.code == "why_publish_user_full"
    change(engine, PublishTask, tasks[0], state="success")
    change(engine, PublishTask, tasks[2], state="success", admitted_at=now(-50))
    found = why(engine, tasks[1], limits)
    assert found.why.code == "why_publish_user_rate"
    assert seconds_to(found.expected_at) == pytest.approx(10, abs=8)


def test_what_a_node_has_and_what_has_ended_is_told_too(engine: Engine) -> None:
    (task,) = make_tasks(engine, make_account(engine))
    pump(engine, None, LIMITS)
    assert why(engine, task).why.code == "why_workers_busy"
    change(engine, PublishTask, task, state="failed", error_message="The platform said no.")
    assert "The platform said no" in why(engine, task).why.sentence()


def test_what_waits_is_counted_by_reason_for_whoever_runs_the_system(engine: Engine) -> None:
    for name in ("ana", "bob"):
        for task in make_tasks(engine, make_account(engine, name, health="expired"), 3):
            change(engine, PublishTask, task, state="held")
    make_tasks(engine, make_account(engine, "away", node_id="gone"), 5)
    found = read(engine, lambda session: waiting(session, WIDE))
    assert [(one.kind, one.why.code, one.count) for one in found] == [
        ("publish", "why_publish_no_node", 5),
        ("publish", "why_account_expired", 3),
        ("publish", "why_account_expired", 3),
    ]


def test_nobody_is_told_of_somebody_elses_task(engine: Engine) -> None:
    (task,) = make_tasks(engine, make_account(engine), user="ana")
    assert why(engine, task, owner="ana").id == task
    with pytest.raises(NotFound):
        why(engine, task, owner="bob")


def test_the_row_of_the_next_task_says_why_it_waits_and_is_written_only_when_that_changes(
    engine: Engine,
) -> None:
    account = make_account(engine, node_id="gone")
    first, second = make_tasks(engine, account, 2)
    note = reasons(engine, WIDE)
    assert (note.run().mended, note.run().found) == (1, 0)
    assert row_of(engine, PublishTask, first).reason_code == "why_publish_no_node"
    assert row_of(engine, PublishTask, second).reason == "waits"
    change(engine, PublishAccount, account, node_id=None)
    pump(engine, None, LIMITS)
    assert row_of(engine, PublishTask, first).reason_code == "publish_queued"
    assert note.run().mended == 1
    assert row_of(engine, PublishTask, second).reason_code == "why_account_busy"
    assert note.run().found == 0
