"""Changing many allocations: what matches is counted and kept first, then exactly that is changed, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.store.allocation_views import OPEN, AllocationFilter, conditions
from backend.store.columns import now
from backend.store.interventions import ENDED, KINDS, Intervention, cancel, retry
from backend.store.tables import Allocation, Delivery, Selection, SelectionPart, WorkItem

Action = Literal["cancel", "retry"]

LARGEST_SELECTION = 100_000
PART_SIZE = 50
LIFE_SECONDS = 3600.0
FORGET_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class SelectionView:
    """A selection: how many allocations it holds, by their state when it was made, and what became of those done."""

    id: str
    action: str
    count: int
    by_status: dict[str, int]
    done: int
    remaining: int
    outcomes: dict[str, int]
    created_at: datetime
    expires_at: datetime


def choose(
    session: Session,
    selection_id: str,
    action: Action,
    wanted: AllocationFilter,
    actor: str,
    *,
    unconfirmed: bool = False,
) -> SelectionView:
    """Keep the allocations that the action would change now; nothing is changed yet.

    `selection_id` is drawn before the transaction, so that a repeated commit keeps one. Raises `InvalidInput` when
    more than `LARGEST_SELECTION` match.
    """
    if session.get(Selection, selection_id) is None:
        _forget_old(session)
        rows = _matching(session, action, wanted, unconfirmed=unconfirmed)
        by_status = dict(Counter(str(row.state) for row in rows))
        kept = {"filter": _plain(wanted), "by_status": by_status, "unconfirmed": unconfirmed}
        session.add(
            Selection(
                id=selection_id,
                action=action,
                actor=actor[:100],
                filters=kept,
                row_count=len(rows),
                expires_at=now(LIFE_SECONDS),
            )
        )
        _keep_parts(session, selection_id, [str(row.id) for row in rows])
        session.flush()
    return view_selection(session, selection_id)


def _plain(wanted: AllocationFilter) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(wanted).items()
    }


def _matching(
    session: Session, action: Action, wanted: AllocationFilter, *, unconfirmed: bool
) -> Sequence[Any]:
    changeable = _cancellable() if action == "cancel" else _failed(unconfirmed=unconfirmed)
    rows = session.execute(
        select(Allocation.id, Allocation.state)
        .where(*conditions(wanted), Allocation.kind.in_(KINDS), *changeable)
        .order_by(Allocation.id)
        .limit(LARGEST_SELECTION + 1)
    ).all()
    if len(rows) > LARGEST_SELECTION:
        raise InvalidInput("selection_too_large", limit=LARGEST_SELECTION)
    return rows


def _cancellable() -> tuple[ColumnElement[bool], ...]:
    return (Allocation.state.in_(OPEN), ~Allocation.cancel_requested)


def _failed(*, unconfirmed: bool) -> tuple[ColumnElement[bool], ...]:
    states = ("failed", "unconfirmed") if unconfirmed else ("failed",)
    item = select(WorkItem.id).where(WorkItem.allocation_id == Allocation.id, WorkItem.state == "failed")
    message = select(Delivery.id).where(Delivery.allocation_id == Allocation.id, Delivery.state.in_(states))
    return (Allocation.state.in_(ENDED), or_(item.exists(), message.exists()))


def _keep_parts(session: Session, selection_id: str, ids: Sequence[str]) -> None:
    session.add_all(
        SelectionPart(
            selection_id=selection_id, position=place, allocation_ids=list(ids[start : start + PART_SIZE])
        )
        for place, start in enumerate(range(0, len(ids), PART_SIZE))
    )


def _forget_old(session: Session) -> None:
    old = session.scalars(
        select(Selection.id).where(Selection.expires_at < now()).limit(FORGET_AT_ONCE)
    ).all()
    session.execute(delete(SelectionPart).where(SelectionPart.selection_id.in_(old)))
    session.execute(delete(Selection).where(Selection.id.in_(old)))


def view_selection(session: Session, selection_id: str) -> SelectionView:
    """The selection and how far it is. Raises `NotFound` when there is none, or it is too old."""
    row = _living(session, selection_id)
    outcomes: Counter[str] = Counter()
    done = session.scalars(
        select(SelectionPart.outcomes).where(
            SelectionPart.selection_id == selection_id, SelectionPart.done_at.is_not(None)
        )
    )
    for part in done:
        outcomes.update({name: int(count) for name, count in part.items()})
    return SelectionView(
        id=row.id,
        action=row.action,
        count=row.row_count,
        by_status={name: int(count) for name, count in row.filters["by_status"].items()},
        done=outcomes.total(),
        remaining=row.row_count - outcomes.total(),
        outcomes=dict(outcomes),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _living(session: Session, selection_id: str) -> Selection:
    query = select(Selection).where(Selection.id == selection_id, Selection.expires_at > now())
    row = session.scalars(query).first()
    if row is None:
        raise NotFound("selection_gone", id=selection_id)
    return row


def apply_part(session: Session, selection_id: str, actor: str) -> bool:
    """Change the next part of the selection; False when nothing is left that nobody else works on.

    What changed state since it was counted is left as it is and counted under its reason. Raises `NotFound`.
    """
    row = _living(session, selection_id)
    part = session.execute(
        select(SelectionPart.position, SelectionPart.allocation_ids)
        .where(SelectionPart.selection_id == selection_id, SelectionPart.done_at.is_(None))
        .order_by(SelectionPart.position)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if part is None:
        return False
    act = _act(row, actor)
    outcomes = Counter(_outcome(session, act, one) for one in part.allocation_ids)
    session.execute(
        update(SelectionPart)
        .where(SelectionPart.selection_id == selection_id, SelectionPart.position == part.position)
        .values(done_at=now(), outcomes=dict(outcomes))
    )
    return True


def _act(selection: Selection, actor: str) -> Callable[[Session, str], Intervention]:
    if selection.action == "cancel":
        return lambda session, one: cancel(session, one, actor)
    unconfirmed = bool(selection.filters["unconfirmed"])
    return lambda session, one: retry(session, one, actor, unconfirmed=unconfirmed)


def _outcome(session: Session, act: Callable[[Session, str], Intervention], one: str) -> str:
    try:
        return act(session, one).outcome
    except (Conflict, NotFound) as refusal:
        # Refused before anything of this allocation was written.
        return refusal.code
