"""Runs that are asked for, by a schedule or by hand: the task's overlap policy decides, under the task's row lock."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, aliased

from backend.domain.errors import NotFound
from backend.domain.overlap import Overlap, Verdict, decide
from backend.store import transitions
from backend.store.runs import SCHEDULE, StartedRun, count_feeds, start_run
from backend.store.tables import MessageTask, Run
from backend.store.transitions import Change
from backend.store.withdrawing import OPEN_RUN

BATCH = 200


@dataclass(frozen=True, slots=True)
class RequestedRun:
    """What became of a request: the run that stands for it, and the run that is in its way, if one is.

    With `SKIP` there is no run of its own, and `run.run_id` is empty.
    """

    verdict: Verdict
    run: StartedRun
    behind: str = ""


def request_run(session: Session, task_id: str, *, trigger: str, actor: str, run_id: str) -> RequestedRun:
    """Make a run of the task as far as its overlap policy lets it. Raises `NotFound`.

    `run_id` is drawn before the transaction, so that a repeated commit makes one run.
    """
    task = session.get(MessageTask, task_id, with_for_update=True)
    if task is None:
        raise NotFound(noun="message task", id=task_id)
    standing = session.get(Run, run_id)
    if standing is not None:
        verdict = Verdict.WAIT if standing.state == "queued" else Verdict.START
        return RequestedRun(verdict, start_run(session, task_id, trigger=trigger, actor=actor, run_id=run_id))
    open_runs = _open_runs(session, task_id)
    verdict = decide(Overlap(task.overlap), set(open_runs.values()))
    ahead = next(iter(open_runs), "")
    if verdict in {Verdict.JOIN, Verdict.SKIP}:
        waiting = next((one for one, state in open_runs.items() if state == "queued"), "")
        ahead = next((one for one, state in open_runs.items() if state != "queued"), waiting)
        if verdict is Verdict.JOIN and trigger != SCHEDULE:
            _take_over(session, waiting, trigger, actor)
        stands = StartedRun(waiting, task_id, task.name, count_feeds(session, task))
        return RequestedRun(verdict, stands, ahead)
    queued = verdict is Verdict.WAIT
    run = start_run(
        session, task_id, trigger=trigger, actor=actor, run_id=run_id, behind=ahead if queued else ""
    )
    return RequestedRun(verdict, run, ahead if queued else "")


def _take_over(session: Session, run_id: str, trigger: str, actor: str) -> None:
    """A run that waits for its schedule is now what a person asked for: it also collects feeds that back off."""
    session.execute(
        update(Run)
        .where(Run.id == run_id, Run.state == "queued", Run.trigger == SCHEDULE)
        .values(trigger=trigger, actor=actor[:100]),
        execution_options={"synchronize_session": False},
    )


def _open_runs(session: Session, task_id: str) -> dict[str, str]:
    """By id, oldest first, the states of the task's runs that have not ended."""
    query = select(Run.id, Run.state).where(Run.task_id == task_id, Run.state.in_(OPEN_RUN))
    return {row.id: row.state for row in session.execute(query.order_by(Run.id).limit(BATCH))}


def ready_runs(session: Session) -> list[tuple[str, str]]:
    """Queued runs whose way is free, with their tasks."""
    other = aliased(Run)
    in_the_way = exists().where(other.task_id == Run.task_id, other.state.in_(("expanding", "running")))
    query = select(Run.id, Run.task_id).where(Run.state == "queued", ~in_the_way)
    return [(row.id, row.task_id) for row in session.execute(query.order_by(Run.id).limit(BATCH))]


def start_queued(session: Session, run_id: str, task_id: str) -> bool:
    """Start the queued run, unless another run of its task is in the way by now."""
    session.execute(select(MessageTask.id).where(MessageTask.id == task_id).with_for_update())
    states = _open_runs(session, task_id)
    if any(state != "queued" for state in states.values()):
        return False
    change = Change(("queued",), "expanding", "scheduler", "the run before it has ended")
    return bool(transitions.move(session, Run, [run_id], change))
