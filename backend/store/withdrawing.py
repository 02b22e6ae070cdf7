"""Taking work back because what it was for is being deleted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.store import transitions
from backend.store.columns import now
from backend.store.inserting import chunked
from backend.store.tables import Allocation, Delivery, Run, WorkItem
from backend.store.transitions import Change, Noun

OPEN_RUN = ("queued", "expanding", "running")
OPEN_ITEM = ("waiting", "assigned")
OPEN_DELIVERY = ("waiting", "assigned")


def withdraw_feed(session: Session, feed_id: str, *, name: str, actor: str) -> None:
    """Cancel the feed's waiting items and deliveries. Raises `Conflict` while a node has one of its items."""
    rows = session.execute(
        select(WorkItem.id, WorkItem.run_id, WorkItem.state)
        .where(WorkItem.feed_id == feed_id, WorkItem.state.in_(OPEN_ITEM))
        .order_by(WorkItem.id)
    ).all()
    change = Change(("waiting",), "cancelled", actor, "its feed was deleted")
    moved = transitions.move(session, WorkItem, [row.id for row in rows], change, ended_at=now())
    # Read without locks, decided by the compare-and-set: an item that got a node meanwhile did not move.
    if moved < len(rows):
        raise Conflict("feed_busy", name=name)
    end_deliveries(session, Delivery.feed_id == feed_id, actor, "its feed was deleted")
    for run_id in sorted({row.run_id for row in rows}):
        transitions.close_run_if_ended(session, run_id, actor)


def withdraw_task(session: Session, task_id: str, *, actor: str) -> None:
    """End the task's runs and cancel what waits; running work is asked to stop and may still bring its articles."""
    reason = "its message task was deleted"
    # The runs first: an expansion that is under way then adds nothing more.
    runs = _ids(session, Run, Run.task_id == task_id, Run.state.in_(OPEN_RUN))
    transitions.move(session, Run, runs, Change(OPEN_RUN, "cancelled", actor, reason), ended_at=now())
    _cancel_allocations(session, task_id, actor, reason)
    for run_id in runs:
        items = _ids(session, WorkItem, WorkItem.run_id == run_id, WorkItem.state.in_(OPEN_ITEM))
        for part in chunked(items):
            transitions.move(
                session, WorkItem, part, Change(OPEN_ITEM, "cancelled", actor, reason), ended_at=now()
            )
    end_deliveries(session, Delivery.task_id == task_id, actor, reason)


def _cancel_allocations(session: Session, task_id: str, actor: str, reason: str) -> None:
    of_task = (Allocation.task_id == task_id, Allocation.kind == "update")
    waiting = _ids(session, Allocation, *of_task, Allocation.state.in_(("pending", "claimed")))
    change = Change(("pending", "claimed"), "cancelled", actor, reason)
    transitions.move(session, Allocation, waiting, change, lease_until=None, ended_at=now(), updated_at=now())
    running = _ids(session, Allocation, *of_task, Allocation.state == "executing")
    session.execute(
        update(Allocation)
        .where(Allocation.id.in_(running), Allocation.state == "executing")
        .values(cancel_requested=True, updated_at=now()),
        execution_options={"synchronize_session": False},
    )


def end_deliveries(session: Session, of: ColumnElement[bool], actor: str, reason: str) -> int:
    """Nothing is sent any more; what is being sent right now ends with its receipt, or stays unconfirmed. How many ended."""
    ended = 0
    ids = _ids(session, Delivery, of, Delivery.state.in_(OPEN_DELIVERY))
    for part in chunked(ids):
        # Nobody sends what waits, even if its worker died while it did: only what is assigned is looked at closer.
        waiting = Change(("waiting",), "cancelled", actor, reason)
        ended += transitions.move(session, Delivery, part, waiting, ended_at=now())
        assigned = Change(("assigned",), "cancelled", actor, reason)
        ended += transitions.move(session, Delivery, part, assigned, ~Delivery.in_flight, ended_at=now())
        sending = Change(("assigned",), "unconfirmed", actor, f"{reason} while it was being sent")
        doubtful = Delivery.in_flight.is_(True)
        ended += transitions.move(session, Delivery, part, sending, doubtful, ended_at=now())
    return ended


def _ids(session: Session, table: Noun, *where: ColumnElement[bool]) -> Sequence[str]:
    return session.scalars(select(table.id).where(*where).order_by(table.id)).all()
