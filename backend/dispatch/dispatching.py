"""Dispatch by hand: make runs, expand them, and pump once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.dispatch.pump import Limits, pump
from backend.domain.errors import Conflict, Unavailable
from backend.domain.identifiers import new_id
from backend.domain.nodes import availability, why_feeds_wait
from backend.domain.overlap import Verdict
from backend.store import nodes, planning, runs
from backend.store.session import read, transact
from backend.store.starting import request_run

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class DispatchedTask:
    """A message task that was dispatched: its run, how many feeds that has, and the run whose end it waits for."""

    id: str
    name: str
    mp_count: int
    run_id: str
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class SkippedTask:
    """A message task that was left out because its last run has not ended, and its policy is `skip`."""

    id: str
    name: str
    open_run_id: str


@dataclass(frozen=True, slots=True)
class DispatchReport:
    """What a dispatch did. `reason` says why items still wait, when some do."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTask]
    allocations_created: int
    items_waiting: int
    reason: str
    skipped: list[SkippedTask] = field(default_factory=list)


def dispatch_tasks(
    engine: Engine,
    redis: Redis | None,
    *,
    limits: Limits,
    task_id: str | None,
    actor: str,
    trigger: str = "manual",
) -> DispatchReport:
    """Dispatch one message task, or every enabled one, as far as their overlap policies let them.

    With Redis away everything is committed and starts when Redis is back. Raises `NotFound`, and `Conflict` when
    there is no task, or when the one task is skipped.
    """
    ids = [task_id] if task_id else read(engine, runs.enabled_tasks)
    if not ids:
        raise Conflict("no_enabled_task")
    outcomes = [_dispatch_one(engine, one, trigger, actor) for one in ids]
    tasks = [one for one in outcomes if isinstance(one, DispatchedTask)]
    skipped = [one for one in outcomes if isinstance(one, SkippedTask)]
    if task_id and skipped:
        raise Conflict("run_not_ended", name=skipped[0].name, run_id=skipped[0].open_run_id)
    try:
        made = pump(engine, redis, limits)
        online, waiting, reason = read(engine, _situation)
    except Unavailable as error:
        # The runs are committed: an error would make a person dispatch everything a second time.
        items = sum(task.mp_count for task in tasks)
        return DispatchReport(0, len(tasks), tasks, 0, items, f"a beat places them soon: {error}", skipped)
    return DispatchReport(online, len(tasks), tasks, made, waiting, reason, skipped)


def _dispatch_one(engine: Engine, task_id: str, trigger: str, actor: str) -> DispatchedTask | SkippedTask:
    run_id = new_id()
    asked = transact(
        engine,
        lambda session: request_run(session, task_id, trigger=trigger, actor=actor, run_id=run_id),
    )
    run = asked.run
    if asked.verdict is Verdict.SKIP:
        return SkippedTask(run.task_id, run.task_name, asked.behind)
    if asked.verdict is Verdict.START:
        expand(engine, run.run_id)
    return DispatchedTask(run.task_id, run.task_name, run.feed_count, run.run_id, asked.behind)


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
