"""What failed, for people: the newest failures of each noun, grouped by what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.domain.failures import FailedWork, FailureGroup, grouped
from backend.store.tables import Allocation, Delivery, WorkItem

NOUNS: dict[str, Any] = {"item": WorkItem, "delivery": Delivery, "allocation": Allocation}
BAD_STATES = {"item": ("failed",), "delivery": ("failed", "unconfirmed"), "allocation": ("failed",)}
NEWEST = 10_000


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which failures; the times bound when they ended. Without a noun: items, deliveries and allocations."""

    noun: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    error_code: str | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failures:
    """Groups, and how many failures they are made of; `complete` is False when only the newest were looked at."""

    groups: list[FailureGroup]
    looked_at: int
    complete: bool


def group_failures(session: Session, wanted: FailureFilter, newest: int = NEWEST) -> Failures:
    """The failures that match, grouped; of each noun at most the `newest` made last."""
    nouns = [wanted.noun] if wanted.noun else list(NOUNS)
    found = {noun: list(_failed(session, noun, wanted, newest + 1)) for noun in nouns}
    complete = all(len(some) <= newest for some in found.values())
    looked_at = [one for some in found.values() for one in some[:newest]]
    return Failures(grouped(looked_at), len(looked_at), complete)


def _failed(session: Session, noun: str, wanted: FailureFilter, limit: int) -> Iterator[FailedWork]:
    for status in BAD_STATES[noun]:
        table = NOUNS[noun]
        feed_id = None if table is Allocation else table.feed_id
        columns = [table.id, table.error_code, table.error_message, table.reason, table.ended_at]
        columns += [table.created_at, table.task_id, table.run_id, *([] if feed_id is None else [feed_id])]
        query = select(*columns).where(table.state == status, *_conditions(table, wanted))
        for row in session.execute(query.order_by(table.id.desc()).limit(limit)):
            yield FailedWork(
                noun=noun,
                id=row.id,
                error_code=row.error_code,
                message=row.error_message or row.reason,
                at=row.ended_at or row.created_at,
                task_id=row.task_id,
                run_id=row.run_id,
                feed_id=None if feed_id is None else row.feed_id,
                state=status,
            )


def _conditions(table: Any, wanted: FailureFilter) -> list[ColumnElement[bool]]:
    equal = (
        (table.task_id, wanted.task_id),
        (table.run_id, wanted.run_id),
        (table.error_code, wanted.error_code),
    )
    found: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if wanted.run_id is None:
        # Always so for what has ended, and with it the index of the state is in the order of ids.
        waits = table.lease_until if table is Allocation else table.not_before
        found.append(waits.is_(None))
    if wanted.ended_after is not None:
        found.append(table.ended_at >= wanted.ended_after)
    if wanted.ended_before is not None:
        found.append(table.ended_at < wanted.ended_before)
    return found
