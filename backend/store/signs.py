"""What alarms are decided from: who watches, running work, nodes, runs, pools, disks, beats. Bounded, indexed reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, Engine, case, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from backend.domain.identifiers import first_id_of
from backend.domain.nodes import PRESENCE_SECONDS
from backend.domain.signs import DiskSign, NodeSign, PoolSign, RunningWork, RunSign, percentile
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Allocation, Beat, Node, Pulse, Run, Vitals, Watch, WorkItem, core

WATCH = core(Watch)
# After a longer gap in which nobody watched, everything gets its time anew: the system itself was away. Well below the
# minute after which silent beats and unserved queues are alarms: they could not report either.
GAP_SECONDS = 20.0
VITALS_SECONDS = 45.0
FORGET_SECONDS = 3600.0
RUNNING = 500
SAMPLES = 500
RUNS = 2000
COUNTED_RUNS = 200
RUN_SECONDS = 86_400.0


def take_turn(session: Session, every_seconds: float) -> float | None:
    """Whether the caller may look now, and nobody else did in so many seconds: since when somebody watches, in seconds."""
    due = or_(WATCH.c.turn_at <= now(-every_seconds), WATCH.c.turn_at > now(GAP_SECONDS))
    gap = or_(
        WATCH.c.turn_at < now(-GAP_SECONDS - every_seconds),
        WATCH.c.since > now(),
        WATCH.c.turn_at > now(GAP_SECONDS),
    )
    # In this order: MySQL's later assignments see the earlier ones.
    taken = session.execute(
        update(WATCH)
        .where(WATCH.c.id == 1, due)
        .ordered_values(("since", case((gap, now()), else_=WATCH.c.since)), ("turn_at", now()))
    )
    if cast("CursorResult[Any]", taken).rowcount:
        return watched_seconds(session)
    if session.scalar(select(WATCH.c.id)) is None:
        insert_missing(session, Watch, [{"id": 1}])
    return None


def watched_seconds(session: Session) -> float:
    """Since when somebody watches without a gap, in seconds."""
    row = session.execute(select(Watch.since, now())).one_or_none()
    return 0.0 if row is None else max(0.0, (row[1] - row[0]).total_seconds())


def running_work(session: Session, older_seconds: float, watched_seconds: float) -> list[RunningWork]:
    """Work that has run for so long, the oldest first. Nothing lasts longer than somebody has watched."""
    began = func.coalesce(Allocation.started_at, Allocation.claimed_at, Allocation.updated_at)
    query = (
        select(Allocation.id, Allocation.kind, Allocation.queue, began, now())
        .where(Allocation.state.in_(("claimed", "executing")), began < now(-older_seconds))
        .order_by(began)
        .limit(RUNNING)
    )
    return [
        RunningWork(one, kind, queue, min(watched_seconds, (current - since).total_seconds()))
        for one, kind, queue, since, current in session.execute(query)
    ]


def usual_seconds(
    session: Session, kinds: Sequence[str] = ("update", "deliver", "publish", "account")
) -> dict[str, float]:
    """By kind, how long nearly all (99 %) of the newest settled allocations ran; kinds with few of them are left out."""
    found = {kind: percentile(_durations(session, kind)) for kind in kinds}
    return {kind: seconds for kind, seconds in found.items() if seconds is not None}


def _durations(session: Session, kind: str) -> list[float]:
    query = (
        select(Allocation.started_at, Allocation.ended_at, Allocation.state)
        .where(Allocation.kind == kind)
        .order_by(Allocation.id.desc())
        .limit(SAMPLES)
    )
    return [
        (ended - started).total_seconds()
        for started, ended, state in session.execute(query)
        if started and ended and state == "completed"
    ]


def node_signs(session: Session, watched_seconds: float) -> list[NodeSign]:
    """What active nodes' beats say. Nothing lasts longer than somebody has watched."""
    rows = session.execute(select(Node, now()).where(Node.is_active).order_by(Node.id)).all()
    return [
        NodeSign(
            name=row.name,
            slug=row.slug,
            silent_seconds=(
                min(watched_seconds, (current - row.presence_at).total_seconds()) if row.presence_at else None
            ),
            outbox_entries=row.outbox_entries,
            outbox_oldest_seconds=(
                min(watched_seconds, (current - row.outbox_oldest_at).total_seconds())
                if row.outbox_oldest_at
                else None
            ),
            outbox_dead=row.outbox_dead,
        )
        for row, current in rows
    ]


