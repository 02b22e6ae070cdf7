"""What waits, and why: counted by reason, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.nodes import why_feeds_wait
from backend.store import nodes
from backend.store.tables import Delivery, WorkItem


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Work of one kind that waits for the same reason; `since` is when the oldest of it was made."""

    kind: str
    reason: str
    count: int
    since: datetime


def waiting(session: Session) -> list[WaitingGroup]:
    """Waiting work items and deliveries by reason, the largest group of each kind first."""
    return [*_items(session), *_deliveries(session)]


def _items(session: Session) -> list[WaitingGroup]:
    """Items that wait for nothing but a node say what hinders the nodes that could collect them."""
    free = WorkItem.not_before.is_(None)
    count = func.count()
    query = (
        select(WorkItem.reason, WorkItem.feed_kind, free, count, func.min(WorkItem.created_at))
        .where(WorkItem.state == "waiting")
        .group_by(WorkItem.reason, WorkItem.feed_kind, free)
        .order_by(count.desc(), WorkItem.reason, WorkItem.feed_kind)
    )
    known = nodes.facts(session)
    found: list[WaitingGroup] = []
    for reason, kind, is_free, number, since in session.execute(query):
        why = why_feeds_wait(kind, known) if is_free else None
        found.append(WaitingGroup("update", why.sentence() if why else reason, number, since))
    return found


def _deliveries(session: Session) -> list[WaitingGroup]:
    count = func.count()
    query = (
        select(Delivery.reason, count, func.min(Delivery.created_at))
        .where(Delivery.state == "waiting")
        .group_by(Delivery.reason)
        .order_by(count.desc(), Delivery.reason)
    )
    return [WaitingGroup("deliver", *row) for row in session.execute(query)]
