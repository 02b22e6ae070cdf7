"""What worker processes held whose end was seen: given back at once, instead of when its lease is over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from backend.domain.ports import Lease
from backend.store.recovery import BATCH, Expired
from backend.store.tables import Allocation


@dataclass(frozen=True, slots=True)
class Orphan(Expired):
    """An allocation whose execution is over for sure, whatever its lease says; `recovery.recover` takes it."""

    execution: str = ""
    queue: str = ""

    def still_holds(self) -> tuple[ColumnElement[bool], ...]:
        """It is still this execution's: nobody has recovered it or begun it again meanwhile."""
        # Claimed work that has not begun has no execution.
        execution = (
            Allocation.execution == self.execution if self.execution else Allocation.execution.is_(None)
        )
        return (execution, Allocation.attempt == self.attempt)

    def may_be_recovered(self, session: Session) -> bool:  # noqa: ARG002  (others ask the database)
        """Its end was seen: no renewal can be under way."""
        return True


def held_by_worker(session: Session, node_id: str, worker: str, cause: str, *, blames: bool) -> list[Orphan]:
    """What that worker process of the node held when it ended."""
    return _orphans(session, node_id, Allocation.worker == worker, cause, blames=blames)


def held_by_instance(session: Session, node_id: str, instance: str, cause: str) -> list[Orphan]:
    """What an earlier start of the node held, no process of which is left; nobody knows which work killed it, if any."""
    return _orphans(session, node_id, Allocation.instance == instance, cause, blames=False)


def held_by_execution(
    session: Session, node_id: str, lease: Lease, cause: str, *, blames: bool
) -> list[Orphan]:
    """What this execution of the node's holds, if it does."""
    guards = (
        Allocation.id == lease.allocation_id,
        Allocation.attempt == lease.attempt,
        Allocation.execution == lease.execution,
    )
    return _orphans(session, node_id, and_(*guards), cause, blames=blames)


def left_by_others(session: Session, node_id: str, instance: str, known: Collection[str]) -> list[Orphan]:
    """What earlier starts of a remote node claimed or began, and the one that lives now does not know of."""
    cause = "the node was started again and does not know of it"
    of_others = or_(Allocation.instance.is_(None), Allocation.instance != instance)
    found = _orphans(session, node_id, of_others, cause, blames=False, states=("claimed", "executing"))
    return [one for one in found if one.allocation_id not in known]


def _orphans(
    session: Session,
    node_id: str,
    held: ColumnElement[bool],
    cause: str,
    *,
    blames: bool,
    states: tuple[str, ...] = ("executing",),
) -> list[Orphan]:
    query = (
        select(
            Allocation.id,
            Allocation.kind,
            Allocation.attempt,
            Allocation.item_count,
            Allocation.alone,
            Allocation.execution,
            Allocation.queue,
        )
        .where(Allocation.node_id == node_id, Allocation.state.in_(states), held)
        .order_by(Allocation.id)
        .limit(BATCH)
    )
    return [
        Orphan(*row[:5], cause=cause, blames=blames, execution=row.execution or "", queue=row.queue)
        for row in session.execute(query)
    ]
