"""Items whose worker died: they come again in halves, then alone, until the deadly one is known and quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.domain.orders import Failure
from backend.domain.planner import LARGEST_BATCH
from backend.store import transitions
from backend.store.columns import now
from backend.store.feed_health import WORKER_DIED, quarantine
from backend.store.settlement import error_entry
from backend.store.tables import WorkItem
from backend.store.transitions import Change

DEATHS_ALLOWED = 3
SUSPECT = (
    WorkItem.id,
    WorkItem.feed_id,
    WorkItem.state,
    WorkItem.deaths,
    WorkItem.attempts,
    WorkItem.errors,
)


def come_again(
    session: Session, allocation_id: str, lost: Failure, actor: str, *, alone: bool, blames: bool
) -> None:
    """Give the unfinished items of a lost update allocation back to the planner.

    A death counts against the batch, not its items: only one that had its process for itself counts it. Unless the loss
    `blames` what was held, nothing is counted.
    """
    # The state is looked at here: as a condition, it lets the server walk and lock the items of others.
    rows = session.execute(
        select(*SUSPECT)
        .where(WorkItem.allocation_id == allocation_id)
        .order_by(WorkItem.id)
        .with_for_update()
    ).all()
    items = [row for row in rows if row.state == "assigned"]
    if blames and alone and len(items) == 1:
        _count_death(session, items[0], lost, actor)
        return
    change = Change(
        ("assigned",), "waiting", actor, "the worker of its batch died" if blames else lost.message
    )
    limit = {"batch_limit": _half(items)} if blames else {}
    ids = [item.id for item in items]
    transitions.move(session, WorkItem, ids, change, **limit, node_id=None, allocation_id=None)


def _half(items: Sequence[Any]) -> int:
    return min(max(1, len(items) // 2), LARGEST_BATCH)


def _count_death(session: Session, item: Any, lost: Failure, actor: str) -> None:
    deaths = item.deaths + 1
    values: dict[str, Any] = {
        "deaths": deaths,
        "batch_limit": 1,
        "errors": [*item.errors, error_entry(lost, item.attempts + 1)],
    }
    if deaths < DEATHS_ALLOWED:
        change = Change(("assigned",), "waiting", actor, f"its worker died ({deaths} of {DEATHS_ALLOWED})")
        transitions.move(session, WorkItem, [item.id], change, **values, node_id=None, allocation_id=None)
        return
    message = f"worker died {deaths} times while this feed was its only work; the last time: {lost.message}"
    ended = {"error_code": WORKER_DIED, "error_message": message, "ended_at": now()}
    change = Change(("assigned",), "failed", actor, message)
    transitions.move(session, WorkItem, [item.id], change, **values | ended)
    quarantine(session, item.feed_id, message)
