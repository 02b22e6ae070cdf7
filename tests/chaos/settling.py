"""What has not ended yet, as one number."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.store.tables import Allocation, Delivery, Run, WorkItem
from tests.chaos.checker import OPEN

TABLES = {"runs": Run, "items": WorkItem, "allocations": Allocation, "deliveries": Delivery}


def open_work(session: Session) -> int:
    """How many runs, items, allocations and deliveries are open."""
    found = 0
    for name, table in TABLES.items():
        where = table.__table__.c.state.in_(sorted(OPEN[name]))
        found += session.scalar(select(func.count()).select_from(table).where(where)) or 0
    return found
