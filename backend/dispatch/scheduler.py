"""The beat's scheduler: fires what is due from the database, and starts queued runs. Any number of beats may run it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cronsim import CronSimError

from backend.dispatch.dispatching import expand
from backend.domain.errors import Unavailable
from backend.store import scheduler, starting, ticks
from backend.store.session import read, transact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.store.scheduler import SchedulerView
    from backend.store.ticks import Clock, DueTask

log = logging.getLogger(__name__)

PASS_SECONDS = 1.0
# What an expression or a zone that this machine does not know any more raises.
UNREADABLE = (CronSimError, ValueError, KeyError)


def fire_due(engine: Engine, clock: Clock = ticks.clock) -> int:
    """Decide the ticks that have come, one task a transaction; how many runs started.

    A pass ends after about a second, so that the rest of the beat has its turn: the next pass goes on.
    """
    at, due = read(engine, lambda session: _look(session, clock))
    started, until = 0, time.monotonic() + PASS_SECONDS
    for task in due:
        started += _try_to_fire(engine, task, at)
        if time.monotonic() >= until:
            break
    return started


def _look(session: Session, clock: Clock) -> tuple[datetime, list[DueTask]]:
    at = clock(session)
    return at, ticks.due(session, at)


def _try_to_fire(engine: Engine, task: DueTask, at: datetime) -> bool:
    try:
        return _fire(engine, task, at)
    except Unavailable:
        raise
    except Exception:
        # A job edge: one task whose row nobody can digest must not keep the others from firing.
        log.exception("the schedule of message task %s could not be decided", task.task_id)
        return False


def _fire(engine: Engine, task: DueTask, at: datetime) -> bool:
    try:
        plan = ticks.plan(task, at)
    except UNREADABLE as error:
        why = str(error)
        log.error("the schedule of message task %s can't be read: %s", task.task_id, why)  # noqa: TRY400
        transact(engine, lambda session: ticks.give_up(session, task, at, why))
        return False
    run_id = transact(engine, lambda session: ticks.decide(session, plan))
    if not run_id:
        return False
    # A crash before this leaves a run that is expanding: the repairs go on with it.
    expand(engine, run_id)
    return True


def start_queued(engine: Engine) -> int:
    """Start queued runs whose way is free; how many."""
    return start_runs(engine, read(engine, starting.ready_runs))


def start_runs(engine: Engine, ready: Iterable[tuple[str, str]]) -> int:
    """Start these queued runs (run and task) if their way is still free; how many."""
    started = 0
    for run_id, task_id in ready:
        if _start(engine, run_id, task_id):
            expand(engine, run_id)
            started += 1
    return started


def _start(engine: Engine, run_id: str, task_id: str) -> bool:
    return transact(engine, lambda session: starting.start_queued(session, run_id, task_id))


def plan_missing(engine: Engine, clock: Clock = ticks.clock) -> int:
    """Plan the schedules that have no next time yet; how many."""
    return _replan(engine, ticks.planless, clock)


def reload_schedules(engine: Engine, clock: Clock = ticks.clock) -> tuple[int, SchedulerView]:
    """Plan every schedule anew from its task, for example after the time zones of this machine were updated."""
    planned = _replan(engine, ticks.scheduled, clock)
    return planned, transact(engine, scheduler.mark_reloaded)


def _replan(engine: Engine, page: Callable[[Session, str], list[str]], clock: Clock) -> int:
    planned, after = 0, ""
    while ids := read(engine, lambda session, after=after: page(session, after)):  # type: ignore[misc]
        planned += sum(_replan_one(engine, one, clock) for one in ids)
        after = ids[-1]
    return planned


def _replan_one(engine: Engine, task_id: str, clock: Clock) -> bool:
    try:
        return transact(engine, lambda session: ticks.replan(session, task_id, clock(session)))
    except UNREADABLE as error:
        log.warning("the schedule of message task %s can't be read: %s", task_id, error)
        return False
