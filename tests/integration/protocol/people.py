"""What people do: dispatch, cancel, try again, delete, switch nodes."""

from __future__ import annotations

from sqlalchemy import update

from backend.dispatch import interventions
from backend.dispatch.dispatching import dispatch_tasks
from backend.domain.errors import Conflict, NotFound
from backend.domain.node_settings import NodeSettings
from backend.store import message_tasks, node_changes
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Node
from tests.building import LIMITS
from tests.integration.protocol.sight import OPEN, UNSETTLED, Sight
from tests.integration.protocol.stage import NOTHING, Expected, Stage
from tests.integration.protocol.world import Task

SWITCHES = ("off", "on", "drain", "back", "silent", "beat")


def dispatch(stage: Stage, task: Task) -> None:
    """A person dispatches a message task, whatever its last run does."""
    try:
        report = dispatch_tasks(stage.engine, None, limits=LIMITS, task_id=task.task_id, actor="ana")
    except (Conflict, NotFound):
        stage.see(NOTHING)
        return
    # A run that waits is expanded later: a feed may be paused by then, and never more than the task has.
    feed_ids = task.feed_ids - stage.seen.paused.keys()
    stage.promises.runs |= {one.run_id: feed_ids for one in report.tasks}
    stage.see()


def cancel(stage: Stage, allocation_id: str) -> None:
    """A person cancels an allocation: what has not ended of it never does anything again."""
    before = stage.seen
    row = before.allocations[allocation_id]
    items = {item.id: ("cancelled", item.attempts) for item in before.items_of(allocation_id)}
    deliveries = {
        one.id: "unconfirmed" if one.in_flight else "cancelled" for one in before.deliveries_of(allocation_id)
    }
    try:
        interventions.cancel_allocation(stage.engine, None, allocation_id, "ana")
    except Conflict:
        assert row.state in ("completed", "failed"), f"refused: {row}"
        stage.see(NOTHING)
        return
    state = "executing" if row.state == "executing" else "cancelled"
    stage.promises.cancelled |= items.keys()
    after = stage.see(Expected(items, {allocation_id: state}, deliveries))
    assert row.state != "executing" or after.allocations[allocation_id].cancel_requested


def retry(stage: Stage, allocation_id: str, *, unconfirmed: bool) -> None:
    """A person tries again what failed; `unconfirmed`: also what may have arrived."""
    before = stage.seen
    row = before.allocations[allocation_id]
    items = {item.id: ("waiting", 0) for item in before.items_of(allocation_id, "failed")}
    states = ("failed", "unconfirmed") if unconfirmed else ("failed",)
    deliveries = {
        one.id: "waiting"
        for state in states
        for one in before.deliveries_of(allocation_id, state)
        if one.task_id in before.tasks
    }
    try:
        interventions.retry_allocation(stage.engine, None, allocation_id, "ana", unconfirmed=unconfirmed)
    except Conflict:
        gone = row.run_id and (
            row.task_id not in before.tasks or before.runs[row.run_id].state == "cancelled"
        )
        assert row.state in UNSETTLED or gone or not (items or deliveries), f"refused: {row}"
        stage.see(NOTHING)
        return
    assert row.state not in UNSETTLED, f"tried again before its end: {row}"
    if unconfirmed:
        stage.promises.doubtful -= deliveries.keys()
    stage.see(Expected(items, {}, deliveries), retried=True)


def delete_task(stage: Stage, task: Task) -> None:
    """A person deletes a message task: its runs end, what waits is cancelled, what runs is asked to stop."""
    before = stage.seen
    if task.task_id not in before.tasks:
        return
    transact(stage.engine, lambda session: message_tasks.delete_task(session, task.task_id, actor="ana"))
    after = stage.see()
    _check_withdrawn(before, after, task.task_id)
    ended = {
        one
        for one, row in before.items.items()
        if row.state in OPEN and after.items[one].state == "cancelled"
    }
    stage.promises.cancelled |= ended


def _check_withdrawn(before: Sight, after: Sight, task_id: str) -> None:
    runs = {one for one, row in after.runs.items() if row.task_id == task_id}
    assert all(after.runs[one].state in ("completed", "cancelled") for one in runs)
    left = [row for row in after.items.values() if row.run_id in runs and row.state in OPEN]
    left += [row for row in after.deliveries.values() if row.task_id == task_id and row.state in OPEN]
    assert not left, f"its task was deleted: {left}"
    for one, row in before.allocations.items():
        now_is = after.allocations[one]
        if row.task_id == task_id and row.state == "executing":
            assert now_is.cancel_requested, f"not asked to stop: {now_is}"
        elif row.task_id == task_id and row.state in UNSETTLED:
            assert now_is.state == "cancelled", f"not cancelled: {now_is}"


def switch(stage: Stage, node_id: str, how: str) -> None:
    """A person switches a node, or it falls silent or beats again."""
    if node_id not in stage.seen.capacities:
        return
    if how == "silent":
        stage.world.silence(node_id, 200.0)
    elif how == "beat":
        values = {"presence_at": now()}
        transact(
            stage.engine,
            lambda session: session.execute(update(Node).where(Node.id == node_id).values(values)),
        )
    else:
        wanted = {
            "off": NodeSettings(is_active=False),
            "on": NodeSettings(is_active=True),
            "drain": NodeSettings(draining=True),
            "back": NodeSettings(draining=False),
        }[how]
        transact(stage.engine, lambda session: node_changes.update_node(session, node_id, wanted))
    stage.see(NOTHING)


def delete_node(stage: Stage, node_id: str, *, force: bool) -> None:
    """A person deletes a node: what it had goes back to the planner, and no death is counted."""
    before = stage.seen
    if node_id not in before.capacities:
        return
    try:
        transact(
            stage.engine, lambda session: node_changes.delete_node(session, node_id, force=force, actor="ana")
        )
    except Conflict:
        assert not force, "refused, although it was to be forced"
        stage.see(NOTHING)
        return
    after = stage.see()
    assert node_id not in after.capacities
    for one, row in before.items.items():
        if (row.state, row.node_id) == ("assigned", node_id):
            assert (after.items[one].state, after.items[one].deaths) == ("waiting", row.deaths)
