"""Allocations: taking one (phase 1), and renewing leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.domain.orders import FeedOrder
from backend.domain.ports import Lease, Standing
from backend.store import transitions
from backend.store.columns import now
from backend.store.feed_health import WORKER_DIED
from backend.store.tables import Allocation, Feed, Node, WorkItem, core
from backend.store.transitions import Change

ALLOCATIONS, FEEDS, ITEMS = core(Allocation), core(Feed), core(WorkItem)
BEGUN_COLUMNS = (
    ALLOCATIONS.c.id,
    ALLOCATIONS.c.attempt,
    ALLOCATIONS.c.kind,
    ALLOCATIONS.c.queue,
    ALLOCATIONS.c.alone,
)


UNCLAIMED_READ = 5000


@dataclass(frozen=True, slots=True)
class Taker:
    """Who begins work: the node, the start of its process, how long its lease holds in seconds, and the worker process.

    `worker` is drawn for each fork, so that what a dead one held can be told from everything else.
    """

    node_id: str
    instance: str
    lease_seconds: float
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An allocation that this execution holds."""

    allocation_id: str
    attempt: int
    kind: str
    queue: str
    alone: bool


def begin(session: Session, allocation_id: str, attempt: int, execution: str, taker: Taker) -> Begun | None:
    """Take the allocation for this execution; again the same for the same execution, `None` for any other."""
    moved = _take(session, allocation_id, attempt, execution, taker)
    query = select(*BEGUN_COLUMNS).where(
        ALLOCATIONS.c.id == allocation_id,
        ALLOCATIONS.c.attempt == attempt,
        ALLOCATIONS.c.execution == execution,
        ALLOCATIONS.c.state == "executing",
    )
    row = session.execute(query if moved else query.with_for_update()).first()
    return None if row is None else _begun(session, row, execution)


def _take(session: Session, allocation_id: str, attempt: int, execution: str, taker: Taker) -> bool:
    moved = transitions.move(
        session,
        Allocation,
        [allocation_id],
        Change(("pending", "claimed"), "executing", f"node {taker.node_id}", "begun"),
        ALLOCATIONS.c.attempt == attempt,
        ALLOCATIONS.c.node_id == taker.node_id,
        ~ALLOCATIONS.c.cancel_requested,
        execution=execution,
        instance=taker.instance,
        worker=taker.worker,
        lease_until=now(taker.lease_seconds),
        started_at=now(),
        updated_at=now(),
    )
    return bool(moved)


def _begun(session: Session, row: Any, execution: str) -> Begun:
    # No condition on the state, which items of others have too: the server might lock those. Ended ones stay ended.
    session.execute(update(ITEMS).where(ITEMS.c.allocation_id == row.id).values(execution=execution))
    return Begun(*row)


def begin_next(
    session: Session, queue: str, execution: str, max_size: int, taker: Taker, *, idle: bool = True
) -> Begun | None:
    """Take the queue's oldest pending allocation of at most `max_size` items; others' locked rows are passed over.

    Work that needs a process for itself is taken by an `idle` one only.
    """
    query = select(*BEGUN_COLUMNS).where(
        ALLOCATIONS.c.queue == queue,
        ALLOCATIONS.c.state == "pending",
        ALLOCATIONS.c.item_count <= max_size,
    )
    if not idle:
        query = query.where(~ALLOCATIONS.c.alone)
    oldest = query.order_by(ALLOCATIONS.c.id).limit(1)
    row = session.execute(oldest.with_for_update(skip_locked=True)).first()
    if row is None or not _take(session, row.id, row.attempt, execution, taker):
        return None
    return _begun(session, row, execution)


def begun_by(session: Session, queue: str, execution: str) -> Begun | None:
    """What this execution took before, when the answer of its `begin_next` was lost."""
    row = session.execute(
        select(*BEGUN_COLUMNS).where(
            ALLOCATIONS.c.queue == queue,
            ALLOCATIONS.c.state == "executing",
            ALLOCATIONS.c.execution == execution,
        )
    ).first()
    return None if row is None else Begun(*row)


