"""Waits that are over, and waits that are too long: found without locks, changed by key, repeating the condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, func, select, true, update
from sqlalchemy.orm import Session

from backend.domain.messages import render
from backend.domain.retry import MAXIMUM_WAIT_SECONDS
from backend.store import transitions
from backend.store.columns import now
from backend.store.tables import Delivery, Feed, Host, WorkItem
from backend.store.transitions import Change

SWEEPER = "sweeper"
BATCH = 200
Waiting = type[WorkItem] | type[Delivery]


def due(session: Session, table: Waiting) -> list[str]:
    """Backed-off rows of the table whose `not_before` has come, the one that waits longest first."""
    return list(
        session.scalars(
            select(table.id)
            .where(table.state == "waiting", table.not_before <= now())
            .order_by(table.not_before)
            .limit(BATCH)
        )
    )


def release(session: Session, table: Waiting, ids: Sequence[str]) -> int:
    """They wait for nothing but their turn again; how many."""
    statement = (
        update(table)
        .where(table.id.in_(sorted(ids)), table.state == "waiting", table.not_before <= now())
        .values(not_before=None, reason="waits for its next attempt")
    )
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


@dataclass(frozen=True, slots=True)
class Held:
    """A waiting item of a host that is to be left alone for longer than a run waits."""

    item_id: str
    feed_id: str
    host: str
    until: datetime


def held(session: Session) -> list[Held]:
    """Waiting items of hosts that are to be left alone for longer than a run waits, oldest first."""
    rows = session.execute(
        select(WorkItem.id, WorkItem.feed_id, Host.name, Host.held_until)
        .join(Host, Host.name == WorkItem.host)
        .where(WorkItem.state == "waiting", Host.held_until > now(MAXIMUM_WAIT_SECONDS))
        .order_by(WorkItem.id)
        .limit(BATCH)
    )
    return [Held(*row) for row in rows]


def give_up(session: Session, items: Sequence[Held]) -> int:
    """End those that still wait; schedules leave their feeds out until then. How many."""
    ended = 0
    for host, until in sorted({(one.host, one.until) for one in items}):
        message = render("host_held", "en", {"host": host, "moment": f"{until:%Y-%m-%d %H:%M:%S} UTC"})
        of_host = [one for one in items if one.host == host]
        change = Change(("waiting",), "failed", SWEEPER, message)
        values = {"error_code": "host_held", "error_message": message, "not_before": None, "ended_at": now()}
        ids = sorted(one.item_id for one in of_host)
        ended += transitions.move(session, WorkItem, ids, change, **values)
        session.execute(
            update(Feed)
            .where(
                Feed.id.in_(sorted(one.feed_id for one in of_host)),
                func.coalesce(Feed.next_check_at < until, true()),
            )
            .values(next_check_at=until),
            execution_options={"synchronize_session": False},
        )
    return ended
