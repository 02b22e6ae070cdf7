"""Dispatch by hand: make runs, expand them, and pump once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.dispatch.pump import Limits, pump
from backend.domain.errors import Conflict, Unavailable
from backend.domain.identifiers import new_id
from backend.domain.nodes import availability, why_feeds_wait
from backend.store import nodes, planning, runs
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class DispatchedTask:
    """A message task that was dispatched: its run, and how many feeds that has."""

    id: str
    name: str
    mp_count: int
    run_id: str


@dataclass(frozen=True, slots=True)
class DispatchReport:
    """What a dispatch did. `reason` says why items still wait, when some do."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTask]
    allocations_created: int
    items_waiting: int
    reason: str


def dispatch_tasks(
    engine: Engine,
    redis: Redis | None,
    *,
    limits: Limits,
    task_id: str | None,
    actor: str,
    trigger: str = "manual",
) -> DispatchReport:
    """Dispatch one message task, or every enabled one. Raises `NotFound`, and `Conflict` when there is none.

    With Redis away everything is committed and starts when Redis is back.
    """
    ids = [task_id] if task_id else read(engine, runs.enabled_tasks)
    if not ids:
        raise Conflict("no_enabled_task")
    tasks = [_dispatch_one(engine, one, trigger, actor) for one in ids]
    try:
        made = pump(engine, redis, limits)
        online, waiting, reason = read(engine, _situation)
    except Unavailable as error:
        # The runs are committed: an error would make a person dispatch everything a second time.
        items = sum(task.mp_count for task in tasks)
        return DispatchReport(0, len(tasks), tasks, 0, items, f"a beat places them soon: {error}")
    return DispatchReport(online, len(tasks), tasks, made, waiting, reason)


def _dispatch_one(engine: Engine, task_id: str, trigger: str, actor: str) -> DispatchedTask:
    run_id = new_id()
    started = transact(
        engine,
        lambda session: runs.start_run(session, task_id, trigger=trigger, actor=actor, run_id=run_id),
    )
    expand(engine, started.run_id)
    return DispatchedTask(started.task_id, started.task_name, started.feed_count, started.run_id)


def expand(engine: Engine, run_id: str) -> None:
    """Make all work items of a run, a chunk a transaction; a crash in between is continued by the beat."""
    while not transact(engine, lambda session: runs.expand_chunk(session, run_id)):
        pass


def _situation(session: Session) -> tuple[int, int, str]:
    known = [one for one in nodes.facts(session) if "update" in one.kinds]
    online = sum(1 for one in known if availability(one).online)
    whys = (why_feeds_wait(kind, known) for kind in planning.waiting_kinds(session))
    reasons = dict.fromkeys(why.sentence() for why in whys if why)
    return online, planning.count_waiting(session), "; ".join(reasons)
