"""What worker processes held whose end was seen: given back at once, instead of when its lease is over."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.store.recovery import BATCH, Expired
from backend.store.tables import Allocation


@dataclass(frozen=True, slots=True)
class Orphan(Expired):
    """An allocation whose execution is over for sure, whatever its lease says; `recovery.recover` takes it."""

    execution: str = ""
    queue: str = ""

    def still_holds(self) -> tuple[ColumnElement[bool], ...]:
        """It is still this execution's: nobody has recovered it or begun it again meanwhile."""
        return (Allocation.execution == self.execution, Allocation.attempt == self.attempt)

    def may_be_recovered(self, session: Session) -> bool:  # noqa: ARG002  (others ask the database)
        """Its end was seen: no renewal can be under way."""
        return True


def held_by_worker(session: Session, node_id: str, worker: str, cause: str, *, blames: bool) -> list[Orphan]:
    """What that worker process of the node held when it ended."""
    return _orphans(session, node_id, Allocation.worker == worker, cause, blames=blames)


def held_by_instance(session: Session, node_id: str, instance: str, cause: str) -> list[Orphan]:
    """What an earlier start of the node held, no process of which is left; nobody knows which work killed it, if any."""
    return _orphans(session, node_id, Allocation.instance == instance, cause, blames=False)


def _orphans(
    session: Session, node_id: str, held: ColumnElement[bool], cause: str, *, blames: bool
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
        .where(Allocation.node_id == node_id, Allocation.state == "executing", held)
        .order_by(Allocation.id)
        .limit(BATCH)
    )
    return [
        Orphan(*row[:5], cause=cause, blames=blames, execution=row.execution or "", queue=row.queue)
        for row in session.execute(query)
    ]
