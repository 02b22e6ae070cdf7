"""Publish and account work whose worker or node is gone: what was submitted is only ever confirmed, and never called failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.queues import job_id, waiting_jobs
from backend.dispatch.repairs import expired_leases, recover_expired
from backend.domain.identifiers import new_id
from backend.domain.publish_endings import PublishPolicy
from backend.store import recovery
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, History, PublishAccount, PublishTask
from tests import building
from tests.building import row_of, rows_of
from tests.publishing import make_account

SUBMITTED = datetime(2026, 11, 1, tzinfo=UTC)
STARTED = datetime(2026, 11, 2, tzinfo=UTC)
QUEUE = "node:n:publish"
POLICY = PublishPolicy()


def work(engine: Engine, *, kind: str = "publish", state: str = "executing", **values: Any) -> str:
    """Work of an account that has its slot; its allocation's id."""
    allocation_id, node_id = new_id(), building.make_node(engine)
    row = {"execution": "x", "account_id": "a", "active_account_id": "a", "started_at": STARTED} | values
    make_account(engine, id="a")
    one = Allocation(id=allocation_id, kind=kind, queue=QUEUE, node_id=node_id, state=state, **row)
    transact(engine, lambda session: session.add(one))
    return allocation_id


def publish(
    engine: Engine,
    *,
    attempt: int = 1,
    allocation_state: str = "executing",
    state: str = "running",
    **values: Any,
) -> str:
    """A publish task whose worker died in this attempt; its allocation's id."""
    allocation_id = work(engine, attempt=attempt, state=allocation_state)
    task = PublishTask(
        id="task", user_id="u", account_id="a", allocation_id=allocation_id, state=state, **values
    )
    transact(engine, lambda session: session.add(task))
    building.expire(engine)
    return allocation_id


def after(engine: Engine) -> tuple[str, int, str, str | None]:
    """Recover; the allocation's state and attempt, the task's state and whose slot is taken."""
    assert recover_expired(engine, 6) == 1
    allocation, task = row_of(engine, Allocation), row_of(engine, PublishTask)
    return allocation.state, allocation.attempt, task.state, allocation.active_account_id


@pytest.mark.parametrize("submitted", [None, SUBMITTED], ids=["untouched", "submitted"])
def test_a_lost_attempt_is_followed_by_another_that_knows_of_the_submission_and_keeps_the_slot(
    engine: Engine, submitted: datetime | None
) -> None:
    publish(engine, submitted_at=submitted, draft_id="draft")
    assert after(engine) == ("pending", 2, "running", "a")
    task = row_of(engine, PublishTask)
    assert (task.submitted_at, task.draft_id) == (submitted, "draft")
    # What was marked before it began only asked the platform.
    assert (task.attempts, task.confirmations) == (1, int(submitted is not None))
    assert row_of(engine, Allocation).execution is None


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({"attempts": POLICY.executions - 1}, "failed"),
        ({"attempts": POLICY.executions - 1, "submitted_at": SUBMITTED}, "unconfirmed"),
        ({"confirmations": POLICY.confirmations - 1, "submitted_at": SUBMITTED}, "unconfirmed"),
    ],
    ids=["untouched", "submitted", "asked in vain"],
)
def test_spent_attempts_end_the_task_truly_and_free_its_account(
    engine: Engine, values: dict[str, Any], target: str
) -> None:
    publish(engine, **values)
    assert after(engine) == ("failed", 1, target, None)
    task = row_of(engine, PublishTask)
    assert task.submitted_at == values.get("submitted_at")
    assert (task.error_code, task.completed_at is None) == ("worker_died", False)


def test_a_mark_that_the_lost_execution_set_itself_counts_as_no_confirmation(engine: Engine) -> None:
    later = STARTED.replace(hour=1)
    publish(engine, submitted_at=later, confirmations=POLICY.confirmations - 1)
    assert after(engine) == ("pending", 2, "running", "a")
    assert row_of(engine, PublishTask).confirmations == POLICY.confirmations - 1


def test_a_cancelled_task_ends_cancelled_unless_it_was_submitted(engine: Engine) -> None:
    publish(engine)
    building.change(engine, Allocation, cancel_requested=True)
    assert after(engine) == ("cancelled", 1, "cancelled", None)


def test_a_cancel_that_came_after_the_submission_does_not_keep_it_from_being_confirmed(
    engine: Engine,
) -> None:
    publish(engine, submitted_at=SUBMITTED)
    building.change(engine, Allocation, cancel_requested=True)
    assert after(engine) == ("pending", 2, "running", "a")
    # The attempt that confirms must not be stopped by it.
    assert not row_of(engine, Allocation).cancel_requested


