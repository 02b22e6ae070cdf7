"""Ticks: what each planned time of a message task's schedule came to. The task's row lock keeps them unique."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import NotFound
from backend.domain.identifiers import new_id
from backend.domain.overlap import Verdict
from backend.domain.schedules import MOST_COUNTED, Due, Schedule, due_ticks
from backend.store import transitions
from backend.store.columns import now
from backend.store.recovery import renewals_arrive
from backend.store.runs import SCHEDULE
from backend.store.scheduler import is_running
from backend.store.starting import RequestedRun, request_run
from backend.store.tables import MessageTask, Tick

SCHEDULER = "scheduler"
BATCH = 100
FAR_AHEAD = timedelta(days=1)

Clock = Callable[[Session], datetime]


def clock(session: Session) -> datetime:
    """The database's clock."""
    return session.scalars(select(now())).one()


@dataclass(frozen=True, slots=True)
class DueTask:
    """A message task whose tick has come."""

    task_id: str
    schedule: Schedule
    planned_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What one task's due ticks shall come to; the ids are drawn before the transaction."""

    task: DueTask
    due: Due
    decided_at: datetime
    tick_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class TickView:
    """One tick as people see it; `count` above 1: that many missed ones in a row, fired or skipped as one."""

    id: str
    planned_at: datetime
    last_planned_at: datetime
    count: int
    state: str
    reason: str
    run_id: str | None
    decided_at: datetime
    late_seconds: float


def due(session: Session, at: datetime) -> list[DueTask]:
    """Tasks whose tick has come, the longest overdue first; none while the scheduler is stopped."""
    query = (
        select(MessageTask.id, MessageTask.cron_exp, MessageTask.time_zone, MessageTask.next_fire_at)
        # After a gap, a child that ran its task by itself tells of it first: else the tick would be collected twice.
        .where(
            MessageTask.next_fire_at <= at,
            or_(MessageTask.autonomous_node_id.is_(None), renewals_arrive()),
        )
        .order_by(MessageTask.next_fire_at)
        .limit(BATCH)
    )
    rows = session.execute(query).all() if is_running(session) else ()
    return [
        DueTask(row.id, Schedule(row.cron_exp, row.time_zone), row.next_fire_at)
        for row in rows
        if row.next_fire_at is not None
    ]


def plan(task: DueTask, at: datetime) -> Plan:
    """What has come due of the task. Raises what an expression or a time zone that can't be read raises."""
    return Plan(task, due_ticks(task.schedule, task.planned_at, at), at, new_id(), new_id())


def decide(session: Session, plan: Plan) -> str:
    """Write the tick, its run and the next planned time as one; the id of the run to expand, or ''.

    Nothing happens when another beat was first, the task changed, or the scheduler was stopped meanwhile.
    """
    task = session.get(MessageTask, plan.task.task_id, with_for_update=True)
    standing = session.get(Tick, plan.tick_id)
    if standing is not None:
        # The commit's answer was lost: this is its repetition.
        return standing.run_id or "" if standing.state == "fired" else ""
    if task is None or not _still_due(task, plan.task) or not is_running(session):
        return ""
    if task.paused:
        _write(session, plan, "skipped", "the task is paused", None)
        made = ""
    else:
        asked = request_run(session, task.id, trigger=SCHEDULE, actor=SCHEDULER, run_id=plan.run_id)
        made = _write_requested(session, plan, asked)
    task.next_fire_at = plan.due.next_at
    return made


def _still_due(task: MessageTask, seen: DueTask) -> bool:
    return (Schedule(task.cron_exp, task.time_zone), task.next_fire_at) == (seen.schedule, seen.planned_at)


def _write_requested(session: Session, plan: Plan, asked: RequestedRun) -> str:
    match asked.verdict:
        case Verdict.START:
            _write(session, plan, "fired", _missed(plan.due.count), asked.run.run_id)
            return asked.run.run_id
        case Verdict.WAIT:
            _write(session, plan, "fired", f"its run waits for run {asked.behind} to end", asked.run.run_id)
        case Verdict.JOIN:
            reason = f"run {asked.run.run_id} waits already and stands for this one too"
            _write(session, plan, "skipped", reason, asked.run.run_id)
        case Verdict.SKIP:
            _write(session, plan, "skipped", f"run {asked.behind} has not ended", asked.behind)
    return ""


def _missed(count: int) -> str:
    if count == 1:
        return ""
    many = f"{count} or more" if count == MOST_COUNTED else f"{count}"
    return f"{many} ticks were missed; fired once for all"


def _write(session: Session, plan: Plan, state: str, reason: str, run_id: str | None) -> None:
    row = {
        "id": plan.tick_id,
        "task_id": plan.task.task_id,
        "planned_at": plan.due.first,
        "last_planned_at": plan.due.last,
        "count": plan.due.count,
        "run_id": run_id,
        "decided_at": plan.decided_at,
        "late_ms": (plan.decided_at - plan.due.first) // timedelta(milliseconds=1),
    }
    transitions.create(session, Tick, [row], SCHEDULER, reason, start=state)


