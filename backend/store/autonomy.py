"""What autonomous children collected while they did not reach us: merged into the tick's run, each thing once.

Whoever has the row of (task, time) first owns the tick: the scheduler or the child's report. The other one merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.autonomy import AHEAD, TickItem, TickReport
from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.orders import ItemOutcome, Outcome
from backend.domain.politeness import host_of_feed
from backend.domain.retry import RetryPolicy
from backend.domain.schedules import Due, Schedule, due_ticks
from backend.store import ticks, transitions
from backend.store.settlement import apply_items
from backend.store.tables import Allocation, Feed, MessageTask, MessageTaskFeed, Run, Tick, WorkItem, core
from backend.store.transitions import Change

AUTONOMOUS = "autonomous"
ITEMS, ALLOCATIONS = core(WorkItem), core(Allocation)


@dataclass(frozen=True, slots=True)
class Reporter:
    """The child that reports."""

    node_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Merged:
    """The run that the report belongs to ('' when it has none), and how many of its feeds are the task's."""

    run_id: str
    kept: int


def merge(session: Session, reporter: Reporter, report: TickReport, policy: RetryPolicy) -> Merged:
    """Take what a child brought for one tick. Repeating it changes nothing.

    Raises `NotFound` for a task that is gone, `Conflict` when it does not name the child, and `InvalidInput` for a tick ahead
    of us.
    """
    task = session.get(MessageTask, report.task_id, with_for_update=True)
    if task is None:
        raise NotFound(noun="message task", id=report.task_id)
    if task.autonomous_node_id != reporter.node_id:
        raise Conflict("not_the_autonomous_node", name=task.name)
    at = ticks.clock(session)
    if report.planned_at > at + AHEAD:
        raise InvalidInput("tick_ahead", planned_at=report.planned_at.isoformat())
    feeds = _feeds(session, task, {one.feed_id for one in report.items})
    items = [one for one in report.items if one.feed_id in feeds]
    run = _run_of(session, task, report.planned_at, at, reporter)
    ids = _prepare_items(session, task, run, feeds, report, items, reporter) if run else {}
    _apply(session, report, items, ids, policy)
    if run is not None:
        transitions.close_run_if_ended(session, run.id, run.actor)
    return Merged(run.id if run else "", len(items))


def _feeds(session: Session, task: MessageTask, feed_ids: set[str]) -> dict[str, tuple[str, str]]:
    """Those of the feeds that are the task's, with what is known of them."""
    query = select(Feed.id, Feed.kind, Feed.url).where(Feed.id.in_(sorted(feed_ids)))
    if not task.all_feeds:
        query = query.join(MessageTaskFeed, MessageTaskFeed.feed_id == Feed.id).where(
            MessageTaskFeed.task_id == task.id
        )
    return {row.id: (row.kind, row.url) for row in session.execute(query)}


def _run_of(
    session: Session, task: MessageTask, planned_at: datetime, at: datetime, reporter: Reporter
) -> Run | None:
    covering = (Tick.task_id == task.id, Tick.planned_at <= planned_at, Tick.last_planned_at >= planned_at)
    standing = session.execute(
        select(Tick.run_id).where(*covering).order_by(Tick.planned_at.desc()).limit(1)
    ).first()
    run_id = standing.run_id if standing else _own(session, task, planned_at, at, reporter)
    return session.get(Run, run_id, with_for_update=True) if run_id else None


