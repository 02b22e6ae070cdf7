"""How fresh the feeds are and what was last done for them: one page in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.orm import Session

from backend.domain.freshness import UNKNOWN, Freshness
from backend.store.columns import now
from backend.store.tables import Article, Feed, MessageTask, Node, WorkItem


@dataclass(frozen=True, slots=True)
class LastTask:
    """The feed's newest work item: for which task, on which node, and how far it is."""

    status: str
    time: datetime
    task_id: str
    task_name: str
    run_id: str
    allocation_id: str | None
    node_id: str | None
    node_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedStatusView:
    """One feed's state. `next_check_at` is known while it waits for a moment, because its last attempts failed."""

    id: str
    name: str
    cover: str
    kind: str
    is_active: bool
    update_status: str
    collected_at: datetime | None
    article_count: int
    latest_article_at: datetime | None
    last_task: LastTask | None
    error_code: str
    error_message: str
    next_check_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FeedStatusPage:
    """One page in the order of ids, how many match, and how many feeds have each status."""

    found: list[FeedStatusView]
    total: int
    counts: dict[str, int]
    next_cursor: str | None


def feed_status(
    session: Session,
    freshness: Freshness,
    *,
    feed_id: str | None = None,
    status: str | None = None,
    limit: int = 50,
    offset: int = 0,
    cursor: str | None = None,
) -> FeedStatusPage:
    """One page of the feeds that match. Six queries, however many feeds there are on it."""
    current = session.execute(select(now())).scalar_one()
    chosen = [Feed.id == feed_id] if feed_id else []
    counts = _counts(session, freshness, chosen)
    where = [*chosen, *([_has_status(status, freshness)] if status else [])]
    if cursor:
        where.append(Feed.id > cursor)
    rows = session.scalars(select(Feed).where(*where).order_by(Feed.id).limit(limit + 1).offset(offset)).all()
    more = len(rows) > limit
    rows = rows[:limit]
    ids = [row.id for row in rows]
    articles, tasks = _articles(session, ids), _last_tasks(session, ids)
    found = [_view(row, freshness.status(row.collected_at, current), articles, tasks) for row in rows]
    total = counts.get(status, 0) if status else sum(counts.values())
    return FeedStatusPage(found, total, counts, ids[-1] if more else None)


def _has_status(status: str, freshness: Freshness) -> ColumnElement[bool]:
    if status == UNKNOWN:
        return Feed.collected_at.is_(None)
    youngest, oldest = freshness.ages(status)
    condition: ColumnElement[bool] = Feed.collected_at.is_not(None)
    if youngest > float("-inf"):
        condition &= Feed.collected_at <= now(-youngest)
    if oldest < float("inf"):
        condition &= Feed.collected_at > now(-oldest)
    return condition


def _counts(session: Session, freshness: Freshness, where: Sequence[ColumnElement[bool]]) -> dict[str, int]:
    steps = [
        (Feed.collected_at > now(-limit), literal(name))
        for name, limit in freshness.limits.items()
        if limit < float("inf")
    ]
    status = case((Feed.collected_at.is_(None), literal(UNKNOWN)), *steps, else_=literal("outdated"))
    labelled = select(status.label("status")).where(*where).subquery()
    query = select(labelled.c.status, func.count()).group_by(labelled.c.status)
    counted = {str(row[0]): int(row[1]) for row in session.execute(query)}
    return {name: counted.get(name, 0) for name in (*freshness.limits, UNKNOWN)}


def _articles(session: Session, feed_ids: Sequence[str]) -> Mapping[str, Any]:
    query = (
        select(
            Article.feed_id, func.count().label("number"), func.max(Article.first_stored_at).label("latest")
        )
        .where(Article.feed_id.in_(feed_ids))
        .group_by(Article.feed_id)
    )
    return {row.feed_id: row for row in session.execute(query)}


def _last_tasks(session: Session, feed_ids: Sequence[str]) -> Mapping[str, Any]:
    newest = select(func.max(WorkItem.id)).where(WorkItem.feed_id.in_(feed_ids)).group_by(WorkItem.feed_id)
    query = (
        select(WorkItem, func.coalesce(MessageTask.name, ""), func.coalesce(Node.name, ""))
        .outerjoin(MessageTask, MessageTask.id == WorkItem.task_id)
        .outerjoin(Node, Node.id == WorkItem.node_id)
        .where(WorkItem.id.in_(list(session.scalars(newest))))
    )
    return {row[0].feed_id: row for row in session.execute(query)}


def _view(row: Feed, status: str, articles: Mapping[str, Any], tasks: Mapping[str, Any]) -> FeedStatusView:
    stored, last = articles.get(row.id), tasks.get(row.id)
    item = last[0] if last else None
    return FeedStatusView(
        id=row.id,
        name=row.name,
        cover=row.cover,
        kind=row.kind,
        is_active=row.is_active,
        update_status=status,
        collected_at=row.collected_at,
        article_count=stored.number if stored else 0,
        latest_article_at=stored.latest if stored else None,
        last_task=_last_task(*last) if last else None,
        error_code=row.error_code,
        error_message=row.error_message,
        next_check_at=item.not_before if item and item.state == "waiting" else row.next_check_at,
        created_at=row.created_at,
    )


def _last_task(item: WorkItem, task_name: str, node_name: str) -> LastTask:
    return LastTask(
        status=item.state,
        time=item.ended_at or item.created_at,
        task_id=item.task_id,
        task_name=task_name,
        run_id=item.run_id,
        allocation_id=item.allocation_id,
        node_id=item.node_id,
        node_name=node_name,
        reason=item.error_message or item.reason,
    )
