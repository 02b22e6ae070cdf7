"""Publish allocations as far as the store has their life: begun, submitted, lost, recovered to confirmation, ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.orders import Outcome
from backend.domain.ports import Standing
from backend.store import allocations, settlement, transitions
from backend.store.allocations import Taker
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, PublishTask
from backend.store.transitions import Change
from tests.integration.protocol.stage import NOTHING, Expected, Stage
from tests.integration.protocol.world import LEASE_SECONDS

NODE, QUEUE = "n1", "node:n1:publish"
STEPS = ("begin", "submit", "finish")


def plan(stage: Stage) -> None:
    """Somebody wants an article published: its task is queued as an allocation of the node."""
    task_id, allocation_id = new_id(), new_id()
    task = {"id": task_id, "user_id": "ana", "account_id": task_id, "allocation_id": allocation_id}
    node_id = stage.world.attached[NODE]
    allocation = {"id": allocation_id, "kind": "publish", "queue": QUEUE, "node_id": node_id, "item_count": 1}

    def make(session: Session) -> None:
        transitions.create(session, PublishTask, [task], "ana")
        transitions.create(session, Allocation, [allocation], "pump")
        change = Change(("pending",), "queued", "pump")
        transitions.move(session, PublishTask, [task_id], change, active_account_id=task_id)

    transact(stage.engine, make)
    stage.see(NOTHING)


def go_on(stage: Stage, allocation_id: str, step: str) -> None:
    """A worker takes one step of the work, if it is the time for it."""
    row = stage.seen.allocations[allocation_id]
    task = stage.seen.publish_of(allocation_id)
    if step == "begin" and row.state == "pending":
        _begin(stage, row, task)
    elif step == "submit" and row.state == "executing":
        mark = update(PublishTask).where(PublishTask.id == task.id, PublishTask.submitted_at.is_(None))
        transact(stage.engine, lambda session: session.execute(mark.values(submitted_at=now())))
        stage.see(NOTHING)
    elif step == "finish" and row.state == "executing":
        _finish(stage, row, task)


def _begin(stage: Stage, row: Any, task: Any) -> None:
    taker = Taker(stage.world.attached[NODE], "instance", LEASE_SECONDS, worker=NODE)
    execution = new_id()

    def write(session: Session) -> bool:
        begun = allocations.begin(session, row.id, row.attempt, execution, taker)
        change = Change(("queued",), "running", "worker")
        transitions.move(session, PublishTask, [task.id], change)
        return begun is not None

    assert transact(stage.engine, write), f"not begun: {row}"
    stage.promises.begun(row.id, row.attempt, execution, [])
    stage.see(Expected(allocations={row.id: "executing"}))


def _finish(stage: Stage, row: Any, task: Any) -> None:
    outcome = Outcome(row.id, row.attempt, row.execution, "publish")

    def write(session: Session) -> Standing:
        done = Change(("executing",), "completed", "worker")
        ended = Change(("running",), "success", "worker")
        transitions.move(session, PublishTask, [task.id], ended, active_account_id=None)
        return settlement.end(session, outcome, done)

    assert transact(stage.engine, write) is Standing.HELD
    stage.see(Expected(allocations={row.id: "completed"}))
