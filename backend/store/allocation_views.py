"""Allocations as people see them: filtered, paged by key, and each with its whole story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.domain.attempts import Attempt, Step, attempts_of
from backend.domain.errors import NotFound
from backend.domain.identifiers import first_id_of
from backend.domain.waiting import Scene, why_allocation_waits
from backend.domain.why import Why
from backend.store.scene import facts_of, scene, why_of_item
from backend.store.tables import Allocation, Delivery, Feed, History, MessageTask, Node, WorkItem

COUNT_LIMIT = 10_000
# Ids carry the clock of the process that made them, `created_at` the database's.
CLOCK_SLACK = timedelta(minutes=10)
LEASED = ("claimed", "executing")
OPEN = ("pending", *LEASED)
DELIVERIES_SHOWN = 500


@dataclass(frozen=True, slots=True)
class AllocationFilter:
    """Which allocations; `kind` "all" is every kind. The times bound when an allocation was made."""

    task_id: str | None = None
    run_id: str | None = None
    node_id: str | None = None
    status: str | None = None
    kind: str = "update"
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AllocationView:
    """An allocation as the API lists it; `why` says why it has not ended."""

    allocation_id: str
    kind: str
    node_id: str
    node_name: str
    task_id: str | None
    task_name: str
    run_id: str | None
    feed_ids: list[str]
    status: str
    attempt: int
    reason: str
    why: Why | None
    cancel_requested: bool
    error_code: str
    error_message: str
    item_count: int
    article_count: int
    new_article_count: int
    created_at: datetime
    updated_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class AllocationPage:
    """One page, newest first. `total` stops counting at `COUNT_LIMIT`; `next_cursor` is `None` on the last page."""

    found: list[AllocationView]
    total: int
    total_is_exact: bool
    next_cursor: str | None


def conditions(wanted: AllocationFilter) -> list[ColumnElement[bool]]:
    """The filter as conditions that an index answers in the order of ids."""
    equal = (
        (Allocation.task_id, wanted.task_id),
        (Allocation.run_id, wanted.run_id),
        (Allocation.node_id, wanted.node_id),
        (Allocation.state, wanted.status),
    )
    found: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if wanted.kind != "all":
        # Beside another filter out of reach of its index: the server would intersect both, and sort everything.
        found.append((func.coalesce(Allocation.kind, "") if found else Allocation.kind) == wanted.kind)
    one_state_of_all = wanted.status is not None and not (wanted.task_id or wanted.run_id or wanted.node_id)
    if one_state_of_all and wanted.status not in LEASED:
        # Always so, and with it the index (state, lease_until) is in the order of ids: no sorting.
        found.append(Allocation.lease_until.is_(None))
    if wanted.created_after is not None:
        found.append(Allocation.id >= first_id_of(wanted.created_after - CLOCK_SLACK))
        found.append(Allocation.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        found.append(Allocation.id < first_id_of(wanted.created_before + CLOCK_SLACK))
        found.append(Allocation.created_at < wanted.created_before)
    return found


def count_allocations(session: Session, where: Sequence[ColumnElement[bool]]) -> tuple[int, bool]:
    """How many match, counted up to `COUNT_LIMIT`, and whether that is all of them."""
    some = select(Allocation.id).where(*where).limit(COUNT_LIMIT + 1).subquery()
    count = session.scalar(select(func.count()).select_from(some)) or 0
    return min(count, COUNT_LIMIT), count <= COUNT_LIMIT


def list_allocations(
    session: Session,
    wanted: AllocationFilter,
    *,
    limit: int = 50,
    offset: int = 0,
    cursor: str | None = None,
) -> AllocationPage:
    """The newest allocations that match, older than `cursor`."""
    where = conditions(wanted)
    total, exact = count_allocations(session, where)
    # One more than wanted says whether there is a next page.
    rows = _rows(session, [*where, *([Allocation.id < cursor] if cursor else [])], limit + 1, offset)
    more = len(rows) > limit
    rows = rows[:limit]
    at = scene(session) if any(row[0].state in OPEN for row in rows) else None
    found = [_view(row, node, task, at) for row, node, task in rows]
    return AllocationPage(found, total, exact, found[-1].allocation_id if more else None)


def _rows(session: Session, where: Sequence[ColumnElement[bool]], limit: int, offset: int) -> list[Any]:
    # The ids first: the joins then see one page and not every row that is passed over.
    ids = session.scalars(
        select(Allocation.id).where(*where).order_by(Allocation.id.desc()).limit(limit).offset(offset)
    ).all()
    query = (
        select(Allocation, func.coalesce(Node.name, ""), func.coalesce(MessageTask.name, ""))
        .outerjoin(Node, Node.id == Allocation.node_id)
        .outerjoin(MessageTask, MessageTask.id == Allocation.task_id)
        .where(Allocation.id.in_(ids))
        .order_by(Allocation.id.desc())
    )
    return list(session.execute(query).all()) if ids else []


def _view(row: Allocation, node_name: str, task_name: str, at: Scene | None) -> AllocationView:
    return AllocationView(
        allocation_id=row.id,
        kind=row.kind,
        node_id=row.node_id,
        node_name=node_name,
        task_id=row.task_id,
        task_name=task_name,
        run_id=row.run_id,
        feed_ids=row.feed_ids,
        status=row.state,
        attempt=row.attempt,
        reason=row.reason,
        why=why_allocation_waits(facts_of(row), at) if at else None,
        cancel_requested=row.cancel_requested,
        error_code=row.error_code,
        error_message=row.error_message,
        item_count=row.item_count,
        article_count=row.article_count,
        new_article_count=row.new_article_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
        claimed_at=row.claimed_at,
        started_at=row.started_at,
        completed_at=row.ended_at,
        lease_until=row.lease_until,
    )


@dataclass(frozen=True, slots=True)
class MemberView:
    """One item or delivery of an allocation. `allocation_id` differs when the work went on elsewhere."""

    id: str
    feed_id: str
    feed_name: str
    state: str
    reason: str
    why: Why | None
    allocation_id: str | None
    attempts: int
    errors: list[dict[str, Any]]
    error_code: str
    error_message: str
    not_before: datetime | None
    article_count: int
    new_article_count: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class AllocationStory:
    """An allocation with its history, its attempts and what it carries; of deliveries at most the first 500."""

    allocation: AllocationView
    timeline: list[Step]
    attempts: list[Attempt]
    items: list[MemberView]
    deliveries: list[MemberView]


def show_allocation(session: Session, allocation_id: str) -> AllocationStory:
    """The allocation's whole story. Raises `NotFound`."""
    rows = _rows(session, [Allocation.id == allocation_id], 1, 0)
    if not rows:
        raise NotFound(noun="allocation", id=allocation_id)
    at = scene(session)
    row, node_name, task_name = rows[0]
    timeline = timeline_of(session, "allocation", allocation_id)
    return AllocationStory(
        allocation=_view(row, node_name, task_name, at),
        timeline=timeline,
        attempts=attempts_of(timeline),
        items=_items(session, row, at),
        deliveries=_deliveries(session, allocation_id),
    )


