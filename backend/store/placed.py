"""Pending allocations as the queues see them: what should be in which list, and what no longer should."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.store.columns import by_index, now
from backend.store.tables import Allocation, Node

PENDING_OF_A_NODE = 1000
PART = 200


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending allocation that should be in its queue."""

    allocation_id: str
    attempt: int
    queue: str
    kind: str


PENDING = (Allocation.id, Allocation.attempt, Allocation.queue, Allocation.kind)


def pending_for(session: Session, seconds: float, node_ids: Sequence[str]) -> list[Pending]:
    """Allocations of the nodes that have been pending for so long: of each node the oldest ones.

    Those are the ones that matter: workers begin the oldest first, and what is younger becomes the oldest in time.
    """
    return [one for node_id in node_ids for one in _pending_of(session, seconds, node_id)]


def _pending_of(session: Session, seconds: float, node_id: str) -> list[Pending]:
    # Node by node: the index then brings the oldest ones first, and one node's many never hide another's few.
    query = (
        select(*PENDING)
        .where(
            Allocation.node_id == node_id,
            Allocation.state == "pending",
            Allocation.updated_at < now(-seconds),
        )
        .order_by(Allocation.id)
        .limit(PENDING_OF_A_NODE)
    )
    query = by_index(query, Allocation, "ix_allocations_node_id_state")
    return [Pending(*row) for row in session.execute(query)]


def still_pending(session: Session, ids: Sequence[str]) -> list[Pending]:
    """Those of the allocations that are pending now."""
    query = select(*PENDING).where(Allocation.id.in_(ids), Allocation.state == "pending")
    return [Pending(*row) for row in session.execute(query.order_by(Allocation.id))] if ids else []


def wanted(session: Session, attempts: Collection[tuple[str, int]], *, running: bool) -> set[tuple[str, int]]:
    """Those of the attempts that are pending; `running`: or have been begun and not ended."""
    states = ("pending", "claimed", "executing") if running else ("pending",)
    ids = sorted({allocation_id for allocation_id, _ in attempts})
    found: set[tuple[str, int]] = set()
    for start in range(0, len(ids), PART):
        query = select(Allocation.id, Allocation.attempt).where(
            Allocation.id.in_(ids[start : start + PART]), Allocation.state.in_(states)
        )
        found.update((row.id, row.attempt) for row in session.execute(query))
    return found & set(attempts)


def all_slugs(session: Session) -> set[str]:
    """The slugs of all nodes, whatever they are: queues of these names are somebody's."""
    return set(session.scalars(select(Node.slug)))