def give_up(session: Session, task: DueTask, at: datetime, why: str) -> None:
    """Skip the tick of a task whose schedule can't be read; it fires again once somebody mends it."""
    row = session.get(MessageTask, task.task_id, with_for_update=True)
    if row is None or not _still_due(row, task):
        return
    only = Due(task.planned_at, task.planned_at, 1, None)
    reason = f"the schedule can't be read ({why}); correct cron_exp or time_zone"
    _write(session, Plan(task, only, at, new_id(), ""), "skipped", reason, None)
    row.next_fire_at = None


def skip_overdue(session: Session, task: MessageTask, at: datetime, reason: str) -> None:
    """Record ticks that have come, but that nobody may fire any more."""
    if task.next_fire_at is None or task.next_fire_at > at:
        return
    overdue = DueTask(task.id, Schedule(task.cron_exp, task.time_zone), task.next_fire_at)
    _write(session, plan(overdue, at), "skipped", reason, None)


def next_fire_at(session: Session, task_id: str, schedule: Schedule, at: datetime) -> datetime | None:
    """The task's next planned time: nothing past, and nothing that a tick stands for already."""
    _forget_far_ahead(session, task_id, at)
    newest = session.scalar(
        select(Tick.last_planned_at).where(Tick.task_id == task_id).order_by(Tick.planned_at.desc()).limit(1)
    )
    # The database's clock may have been set back.
    return schedule.next_after(at if newest is None else max(at, newest))


def _forget_far_ahead(session: Session, task_id: str, at: datetime) -> None:
    """Ticks from a time when the database's clock was far ahead would silence the schedule until it gets there."""
    of_task, limit = Tick.task_id == task_id, at + FAR_AHEAD
    session.execute(delete(Tick).where(of_task, Tick.planned_at > limit))
    session.execute(
        update(Tick)
        .where(of_task, Tick.last_planned_at > limit)
        .values(last_planned_at=Tick.planned_at, count=1)
    )


def set_paused(session: Session, task_id: str, at: datetime, *, paused: bool) -> None:
    """Pause or resume the task's schedule; a repeat changes nothing. Raises `NotFound`.

    Resuming makes nothing up: the next tick is the first one after now.
    """
    task = session.get(MessageTask, task_id, with_for_update=True)
    if task is None:
        raise NotFound(noun="message task", id=task_id)
    if task.paused and not paused and task.next_fire_at is not None:
        skip_overdue(session, task, at, "the task was paused")
        session.flush()
        schedule = Schedule(task.cron_exp, task.time_zone)
        task.next_fire_at = next_fire_at(session, task_id, schedule, at)
    task.paused = paused


def list_ticks(
    session: Session, task_id: str, *, limit: int = 50, offset: int = 0
) -> tuple[list[TickView], int]:
    """The task's newest ticks, and how many there are. Raises `NotFound`."""
    if session.get(MessageTask, task_id) is None:
        raise NotFound(noun="message task", id=task_id)
    newest = select(Tick).where(Tick.task_id == task_id).order_by(Tick.planned_at.desc())
    rows = session.scalars(newest.limit(limit).offset(offset)).all()
    total = session.scalar(select(func.count()).select_from(Tick).where(Tick.task_id == task_id)) or 0
    return [_view(row) for row in rows], total


def _view(row: Tick) -> TickView:
    return TickView(
        id=row.id,
        planned_at=row.planned_at,
        last_planned_at=row.last_planned_at,
        count=row.count,
        state=row.state,
        reason=row.reason,
        run_id=row.run_id,
        decided_at=row.decided_at,
        late_seconds=row.late_ms / 1000,
    )


def planless(session: Session, after: str, limit: int = 500) -> list[str]:
    """Enabled tasks with a schedule but no planned time, by id: written before schedules existed."""
    query = select(MessageTask.id).where(
        MessageTask.next_fire_at.is_(None), MessageTask.enabled, MessageTask.cron_exp != ""
    )
    return list(session.scalars(query.where(MessageTask.id > after).order_by(MessageTask.id).limit(limit)))


def scheduled(session: Session, after: str, limit: int = 500) -> list[str]:
    """Enabled tasks with a schedule, by id."""
    query = select(MessageTask.id).where(MessageTask.enabled, MessageTask.cron_exp != "")
    return list(session.scalars(query.where(MessageTask.id > after).order_by(MessageTask.id).limit(limit)))


def replan(session: Session, task_id: str, at: datetime) -> bool:
    """Compute the task's next planned time anew; a tick that has come already stays due."""
    task = session.get(MessageTask, task_id, with_for_update=True)
    if task is None or not task.enabled or not task.cron_exp:
        return False
    if task.next_fire_at is not None and task.next_fire_at <= at:
        return False
    task.next_fire_at = next_fire_at(session, task_id, Schedule(task.cron_exp, task.time_zone), at)
    return task.next_fire_at is not None