def feed_orders(session: Session, allocation_id: str) -> tuple[FeedOrder, ...]:
    """The feeds that an update allocation still has to collect.

    Items whose feed was deleted meanwhile are cancelled; those whose feed was quarantined would kill this worker too.
    """
    query = (
        select(
            ITEMS.c.id,
            FEEDS.c.id,
            FEEDS.c.kind,
            FEEDS.c.name,
            FEEDS.c.url,
            FEEDS.c.etag,
            FEEDS.c.last_modified,
            FEEDS.c.paused_reason,
        )
        .outerjoin(FEEDS, FEEDS.c.id == ITEMS.c.feed_id)
        .where(ITEMS.c.allocation_id == allocation_id, ITEMS.c.state == "assigned")
        .order_by(ITEMS.c.id)
    )
    rows = session.execute(query).all()
    orphans = [row[0] for row in rows if row[1] is None]
    deleted = Change(("assigned",), "cancelled", "begin", "its feed was deleted")
    transitions.move(session, WorkItem, orphans, deleted, ended_at=now())
    deadly = [row[0] for row in rows if row.paused_reason == WORKER_DIED]
    message = "this feed killed its workers and was switched off"
    quarantined = Change(("assigned",), "failed", "begin", message)
    failed = {"error_code": WORKER_DIED, "error_message": message, "ended_at": now()}
    transitions.move(session, WorkItem, deadly, quarantined, **failed)
    return tuple(FeedOrder(*row[:-1]) for row in rows if row[0] not in {*orphans, *deadly})


def renew(session: Session, leases: Sequence[Lease], seconds: float) -> dict[str, Standing]:
    """Extend the leases that still stand; by execution, each one's standing.

    A row that is locked is being settled or checkpointed right now: it is passed over and counts as held, so that
    one long settle never keeps the other leases waiting.
    """
    rows = {
        row.id: row
        for row in session.execute(
            select(
                Allocation.id,
                Allocation.state,
                Allocation.attempt,
                Allocation.execution,
                Allocation.cancel_requested,
            )
            .where(Allocation.id.in_([lease.allocation_id for lease in leases]))
            .with_for_update(skip_locked=True)
        )
    }
    standings = {lease.execution: _standing(lease, rows.get(lease.allocation_id)) for lease in leases}
    standing_ids = [
        lease.allocation_id for lease in leases if standings[lease.execution] is not Standing.SUPERSEDED
    ]
    session.execute(
        update(Allocation)
        .where(Allocation.id.in_([one for one in standing_ids if one in rows]))
        .values(lease_until=now(seconds))
    )
    return standings


def _standing(lease: Lease, row: Any) -> Standing:
    if row is None:
        return Standing.HELD
    if (row.state, row.attempt, row.execution) != ("executing", lease.attempt, lease.execution):
        return Standing.SUPERSEDED
    return Standing.CANCELLED if row.cancel_requested else Standing.HELD


def pending_by_node(session: Session, node_ids: Sequence[str]) -> dict[str, int]:
    """How many allocations wait for each of the nodes; those with none are left out."""
    query = (
        select(Allocation.node_id, func.count())
        .where(Allocation.node_id.in_(node_ids), Allocation.state == "pending")
        .group_by(Allocation.node_id)
    )
    return {row[0]: int(row[1]) for row in session.execute(query)}


def pending_in(session: Session, queue: str) -> int:
    """How many allocations wait in the queue."""
    query = select(func.count()).where(Allocation.queue == queue, Allocation.state == "pending")
    return session.scalar(query) or 0


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A pending allocation of a remote node that can be told about it at `callback_url`."""

    allocation_id: str
    node_id: str
    node_name: str
    callback_url: str
    feed_count: int


def unclaimed(session: Session) -> list[Unclaimed]:
    """What waits to be claimed by our own remote nodes that gave a callback URL, oldest first."""
    told = (Node.transport == "remote", Node.callback_url != "", Node.instance != "", Node.is_active)
    nodes = {
        row.id: row for row in session.execute(select(Node.id, Node.name, Node.callback_url).where(*told))
    }
    if not nodes:
        return []
    query = (
        select(Allocation.id, Allocation.node_id, Allocation.item_count)
        .where(Allocation.node_id.in_(nodes), Allocation.state == "pending", Allocation.kind == "update")
        .order_by(Allocation.id)
        .limit(UNCLAIMED_READ)
    )
    return [
        Unclaimed(
            row.id, row.node_id, nodes[row.node_id].name, nodes[row.node_id].callback_url, row.item_count
        )
        for row in session.execute(query)
    ]