def test_what_was_claimed_and_never_begun_waits_again_without_an_attempt(engine: Engine) -> None:
    publish(engine, allocation_state="claimed", state="queued")
    assert after(engine) == ("cancelled", 1, "pending", None)
    task = row_of(engine, PublishTask)
    assert (task.attempts, task.allocation_id) == (0, None)


def test_sweepers_at_once_recover_it_once(engine: Engine) -> None:
    publish(engine, submitted_at=SUBMITTED)
    assert sum(building.together(*[lambda: recover_expired(engine, 6)] * 3)) == 1
    assert row_of(engine, Allocation).attempt == 2
    assert row_of(engine, PublishTask).attempts == 1


def test_what_goes_back_into_its_queue_is_enqueued_at_once(engine: Engine, redis_client: Redis) -> None:
    allocation_id = publish(engine)
    assert expired_leases(engine, 6, redis_client, 120.0).run().mended == 1
    assert waiting_jobs(redis_client, QUEUE) == [job_id(allocation_id, 2)]


def test_an_errand_is_tried_again_with_its_slot_and_at_last_given_up_until_later(engine: Engine) -> None:
    work(engine, kind="account", errand="check")
    building.change(engine, PublishAccount, login_prompt="secret", check_due_at=None)
    for attempt in (2, 3):
        building.expire(engine)
        assert recover_expired(engine, 6) == 1
        row = row_of(engine, Allocation)
        assert (row.state, row.attempt, row.active_account_id) == ("pending", attempt, "a")
        building.change(engine, Allocation, state="executing")
    building.expire(engine)
    assert recover_expired(engine, 6) == 1
    row, account = row_of(engine, Allocation), row_of(engine, PublishAccount)
    assert (row.state, row.error_code, row.active_account_id) == ("failed", "lost", None)
    assert (account.login_prompt, account.check_due_at is None) == (None, False)


@pytest.mark.parametrize(("health", "expected"), [("expired", "needs_login"), ("ok", "ok")])
def test_a_login_whose_worker_died_is_not_tried_again_because_it_may_have_typed_the_password_in(
    engine: Engine, health: str, expected: str
) -> None:
    work(engine, kind="account", errand="login", credential_version=1)
    building.change(engine, PublishAccount, health=health)
    building.expire(engine)
    assert recover_expired(engine, 6) == 1
    row, account = row_of(engine, Allocation), row_of(engine, PublishAccount)
    assert (row.state, row.error_code, row.active_account_id) == ("failed", "lost", None)
    assert (account.health, account.check_due_at is None) == (expected, health == "expired")


@pytest.mark.parametrize("state", ["queued", "running"])
def test_pending_publish_work_of_a_node_that_is_gone_waits_again_with_all_that_is_known(
    engine: Engine, state: str
) -> None:
    # Running: its first attempt was lost, and the second waits for a worker of the node.
    publish(engine, allocation_state="pending", state=state, submitted_at=SUBMITTED, attempts=1)
    node_id = row_of(engine, Allocation).node_id
    assert transact(engine, lambda session: recovery.replan(session, node_id)) == 1
    allocation, task = row_of(engine, Allocation), row_of(engine, PublishTask)
    assert (allocation.state, allocation.active_account_id) == ("cancelled", None)
    assert (task.state, task.allocation_id, task.submitted_at, task.attempts) == (
        "pending",
        None,
        SUBMITTED,
        1,
    )
    assert transact(engine, lambda session: recovery.replan(session, node_id)) == 0


def test_a_pending_errand_of_a_node_that_is_gone_is_wanted_again(engine: Engine) -> None:
    work(engine, kind="account", errand="login", state="pending")
    node_id = row_of(engine, Allocation).node_id
    assert transact(engine, lambda session: recovery.replan(session, node_id)) == 1
    assert row_of(engine, PublishAccount).errand_wanted == "login"
    assert row_of(engine, Allocation).active_account_id is None


def test_ended_publish_tasks_go_with_age_and_their_history_and_open_ones_stay(engine: Engine) -> None:
    publish(engine, submitted_at=SUBMITTED, confirmations=POLICY.confirmations - 1)
    after(engine)
    building.change(engine, PublishTask, id="00000000-0000-7000-8000-000000000000")
    building.change(engine, History, subject_id="00000000-0000-7000-8000-000000000000", at=SUBMITTED)
    building.change(engine, PublishTask, completed_at=now(-40 * 86_400))
    assert "sweep_old_publish_tasks" not in building.forget(engine)
    assert row_of(engine, PublishTask).state == "unconfirmed"
    building.change(engine, PublishTask, state="success")
    assert building.forget(engine)["sweep_old_publish_tasks"] == 1
    assert rows_of(engine, PublishTask) == []
