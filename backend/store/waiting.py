"""What waits, and why: counted by reason, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

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
    found: list[WaitingGroup] = []
    for kind, table in (("update", WorkItem), ("deliver", Delivery)):
        count = func.count()
        query = (
            select(table.reason, count, func.min(table.created_at))
            .where(table.state == "waiting")
            .group_by(table.reason)
            .order_by(count.desc(), table.reason)
        )
        found += [WaitingGroup(kind, *row) for row in session.execute(query)]
    return found
