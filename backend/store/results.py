"""What children reported about single feeds, kept for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.children import ChildResult, result_digest
from backend.domain.identifiers import digest, new_id
from backend.store.inserting import insert_missing
from backend.store.tables import Node, Result


@dataclass(frozen=True, slots=True)
class ResultView:
    """One reported result. `reported_at` is the child's own time stamp, as it wrote it."""

    id: str
    node_id: str
    node_name: str
    task_id: str
    allocation_id: str | None
    mp_id: str
    mp_name: str
    status: str
    article_count: int
    success_count: int
    error_message: str
    reported_at: str
    created_at: datetime


def keep(
    session: Session,
    node_id: str,
    task_id: str,
    results: Sequence[ChildResult],
    allocation_id: str | None = None,
    *,
    report_id: str = "",
) -> list[ChildResult]:
    """Store the results; those that were not reported before.

    A result is known again by its content. Without an allocation and without a time stamp it can't be: the same
    words then may tell of another run, and each report counts. `report_id` is the request's own, so that its
    transaction may be repeated.
    """
    digests = {
        digest(report_id, one.feed_id)
        if report_id and allocation_id is None and not one.reported_at
        else result_digest(node_id, task_id, allocation_id, one): one
        for one in results
    }
    known = set(session.scalars(select(Result.digest).where(Result.digest.in_(digests))))
    fresh = {key: one for key, one in digests.items() if key not in known}
    rows = [_row(key, node_id, task_id, allocation_id, one) for key, one in sorted(fresh.items())]
    if rows:
        insert_missing(session, Result, rows)
    return list(fresh.values())


def _row(
    key: str, node_id: str, task_id: str, allocation_id: str | None, result: ChildResult
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "digest": key,
        "node_id": node_id,
        "task_id": task_id,
        "allocation_id": allocation_id,
        "feed_id": result.feed_id,
        "feed_name": result.feed_name,
        "success": result.success,
        "article_count": result.article_count,
        "success_count": result.success_count,
        "error_message": result.error,
        "reported_at": result.reported_at,
    }


def list_results(
    session: Session,
    *,
    task_id: str | None = None,
    node_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[ResultView], int]:
    """The newest results that match, and how many there are."""
    filters = [
        column == value
        for column, value in ((Result.task_id, task_id), (Result.node_id, node_id))
        if value is not None
    ]
    total = session.scalar(select(func.count()).select_from(Result).where(*filters)) or 0
    query = (
        select(Result, func.coalesce(Node.name, ""))
        .outerjoin(Node, Node.id == Result.node_id)
        .where(*filters)
        .order_by(Result.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [_view(row, name) for row, name in session.execute(query)], total


def _view(row: Result, node_name: str) -> ResultView:
    return ResultView(
        id=row.id,
        node_id=row.node_id,
        node_name=node_name,
        task_id=row.task_id,
        allocation_id=row.allocation_id,
        mp_id=row.feed_id,
        mp_name=row.feed_name,
        status="success" if row.success else "failed",
        article_count=row.article_count,
        success_count=row.success_count,
        error_message=row.error_message,
        reported_at=row.reported_at,
        created_at=row.created_at,
    )