def timeline_of(session: Session, noun: str, subject_id: str) -> list[Step]:
    """Every recorded move of one subject, oldest first."""
    query = (
        select(History.at, History.actor, History.from_state, History.to_state, History.reason)
        .where(History.noun == noun, History.subject_id == subject_id)
        .order_by(History.id)
    )
    return [Step(*row) for row in session.execute(query)]


def _items(session: Session, allocation: Allocation, at: Scene) -> list[MemberView]:
    """What it carried when it was made, wherever that is now."""
    query = (
        select(WorkItem, func.coalesce(Feed.name, ""))
        .outerjoin(Feed, Feed.id == WorkItem.feed_id)
        .where(WorkItem.run_id == allocation.run_id, WorkItem.feed_id.in_(allocation.feed_ids))
        .order_by(WorkItem.id)
    )
    rows = session.execute(query).all()
    # Read at once, so that each item finds the allocation that has it now in the session.
    elsewhere = {row.allocation_id for row, _ in rows if row.allocation_id}
    session.scalars(select(Allocation).where(Allocation.id.in_(elsewhere))).all()
    return [_item(session, row, name, allocation, at) for row, name in rows]


def _item(session: Session, row: WorkItem, name: str, allocation: Allocation, at: Scene) -> MemberView:
    held_here = row.state == "assigned" and row.allocation_id == allocation.id
    # What waits in this allocation waits with it: the allocation says why.
    waits = row.state in {"waiting", "assigned"} and not held_here
    return MemberView(
        id=row.id,
        feed_id=row.feed_id,
        feed_name=name,
        state=row.state,
        reason=row.reason,
        why=why_of_item(session, row, at) if waits else None,
        allocation_id=row.allocation_id,
        attempts=row.attempts,
        errors=row.errors,
        error_code=row.error_code,
        error_message=row.error_message,
        not_before=row.not_before,
        article_count=row.article_count,
        new_article_count=row.new_article_count,
        ended_at=row.ended_at,
    )


def _deliveries(session: Session, allocation_id: str) -> list[MemberView]:
    query = (
        select(Delivery, func.coalesce(Feed.name, ""))
        .outerjoin(Feed, Feed.id == Delivery.feed_id)
        .where(Delivery.allocation_id == allocation_id)
        .order_by(Delivery.id)
        .limit(DELIVERIES_SHOWN)
    )
    return [_delivery(row, name) for row, name in session.execute(query)]


def _delivery(row: Delivery, name: str) -> MemberView:
    return MemberView(
        id=row.id,
        feed_id=row.feed_id,
        feed_name=name,
        state=row.state,
        reason=row.reason,
        why=None,
        allocation_id=row.allocation_id,
        attempts=row.attempts,
        errors=row.errors or [],
        error_code=row.error_code,
        error_message=row.error_message,
        not_before=row.not_before,
        article_count=0,
        new_article_count=0,
        ended_at=row.ended_at,
    )
