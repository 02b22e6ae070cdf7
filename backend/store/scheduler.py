"""The scheduler's one row: whether schedules fire. Every beat reads it before each pass and within each tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.store.columns import now
from backend.store.tables import Scheduler


@dataclass(frozen=True, slots=True)
class SchedulerView:
    """Whether schedules fire, since when and by whom, and when all of them were planned anew."""

    running: bool
    changed_at: datetime
    changed_by: str
    reloaded_at: datetime | None


def scheduler_state(session: Session) -> SchedulerView:
    """The scheduler as every beat sees it."""
    row = session.scalars(select(Scheduler).where(Scheduler.id == 1)).one()
    return SchedulerView(row.running, row.changed_at, row.changed_by, row.reloaded_at)


def is_running(session: Session) -> bool:
    """Whether schedules fire."""
    return bool(session.scalar(select(Scheduler.running).where(Scheduler.id == 1)))


def set_running(session: Session, actor: str, *, running: bool) -> SchedulerView:
    """Start or stop the schedules of all message tasks; a repeat changes nothing."""
    session.execute(
        update(Scheduler)
        .where(Scheduler.running.is_not(running))
        .values(running=running, changed_at=now(), changed_by=actor[:100])
    )
    return scheduler_state(session)


def mark_reloaded(session: Session) -> SchedulerView:
    """Say that all schedules were planned anew."""
    session.execute(update(Scheduler).values(reloaded_at=now()))
    return scheduler_state(session)
