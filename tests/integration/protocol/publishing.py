"""Publish work: placed, begun, submitted, cancelled, settled by whoever held it at some time, lost, confirmed, decided by people."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from backend.domain.errors import Conflict
from backend.domain.identifiers import new_id
from backend.domain.orders import Failure, Outcome, WorkOrder
from backend.domain.ports import Standing
from backend.domain.publishing import (
    DraftSaved,
    Finding,
    Mode,
    Presence,
    Published,
    PublishReport,
    Submission,
)
from backend.store import publishing, transitions
from backend.store.session import transact
from backend.store.tables import PublishAccount, PublishTask
from tests.integration.protocol.stage import Expected, Stage

STEPS = (
    "begin",
    "begin",
    "draft",
    "submit",
    "submit",
    "finish",
    "lose the answer",
    "fail",
    "hand back",
    "look",
)
ASKED = ("cancel", "retry", "it is there", "publish again")
AMBIGUOUS = Failure("timed_out", "no answer", ambiguous=True)
BROKEN = Failure("http_status", "503")


def want(stage: Stage, account: str) -> None:
    """Somebody wants an article published through one of two accounts."""
    row = {
        "id": account,
        "platform": "webhook",
        "name": account,
        "user_id": "ana",
        "health": "ok",
        "credentials": "",
    }
    task = {"id": new_id(), "user_id": "ana", "account_id": account, "platform": "webhook", "title": "t"}

    def make(session: Any) -> None:
        if session.get(PublishAccount, account) is None:
            session.execute(insert(PublishAccount).values(**row))
        transitions.create(session, PublishTask, [task], "ana")

    transact(stage.engine, make)
    stage.see(Expected())


def go_on(stage: Stage, allocation_id: str, step: str) -> None:
    """Whoever has the allocation takes a step; late, if somebody else has it by now."""
    row = stage.seen.allocations[allocation_id]
    if step == "begin":
        _begin(stage, row)
        return
    for order in [one for one in stage.publishing.orders.values() if one.allocation_id == allocation_id]:
        if step in ("draft", "submit"):
            _checkpoint(stage, order, step)
        else:
            settle(stage, order, step)


def _begin(stage: Stage, row: Any) -> None:
    names = {node_id: name for name, node_id in stage.world.attached.items()}
    if row.state != "pending" or row.node_id not in names:
        return
    execution = new_id()
    order = stage.world.ledger(names[row.node_id]).begin(row.id, row.attempt, execution)
    after = stage.see()
    if order is None:
        assert row.cancel_requested or after.allocations[row.id].state == "cancelled", f"not begun: {row}"
        return
    assert order.publish is not None
    task = after.publishes[order.publish.task_id]
    assert (order.publish.mode is Mode.CONFIRM) == (task.submitted_at is not None), f"{order} of {task}"
    assert (task.state, after.allocations[row.id].state) == ("running", "executing"), f"begun: {task}"
    stage.publishing.orders[execution] = order
    stage.promises.begun(row.id, row.attempt, execution, [])


def _holds(stage: Stage, order: WorkOrder) -> bool:
    row = stage.seen.allocations[order.allocation_id]
    return (row.state, row.attempt, row.execution) == ("executing", order.attempt, order.execution)


def _ledger(stage: Stage) -> Any:
    return stage.world.ledger("n1")


def _checkpoint(stage: Stage, order: WorkOrder, step: str) -> None:
    assert order.publish is not None
    held, before = _holds(stage, order), stage.seen
    standing = _ledger(stage).checkpoint(order, DraftSaved("d") if step == "draft" else Submission(("old",)))
    stage.see(Expected())
    assert held or standing is Standing.SUPERSEDED, f"held by others, but {standing}"
    if step == "submit" and standing is Standing.HELD:
        assert order.publish.mode is Mode.PUBLISH, f"submitted again: {order}"
        assert not before.allocations[order.allocation_id].cancel_requested, "submitted after its cancel"
        stage.publishing.may_call(order.execution, order.publish.task_id)


def settle(stage: Stage, order: WorkOrder, step: str) -> None:
    """An execution reports, honestly: it is there only when it made the call, or looked and somebody's call had been made."""
    assert order.publish is not None
    task_id, held, before = order.publish.task_id, _holds(stage, order), stage.seen
    outcome = _outcome(stage, order, step)
    if outcome is None:
        return
    standing = _ledger(stage).settle(outcome)
    after = stage.see()
    mine = before.allocations[order.allocation_id].settled_by == order.execution
    assert (standing is Standing.HELD) == (held or mine), f"{order.execution} held {held}, but {standing}"
    if not held:
        assert before.publishes == after.publishes, "a late report changed something"
        return
    if after.publishes[task_id].submitted_at is None and before.publishes[task_id].submitted_at is not None:
        assert step == "look", "the mark was cleared by a report that says nothing of the platform"
        stage.publishing.called.discard(task_id)


def _outcome(stage: Stage, order: WorkOrder, step: str) -> Outcome | None:
    assert order.publish is not None
    task_id, called = order.publish.task_id, order.execution in stage.publishing.allowed
    confirms = order.publish.mode is Mode.CONFIRM
    back: tuple[str, ...] = ()
    failure: Failure | None = None
    report = PublishReport(task_id, submitted=called, repeatable=True, quiet_seconds=60.0)
    done = Published("1", "https://p.example/1")
    if step == "finish" and (called or confirms):
        finding = Finding(Presence.THERE, done) if confirms else None
        report = PublishReport(task_id, None if confirms else done, finding, submitted=called)
    elif step == "look" and confirms:
        report = PublishReport(
            task_id, finding=Finding(Presence.NOT_THERE), repeatable=True, quiet_seconds=60.0
        )
    elif step == "hand back" and not called:
        back = (task_id,)
    elif step in ("fail", "lose the answer"):
        failure = BROKEN if step == "fail" else AMBIGUOUS
    else:
        return None
    values = {"publish": report, "failure": failure, "handed_back": back}
    return Outcome(order.allocation_id, order.attempt, order.execution, "publish", **values)  # type: ignore[arg-type]


def ask(stage: Stage, task_id: str, what: str) -> None:
    """A person cancels, tries again, or says how it ended."""
    before = stage.seen.publishes[task_id]

    def change(session: Any) -> None:
        if what == "cancel":
            publishing.cancel(session, task_id, "ana")
        elif what == "retry":
            publishing.retry(session, task_id, "ana")
        else:
            publishing.confirm(session, task_id, "ana", published=what == "it is there")

    try:
        transact(stage.engine, change)
    except Conflict:
        stage.see(Expected())
        return
    after = stage.see().publishes[task_id]
    if what == "cancel":
        assert before.submitted_at is None, f"cancelled after its submission: {before}"
    elif what == "publish again":
        stage.publishing.called.discard(task_id)
        assert after.submitted_at is None
    else:
        assert after.submitted_at == before.submitted_at
