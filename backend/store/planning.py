"""What the pump reads and writes: waiting items, allocations made from them, and their undoing."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.planner import Candidate
from backend.store import transitions
from backend.store.deliveries import WaitingDelivery
from backend.store.tables import Allocation, Delivery, Lock, Run, WorkItem
from backend.store.transitions import Change

PUMP = "pump"
WAITING_INDEX = "FORCE INDEX (ix_work_items_state_not_before_feed_kind_id)"
CANDIDATE = (
    WorkItem.id,
    WorkItem.feed_id,
    WorkItem.run_id,
    WorkItem.batch_limit,
    WorkItem.feed_kind,
    WorkItem.host,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An allocation to enqueue after the commit, unless its node is remote: that one claims by HTTPS."""

    queue: str
    allocation_id: str
    attempt: int
    kind: str
    attached: bool = True


def take_pump_lock(session: Session) -> None:
    """The pump's row lock, as the first statement of its transaction; nobody takes it while holding another."""
    session.execute(select(Lock.name).where(Lock.name == PUMP).with_for_update())


def waiting_kinds(session: Session) -> list[str]:
    """The kinds of feeds of which an item waits for nothing but a node: a seek in the index for each kind."""
    found: list[str] = []
    while True:
        query = select(WorkItem.feed_kind).where(WorkItem.state == "waiting", WorkItem.not_before.is_(None))
        if found:
            query = query.where(WorkItem.feed_kind > found[-1])
        kind = session.scalar(query.order_by(WorkItem.feed_kind).limit(1))
        if kind is None:
            return found
        found.append(kind)


def waiting_items(
    session: Session, limits: Mapping[str, int], blocked: Collection[str] = ()
) -> list[Candidate]:
    """The oldest items that wait for nothing but a node: of each kind at most so many, oldest first.

    Kinds are read apart, so that many items that no node can collect never hide the others; neither do those of
    `blocked` hosts.
    """
    found: list[Candidate] = []
    for kind, limit in limits.items():
        query = (
            select(*CANDIDATE)
            .where(WorkItem.state == "waiting", WorkItem.not_before.is_(None), WorkItem.feed_kind == kind)
            .order_by(WorkItem.id)
            .limit(limit)
            # Left alone, MariaDB may walk the primary key in the order wanted, past everything that has ended.
            .with_hint(WorkItem, WAITING_INDEX, "mysql")
            .with_hint(WorkItem, WAITING_INDEX, "mariadb")
        )
        if blocked:
            query = query.where(WorkItem.host.not_in(sorted(blocked)))
        found += [Candidate(*row) for row in session.execute(query)]
    return sorted(found, key=lambda item: item.item_id)


def place_items(
    session: Session,
    batches: Sequence[tuple[str, str, Sequence[Candidate]]],
    queues: Mapping[str, str],
    attached: Container[str],
) -> list[Placed]:
    """Make an update allocation of each batch; items that stopped waiting meanwhile are left out.

    `queues` names each node's queue, `attached` holds the nodes whose queues are in the parent's Redis.
    """
    tasks = _tasks_of(session, {run_id for _, run_id, _ in batches})
    rows: list[dict[str, Any]] = []
    for node_id, run_id, items in batches:
        row = _allocation("update", queues[node_id], node_id, len(items))
        row |= {
            "run_id": run_id,
            "task_id": tasks.get(run_id),
            "feed_ids": [item.feed_id for item in items],
            "alone": any(item.suspect for item in items),
        }
        rows.append(row)
    transitions.create(session, Allocation, rows, PUMP, "waits for a worker of its node")
    for row, (node_id, _, items) in zip(rows, batches, strict=True):
        change = Change(("waiting",), "assigned", PUMP)
        ids = sorted(item.item_id for item in items)
        transitions.move(session, WorkItem, ids, change, node_id=node_id, allocation_id=row["id"])
    return [_placed(row, attached=row["node_id"] in attached) for row in rows]


def place_deliveries(
    session: Session, batches: Sequence[Sequence[WaitingDelivery]], node_id: str, queue: str
) -> list[Placed]:
    """Make a deliver allocation of each batch; one with a suspect gets a process for itself."""
    rows = [
        _allocation("deliver", queue, node_id, len(batch)) | {"alone": any(one.suspect for one in batch)}
        for batch in batches
    ]
    transitions.create(session, Allocation, rows, PUMP, "waits for a worker of the parent")
    for row, batch in zip(rows, batches, strict=True):
        change = Change(("waiting",), "assigned", PUMP)
        ids = sorted(delivery.delivery_id for delivery in batch)
        transitions.move(session, Delivery, ids, change, allocation_id=row["id"])
    return [_placed(row) for row in rows]


def _allocation(kind: str, queue: str, node_id: str, item_count: int) -> dict[str, Any]:
    return {"id": new_id(), "kind": kind, "queue": queue, "node_id": node_id, "item_count": item_count}


def _placed(row: Mapping[str, Any], *, attached: bool = True) -> Placed:
    return Placed(row["queue"], row["id"], 1, row["kind"], attached)


def _tasks_of(session: Session, run_ids: set[str]) -> dict[str, str]:
    query = select(Run.id, Run.task_id).where(Run.id.in_(run_ids))
    return {row.id: row.task_id for row in session.execute(query)}


@dataclass(frozen=True, slots=True)
class Made:
    """What was made for some runs: work items, and allocations of them."""

    items: int
    allocations: int


def made_for(session: Session, run_ids: Sequence[str]) -> Made:
    """How many work items and allocations the runs have."""
    counts = [
        session.scalar(select(func.count()).select_from(table).where(table.run_id.in_(run_ids))) or 0
        for table in (WorkItem, Allocation)
    ]
    return Made(*counts)