def run_signs(session: Session, least_ended: int) -> list[RunSign]:
    """By message task, the newest run of the last day of which enough items ended."""
    runs = _newest_runs(session)
    ended = _ended_items(session, [row.id for row in runs])
    newest: dict[str, RunSign] = {}
    for row in runs:
        counts = ended.get(row.id, {})
        total = sum(counts.values())
        if total >= max(1, least_ended) and row.task_id not in newest:
            newest[row.task_id] = RunSign(row.task_id, row.task_name, row.id, counts.get("failed", 0), total)
    return list(newest.values())


def _newest_runs(session: Session) -> list[Any]:
    """Two of each task: of the newest one, too few items may have ended."""
    # By their ids, which tell when they were made: else all older runs would be read when there are few new ones.
    first = first_id_of(session.execute(select(now(-RUN_SECONDS))).scalar_one())
    recent = (
        select(Run.id, Run.task_id, Run.task_name)
        .where(Run.id >= first, Run.created_at > now(-RUN_SECONDS))
        .order_by(Run.id.desc())
        .limit(RUNS)
    )
    seen: Counter[str] = Counter()
    newest = []
    for row in session.execute(recent):
        seen[row.task_id] += 1
        if seen[row.task_id] <= 2:
            newest.append(row)
    return newest[:COUNTED_RUNS]


def _ended_items(session: Session, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    query = (
        select(WorkItem.run_id, WorkItem.state, func.count())
        .where(WorkItem.run_id.in_(run_ids), WorkItem.state.in_(("done", "failed")))
        .group_by(WorkItem.run_id, WorkItem.state)
    )
    found: dict[str, dict[str, int]] = {}
    for run_id, state, count in session.execute(query):
        found.setdefault(run_id, {})[state] = count
    return found


def pool_usage(engine: Engine) -> tuple[int, int]:
    """How many of a pool's connections are in use, and how many there may be; (0, 0) without a pool."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return 0, 0
    return pool.checkedout(), pool.size() + max(0, pool._max_overflow)  # noqa: SLF001  # it has no public name


def note_disk(session: Session, node_id: str, disk: DiskSign) -> None:
    """What room a node's machine has for its data directory."""
    values = {"machine": disk.machine[:100], "disk_free": disk.free, "disk_total": disk.total}
    session.execute(update(core(Node)).where(core(Node).c.id == node_id).values(**values))


@dataclass(frozen=True, slots=True)
class Report:
    """What a process says of itself. `pool_size` is 0 without a pool."""

    id: str
    process: str
    machine: str
    pool_used: int
    pool_size: int
    disk_free: int
    disk_total: int


def report(session: Session, sign: Report) -> None:
    """Write what a process says of itself, and that it lives; forget processes that ended long ago."""
    values = {
        "process": sign.process[:100],
        "machine": sign.machine[:100],
        "pool_used": sign.pool_used,
        "pool_size": sign.pool_size,
        "disk_free": sign.disk_free,
        "disk_total": sign.disk_total,
    }
    insert_missing(session, Vitals, [{"id": sign.id} | values])
    session.execute(update(core(Vitals)).where(core(Vitals).c.id == sign.id).values(seen_at=now(), **values))


def forget_processes(session: Session) -> None:
    """Forget what processes said that have been silent for an hour."""
    session.execute(delete(core(Vitals)).where(core(Vitals).c.seen_at < now(-FORGET_SECONDS)))


def process_signs(session: Session) -> tuple[list[PoolSign], list[DiskSign]]:
    """The pools of living processes, and the disks of their machines and of present nodes' machines."""
    rows = session.scalars(select(Vitals).where(Vitals.seen_at > now(-VITALS_SECONDS))).all()
    disks = [DiskSign(row.machine, row.disk_free, row.disk_total) for row in rows]
    told = select(Node.machine, Node.disk_free, Node.disk_total).where(
        Node.is_active, Node.disk_total.is_not(None), Node.presence_at > now(-PRESENCE_SECONDS)
    )
    disks += [DiskSign(name, free or 0, total or 0) for name, free, total in session.execute(told)]
    return [PoolSign(row.process, row.pool_used, row.pool_size) for row in rows], disks


def silences(session: Session, watched_seconds: float) -> tuple[float, float]:
    """For how long no beat was seen, and nobody has swept; no longer than somebody has watched."""
    newest = select(func.max(Beat.alive_at)).scalar_subquery()
    swept = select(func.max(Pulse.swept_at)).scalar_subquery()
    beat, sweep, current = session.execute(select(newest, swept, now())).one()
    ages = [watched_seconds if one is None else (current - one).total_seconds() for one in (beat, sweep)]
    return min(watched_seconds, ages[0]), min(watched_seconds, ages[1])