def _own(session: Session, task: MessageTask, planned_at: datetime, at: datetime, reporter: Reporter) -> str:
    """Nobody has decided this tick yet: it becomes a run of the child, and the schedule goes on behind it."""
    reason = f"collected by {reporter.name} while it did not reach its parent"
    run = {
        "id": new_id(),
        "task_id": task.id,
        "task_name": task.name,
        "trigger": AUTONOMOUS,
        "actor": f"node {reporter.name}"[:100],
    }
    transitions.create(session, Run, [run], str(run["actor"]), reason)
    change = Change(("expanding",), "running", str(run["actor"]), reason)
    transitions.move(session, Run, [run["id"]], change)
    due = _span(task, planned_at)
    row = {
        "id": new_id(),
        "task_id": task.id,
        "planned_at": due.first,
        "last_planned_at": due.last,
        "count": due.count,
        "run_id": run["id"],
        "decided_at": at,
        "late_ms": max(0, (at - due.first) // timedelta(milliseconds=1)),
    }
    transitions.create(session, Tick, [row], str(run["actor"]), reason, start="fired")
    if task.next_fire_at is not None and task.next_fire_at <= due.last:
        task.next_fire_at = due.next_at
    session.flush()
    return run["id"]


def _span(task: MessageTask, planned_at: datetime) -> Due:
    """The tick, with the missed ones before it that nobody has decided: like a late scheduler, one run stands for all."""
    overdue = task.next_fire_at
    if overdue is None or overdue > planned_at:
        return Due(planned_at, planned_at, 1, None)
    due = due_ticks(Schedule(task.cron_exp, task.time_zone), overdue, planned_at)
    # The child may have run an older schedule: its tick is none of the new one.
    return Due(due.first, max(due.last, planned_at), due.count, due.next_at)


def _prepare_items(
    session: Session,
    task: MessageTask,
    run: Run,
    feeds: Mapping[str, tuple[str, str]],
    report: TickReport,
    items: Sequence[TickItem],
    reporter: Reporter,
) -> dict[str, str]:
    """By feed, the run's items that may take this report's results: those that nobody collects right now.

    A run of the child's own gets an item for each feed; one that the scheduler made has its items already.
    """
    if run.trigger == AUTONOMOUS:
        _add_items(session, task, run, feeds, [one.feed_id for one in items])
    rows = session.execute(
        select(ITEMS.c.id, ITEMS.c.feed_id, ITEMS.c.state, ITEMS.c.allocation_id)
        .where(
            ITEMS.c.run_id == run.id,
            ITEMS.c.feed_id.in_(sorted(feeds)),
            ITEMS.c.state.in_(("waiting", "assigned")),
        )
        .order_by(ITEMS.c.id)
        .with_for_update()
    ).all()
    busy = _executing(session, {row.allocation_id for row in rows if row.allocation_id})
    free = {row.feed_id: row for row in rows if row.allocation_id not in busy}
    waiting = [row.id for row in free.values() if row.state == "waiting" and run.trigger == AUTONOMOUS]
    took = Change(("waiting",), "assigned", f"node {reporter.name}", "collected while the parent was away")
    # As if it had been an allocation of one batch: failures then follow the rules of every other item.
    transitions.move(
        session, WorkItem, waiting, took, node_id=reporter.node_id, allocation_id=report.execution
    )
    ids = [row.id for row in free.values()]
    session.execute(
        update(WorkItem).where(WorkItem.id.in_(ids)).values(execution=report.execution),
        execution_options={"synchronize_session": False},
    )
    return {feed_id: row.id for feed_id, row in free.items()}


def _executing(session: Session, allocation_ids: set[str]) -> set[str]:
    query = select(ALLOCATIONS.c.id).where(
        ALLOCATIONS.c.id.in_(sorted(allocation_ids)), ALLOCATIONS.c.state == "executing"
    )
    return set(session.scalars(query)) if allocation_ids else set()


def _add_items(
    session: Session,
    task: MessageTask,
    run: Run,
    feeds: Mapping[str, tuple[str, str]],
    feed_ids: Sequence[str],
) -> None:
    known = set(session.scalars(select(WorkItem.feed_id).where(WorkItem.run_id == run.id)))
    rows = [
        {
            "id": new_id(),
            "run_id": run.id,
            "task_id": task.id,
            "feed_id": one,
            "feed_kind": feeds[one][0],
            "host": host_of_feed(*feeds[one]),
        }
        for one in dict.fromkeys(feed_ids)
        if one not in known
    ]
    if rows and run.state == "completed":
        # Its first batches had ended before this one arrived.
        again = Change(("completed",), "running", run.actor, "more of it arrived")
        transitions.move(session, Run, [run.id], again, ended_at=None)
    if run.state != "cancelled":
        transitions.create(session, WorkItem, rows, run.actor, "arrived from its node")


def _apply(
    session: Session,
    report: TickReport,
    items: Sequence[TickItem],
    ids: Mapping[str, str],
    policy: RetryPolicy,
) -> None:
    told = tuple(
        ItemOutcome(ids.get(one.feed_id, ""), one.feed_id, result=one.result, failure=one.failure)
        for one in items
        # A failure that no item waits for tells nothing that counts.
        if one.result is not None or one.feed_id in ids
    )
    outcome = Outcome(report.execution, 1, report.execution, "update", told)
    apply_items(session, outcome, policy)
    # There is no such allocation: whoever reads the items later must not look for one.
    session.execute(
        update(WorkItem)
        .where(WorkItem.id.in_(sorted(ids.values())), WorkItem.allocation_id == report.execution)
        .values(allocation_id=None),
        execution_options={"synchronize_session": False},
    )
