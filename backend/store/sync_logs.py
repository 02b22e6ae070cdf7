"""The log of what moved between children and the parent, or failed; beats and empty claims are counters on the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.store.inserting import insert_missing
from backend.store.tables import Node, SyncLog

DONE = 1
FAILED = 2
LONGEST_DURATION = 2_000_000_000


@dataclass(frozen=True, slots=True)
class SyncEntry:
    """One exchange. `direction` is seen from the child: `pull` or `push`; with an `error` it failed.

    Its id is drawn before the transaction, so that a repeated commit logs once.
    """

    node_id: str
    operation: str
    direction: str
    data_count: int = 0
    duration_ms: int = 0
    error: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class SyncLogView:
    """A log row as people see it; `status` is 1 done, 2 failed."""

    id: str
    node_id: str
    node_name: str
    operation: str
    direction: str
    status: int
    data_count: int
    duration_ms: int
    error_message: str
    extra_data: dict[str, Any]
    started_at: datetime
    completed_at: datetime


def record(session: Session, entry: SyncEntry) -> None:
    """Write the entry, in the transaction of what it tells of."""
    record_all(session, [entry])


def record_all(session: Session, entries: Sequence[SyncEntry]) -> None:
    """Write the entries, in the transaction of what they tell of."""
    insert_missing(session, SyncLog, [_row(one) for one in entries])


def _row(entry: SyncEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "node_id": entry.node_id,
        "operation": entry.operation,
        "direction": entry.direction,
        "status": FAILED if entry.error else DONE,
        "data_count": entry.data_count,
        "duration_ms": min(entry.duration_ms, LONGEST_DURATION),
        "error_message": entry.error[:2000],
        "extra_data": dict(entry.extra),
    }


def list_sync_logs(
    session: Session,
    *,
    node_id: str | None = None,
    operation: str | None = None,
    direction: str | None = None,
    status: int | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[SyncLogView], int]:
    """The newest entries that match, and how many there are."""
    filters = [
        column == value
        for column, value in (
            (SyncLog.node_id, node_id),
            (SyncLog.operation, operation),
            (SyncLog.direction, direction),
            (SyncLog.status, status),
        )
        if value is not None
    ]
    total = session.scalar(select(func.count()).select_from(SyncLog).where(*filters)) or 0
    query = (
        select(SyncLog, func.coalesce(Node.name, ""))
        .outerjoin(Node, Node.id == SyncLog.node_id)
        .where(*filters)
        .order_by(SyncLog.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [_view(row, name) for row, name in session.execute(query)], total


def _view(row: SyncLog, node_name: str) -> SyncLogView:
    return SyncLogView(
        id=row.id,
        node_id=row.node_id,
        node_name=node_name,
        operation=row.operation,
        direction=row.direction,
        status=row.status,
        data_count=row.data_count,
        duration_ms=row.duration_ms,
        error_message=row.error_message,
        extra_data=row.extra_data,
        started_at=row.completed_at - timedelta(milliseconds=row.duration_ms),
        completed_at=row.completed_at,
    )
