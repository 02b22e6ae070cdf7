"""What is not as it should be in publishing is found and mended, and nothing else is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.publish_repairs import publish_repairs
from backend.dispatch.pump import pump
from backend.dispatch.queue_repairs import LostFinder
from backend.dispatch.queues import job_id, waiting_jobs
from backend.dispatch.repairs import replan_gone
from backend.store import publish_repairs as store
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, Node, PublishAccount, PublishTask
from tests import building
from tests.building import LIMITS, change, row_of
from tests.publishing import make_account, make_tasks, slots

QUEUE = "node:n:publish"


def mended(engine: Engine) -> dict[str, int]:
    """Run all repairs; by name, how much was mended. A second pass must find nothing."""
    first = {
        one.name: one.mended for one in (repair.run() for repair in publish_repairs(engine)) if one.found
    }
    assert not any(repair.run().found for repair in publish_repairs(engine))
    return first


@pytest.fixture
def queued(engine: Engine) -> str:
    """The id of a task that stands in a node's queue."""
    building.make_node(engine)
    (task,) = make_tasks(engine, make_account(engine))
    assert pump(engine, None, LIMITS) == 1
    return task


def test_healthy_work_is_left_alone(engine: Engine, queued: str) -> None:
    assert mended(engine) == {}
    # Also by a sweeper that read it before it was well.
    allocation = row_of(engine, Allocation)
    assert transact(engine, lambda session: store.wait_again(session, [queued])) == 0
    assert transact(engine, lambda session: store.end_taskless(session, [allocation.id])) == 0
    assert transact(engine, lambda session: store.free_slots(session, [allocation.id])) == 0
    assert row_of(engine, PublishTask, queued).state == "queued"
    assert slots(engine) == {allocation.account_id: "publish"}


@pytest.mark.parametrize(
    "gone", [{"state": "cancelled", "active_account_id": None}, {"kind": "account"}], ids=str
)
@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_task_that_nothing_carries_waits_again(
    engine: Engine, queued: str, state: str, gone: dict[str, Any]
) -> None:
    submitted = datetime.now(UTC)
    change(engine, PublishTask, state=state, submitted_at=submitted)
    change(engine, Allocation, **gone)
    assert mended(engine) == {"sweep_workless_publishes": 1}
    task = row_of(engine, PublishTask, queued)
    # What was submitted stays so: it will only be confirmed.
    assert (task.state, task.allocation_id, task.submitted_at) == ("pending", None, submitted)


@pytest.mark.parametrize("task", [{"state": "cancelled"}, {"allocation_id": "another"}], ids=str)
def test_work_whose_task_has_gone_on_ends_and_frees_the_account(
    engine: Engine, queued: str, task: dict[str, Any]
) -> None:
    change(engine, PublishTask, queued, **({"state": "pending"} | task))
    assert mended(engine) == {"sweep_taskless": 1}
    assert row_of(engine, Allocation).state == "cancelled"
    assert slots(engine) == {}


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_a_slot_that_ended_work_kept_is_freed(engine: Engine, queued: str, state: str) -> None:
    change(engine, PublishTask, queued, state="success")
    change(engine, Allocation, state=state)
    assert mended(engine) == {"sweep_slots": 1}
    assert slots(engine) == {}


def test_a_login_code_is_forgotten_when_its_time_is_over(engine: Engine) -> None:
    until = datetime.now(UTC) + timedelta(minutes=2)
    old = make_account(engine, "old", login_prompt="x", login_prompt_until=until)
    fresh = make_account(engine, "fresh", login_prompt="x", login_prompt_until=until)
    change(engine, PublishAccount, old, login_prompt_until=now(-1))
    assert mended(engine) == {"sweep_prompts": 1}
    assert row_of(engine, PublishAccount, old).login_prompt is None
    assert row_of(engine, PublishAccount, fresh).login_prompt == "x"


def test_publish_jobs_that_redis_lost_are_enqueued_again(
    engine: Engine, queued: str, redis_client: Redis
) -> None:
    allocation = row_of(engine, Allocation)
    assert waiting_jobs(redis_client, QUEUE) == []
    change(engine, Allocation, updated_at=now(-60))
    finder = LostFinder()
    assert [finder.repair(engine, redis_client, 120.0) for _ in range(2)] == [0, 1]
    assert waiting_jobs(redis_client, QUEUE) == [job_id(allocation.id, 1)]
    assert row_of(engine, PublishTask, queued).state == "queued"


@pytest.mark.parametrize("bound", [False, True], ids=["any node", "its node"])
def test_queued_work_of_a_node_that_is_gone_goes_to_another_unless_the_account_lives_there(
    engine: Engine, queued: str, bound: bool
) -> None:
    node_id = row_of(engine, Node).id
    if bound:
        change(engine, PublishAccount, node_id=node_id)
    change(engine, Node, node_id, presence_at=now(-999))
    assert replan_gone(engine) == 1
    assert row_of(engine, PublishTask, queued).state == "pending"
    assert slots(engine) == {}
    building.make_node(engine, "other")
    assert pump(engine, None, LIMITS) == (0 if bound else 1)
    building.change(engine, Node, node_id, presence_at=now())
    assert pump(engine, None, LIMITS) == (1 if bound else 0)
