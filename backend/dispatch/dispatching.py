"""Dispatch by hand: make runs, expand them, and pump once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backend.dispatch.pump import Limits, pump
from backend.domain.errors import Conflict, Unavailable
from backend.domain.identifiers import new_id
from backend.domain.nodes import availability
from backend.domain.overlap import Verdict
from backend.domain.why import Why
from backend.store import planning, runs
from backend.store.scene import scene
from backend.store.session import read, transact
from backend.store.starting import request_run
from backend.store.waiting import WaitingGroup, waiting_items

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


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
    """What a dispatch did: items and allocations are those of its own runs. `later` says why it could not be looked at."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTask]
    items: int
    allocations_created: int
    items_waiting: int
    waiting: list[WaitingGroup]
    skipped: list[SkippedTask] = field(default_factory=list)
    later: Why | None = None

    @property
    def reason(self) -> str:
        """Why items wait, in English."""
        return self.reason_in("en")

    def reason_in(self, language: str) -> str:
        """Why items wait, what holds most of them first; empty when none does."""
        whys = [self.later] if self.later else [group.why for group in self.waiting]
        queued = [Why("why_run_queued")] if any(task.waits_for for task in self.tasks) else []
        return " ".join(why.sentence(language) for why in [*queued, *whys])


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
        pump(engine, redis, limits)
        return read(engine, lambda session: _report(session, tasks, skipped))
    except Unavailable as error:
        # The runs are committed: an error would make a person dispatch everything a second time.
        items = sum(task.mp_count for task in tasks)
        later = Why("why_dispatch_later", {"error": str(error)})
        return DispatchReport(0, len(tasks), tasks, items, 0, items, [], skipped, later)


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
        try:
            expand(engine, run.run_id)
        except Unavailable as error:
            # The run is committed: an error would make a person dispatch it a second time. A beat goes on with it.
            log.warning("run %s is expanded later: %s", run.run_id, error)
    return DispatchedTask(run.task_id, run.task_name, run.feed_count, run.run_id, asked.behind)


def expand(engine: Engine, run_id: str) -> None:
    """Make all work items of a run, a chunk a transaction; a crash in between is continued by the beat."""
    while not transact(engine, lambda session: runs.expand_chunk(session, run_id)):
        pass


def _report(
    session: Session, tasks: Sequence[DispatchedTask], skipped: Sequence[SkippedTask]
) -> DispatchReport:
    run_ids = [task.run_id for task in tasks]
    # The pump ran just now: what it left waits for something else than a beat.
    at = replace(scene(session), beats=1)
    waiting = waiting_items(session, at, run_ids)
    made = planning.made_for(session, run_ids)
    return DispatchReport(
        online_nodes=sum(1 for node in at.nodes if "update" in node.kinds and availability(node).online),
        task_count=len(tasks),
        tasks=list(tasks),
        items=made.items,
        allocations_created=made.allocations,
        items_waiting=sum(group.count for group in waiting),
        waiting=waiting,
        skipped=list(skipped),
    )
