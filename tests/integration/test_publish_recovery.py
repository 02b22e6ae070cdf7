"""Publish work whose worker is gone: what was submitted is only ever confirmed, and never called failed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.queues import job_id, waiting_jobs
from backend.dispatch.repairs import expired_leases, recover_expired
from backend.domain.identifiers import new_id
from backend.store.session import transact
from backend.store.tables import Allocation, PublishTask
from tests import building
from tests.building import row_of

SUBMITTED = datetime(2026, 11, 1, tzinfo=UTC)
QUEUE = "node:n:publish"


def publish(engine: Engine, *, attempt: int = 1, state: str = "running", **values: object) -> str:
    """A publish task whose worker died in this attempt; its allocation's id."""
    allocation_id, node_id = new_id(), building.make_node(engine)
    allocation = Allocation(
        id=allocation_id, kind="publish", queue=QUEUE, node_id=node_id, state="executing", attempt=attempt,
        execution="x",
    )  # fmt: skip
    task = PublishTask(
        id="task", user_id="u", account_id="a", active_account_id="a", allocation_id=allocation_id, state=state,
        **values,
    )  # fmt: skip
    transact(engine, lambda session: session.add_all([allocation, task]))
    building.expire(engine)
    return allocation_id


def after(engine: Engine) -> tuple[str, int, str, str | None]:
    """Recover; the allocation's state and attempt, the task's state and whose slot it has."""
    assert recover_expired(engine, 6) == 1
    allocation, task = row_of(engine, Allocation), row_of(engine, PublishTask)
    return allocation.state, allocation.attempt, task.state, task.active_account_id


@pytest.mark.parametrize("submitted", [None, SUBMITTED])
def test_a_lost_attempt_is_followed_by_another_that_knows_of_the_submission(
    engine: Engine, submitted: datetime | None
) -> None:
    publish(engine, submitted_at=submitted, draft_id="draft")
    assert after(engine) == ("pending", 2, "running", "a")
    task = row_of(engine, PublishTask)
    assert (task.submitted_at, task.draft_id) == (submitted, "draft")
    assert row_of(engine, Allocation).execution is None


@pytest.mark.parametrize(
    ("submitted", "state", "target"),
    [
        (None, "running", "failed"),
        (SUBMITTED, "running", "unconfirmed"),
        (None, "queued", "pending"),
    ],
)
def test_spent_attempts_end_the_task_truly_and_free_its_account(
    engine: Engine, submitted: datetime | None, state: str, target: str
) -> None:
    publish(engine, attempt=3, state=state, submitted_at=submitted)
    assert after(engine) == ("failed", 3, target, None)
    assert row_of(engine, PublishTask).submitted_at == submitted


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


def test_sweepers_at_once_recover_it_once(engine: Engine) -> None:
    publish(engine, submitted_at=SUBMITTED)
    assert sum(building.together(*[lambda: recover_expired(engine, 6)] * 3)) == 1
    assert row_of(engine, Allocation).attempt == 2


def test_what_goes_back_into_its_queue_is_enqueued_at_once(engine: Engine, redis_client: Redis) -> None:
    allocation_id = publish(engine)
    assert expired_leases(engine, 6, redis_client, 120.0).run().mended == 1
    assert waiting_jobs(redis_client, QUEUE) == [job_id(allocation_id, 2)]
