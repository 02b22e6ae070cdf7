"""What a person does to one allocation: cancel what has not ended, try again what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, NotFound
from backend.store import transitions
from backend.store.columns import now
from backend.store.tables import Allocation, Delivery, MessageTask, Run, WorkItem
from backend.store.transitions import Change
from backend.store.withdrawing import end_deliveries

KINDS = frozenset({"update", "deliver"})
WAITING = ("pending", "claimed")
ENDED = frozenset({"completed", "failed", "cancelled"})
CANCELLED, ASKED, TRIED_AGAIN = "cancelled", "cancel_requested", "tried_again"
ALREADY = "already_cancelled"


@dataclass(frozen=True, slots=True)
class Intervention:
    """What became of an allocation: its state now, the outcome, and how many items and deliveries that concerned."""

    allocation_id: str
    outcome: str
    status: str
    items: int = 0
    deliveries: int = 0


def cancel(session: Session, allocation_id: str, actor: str) -> Intervention:
    """End what waits at once; ask what runs to stop. What has ended of it stays as it is; again changes nothing.

    Raises `NotFound`, and `Conflict` when the allocation has ended or its kind is cancelled elsewhere. Whoever comes
    first wins, cancel or settle: both lock the allocation's row before they touch anything else.
    """
    row = _locked(session, allocation_id)
    if row.state == "cancelled":
        return Intervention(allocation_id, ALREADY, row.state)
    if row.state in ENDED:
        raise Conflict("allocation_ended", id=allocation_id, state=row.state)
    if row.state == "executing":
        _ask_to_stop(session, allocation_id)
        outcome, state = ASKED, "executing"
    else:
        _end(session, allocation_id, actor)
        outcome, state = CANCELLED, "cancelled"
    items = _cancel_items(session, allocation_id, actor)
    deliveries = end_deliveries(
        session, Delivery.allocation_id == allocation_id, actor, f"cancelled by {actor}"
    )
    return Intervention(allocation_id, outcome, state, items, deliveries)


def _locked(session: Session, allocation_id: str) -> Any:
    query = select(Allocation.state, Allocation.kind, Allocation.run_id, Allocation.task_id)
    row = session.execute(query.where(Allocation.id == allocation_id).with_for_update()).first()
    if row is None:
        raise NotFound(noun="allocation", id=allocation_id)
    if row.kind not in KINDS:
        raise Conflict("allocation_kind", id=allocation_id, kind=row.kind)
    return row


def _end(session: Session, allocation_id: str, actor: str) -> None:
    change = Change(WAITING, "cancelled", actor, f"cancelled by {actor}")
    values = {"lease_until": None, "ended_at": now(), "updated_at": now()}
    transitions.move(session, Allocation, [allocation_id], change, **values)


def _ask_to_stop(session: Session, allocation_id: str) -> None:
    session.execute(
        update(Allocation)
        .where(Allocation.id == allocation_id, Allocation.state == "executing")
        .values(cancel_requested=True, updated_at=now())
    )


def _cancel_items(session: Session, allocation_id: str, actor: str) -> int:
    # Looked at here and not in the condition, which would let the server lock the items of others.
    rows = session.execute(
        select(WorkItem.id, WorkItem.state)
        .where(WorkItem.allocation_id == allocation_id)
        .order_by(WorkItem.id)
        .with_for_update()
    ).all()
    change = Change(("assigned",), "cancelled", actor, f"cancelled by {actor}")
    return transitions.move(
        session, WorkItem, [row.id for row in rows if row.state == "assigned"], change, ended_at=now()
    )


def retry(session: Session, allocation_id: str, actor: str, *, unconfirmed: bool = False) -> Intervention:
    """Put what failed of an ended allocation back to wait, with all its attempts before it.

    `unconfirmed`: also the messages of which nobody knows whether they arrived; they may then arrive twice.
    Raises `NotFound`, and `Conflict` when the work has not ended, nothing of it failed, or nobody wants it any more.
    """
    row = _locked(session, allocation_id)
    if row.state not in ENDED:
        raise Conflict("allocation_open", id=allocation_id, state=row.state)
    items = _retry_items(session, allocation_id, row, actor)
    deliveries = _retry_deliveries(session, allocation_id, actor, unconfirmed=unconfirmed)
    if not items and not deliveries:
        raise Conflict("nothing_failed", id=allocation_id, state=row.state)
    return Intervention(allocation_id, TRIED_AGAIN, row.state, items, deliveries)


def _retry_items(session: Session, allocation_id: str, allocation: Any, actor: str) -> int:
    ids = session.scalars(
        select(WorkItem.id).where(WorkItem.allocation_id == allocation_id, WorkItem.state == "failed")
    ).all()
    if not ids:
        return 0
    _open_run(session, allocation, actor)
    change = Change(("failed",), "waiting", actor, f"tried again by {actor}")
    return transitions.move(session, WorkItem, sorted(ids), change, **FRESH, node_id=None, deaths=0)


FRESH: dict[str, Any] = {
    "attempts": 0,
    "not_before": None,
    "allocation_id": None,
    "error_code": "",
    "error_message": "",
    "ended_at": None,
}


def _open_run(session: Session, allocation: Any, actor: str) -> None:
    """A completed run goes on; in a cancelled one, or of a deleted task, nothing is tried again."""
    task = session.scalar(select(MessageTask.id).where(MessageTask.id == allocation.task_id))
    if task is None:
        raise Conflict("retry_without_task")
    # Locked first: a run that is being closed would not see the items that are about to wait again.
    locked = transitions.lock(session, Run, allocation.run_id)
    if locked is None or locked[0] == "cancelled":
        raise Conflict("retry_in_cancelled_run", id=allocation.run_id)
    change = Change(("completed",), "running", actor, "failed items are tried again")
    transitions.move(session, Run, [allocation.run_id], change, ended_at=None)


def _retry_deliveries(session: Session, allocation_id: str, actor: str, *, unconfirmed: bool) -> int:
    sources = ("failed", "unconfirmed") if unconfirmed else ("failed",)
    rows = session.execute(
        select(Delivery.id, MessageTask.id.label("task_id"))
        .outerjoin(MessageTask, MessageTask.id == Delivery.task_id)
        .where(Delivery.allocation_id == allocation_id, Delivery.state.in_(sources))
    ).all()
    ids = sorted(row.id for row in rows if row.task_id is not None)
    if rows and not ids:
        raise Conflict("retry_without_task")
    change = Change(sources, "waiting", actor, f"tried again by {actor}")
    return transitions.move(session, Delivery, ids, change, **FRESH, in_flight=False)
