"""Publish tasks as people see them: filtered, paged, counted, and each with its whole story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.domain.attempts import Step
from backend.domain.errors import NotFound
from backend.store.account_health import ACCOUNTS, TASKS
from backend.store.allocation_views import timeline_of
from backend.store.columns import now
from backend.store.publish_ends import REPORTED
from backend.store.tables import Allocation, Node, User, core

ALLOCATIONS, NODES, USERS = core(Allocation), core(Node), core(User)
IN_FLIGHT = ("queued", "running")


@dataclass(frozen=True, slots=True)
class PublishFilter:
    """Which tasks; an `owner` sees only the own ones. The times bound when a task was made."""

    owner: str | None = None
    states: tuple[str, ...] = ()
    platform: str | None = None
    account_id: str | None = None
    group_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublishTaskView:
    """A publish task without its content. `node_id` is where it runs or waits to run."""

    id: str
    user_id: str
    user_name: str
    account_id: str
    account_name: str
    platform: str
    group_id: str | None
    title: str
    content_format: str
    cover: str
    tags: list[str]
    draft: bool
    priority: int
    state: str
    reason: str
    reason_code: str
    error_code: str
    error_message: str
    warnings: list[str]
    result_url: str
    platform_id: str
    draft_id: str
    submitted_at: datetime | None
    attempts: int
    cancel_requested: bool
    scheduled_at: datetime | None
    not_before: datetime | None
    allocation_id: str | None
    node_id: str | None
    node_name: str
    created_at: datetime
    admitted_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PublishStory:
    """A task with its article, its history (and the reports that came too late), its failed attempts and its allocations."""

    task: PublishTaskView
    content: str
    timeline: list[Step]
    late_reports: list[Step]
    errors: list[dict[str, Any]]
    allocation_ids: list[str]


@dataclass(frozen=True, slots=True)
class UserPublishing:
    """What a user has by state, in flight, admitted within the last minute, and submitted within the last 24 hours."""

    states: dict[str, int]
    in_flight: int
    admitted_last_minute: int
    submitted_last_day: int


def get_task(session: Session, task_id: str, owner: str | None = None) -> PublishTaskView:
    """The task. Raises `NotFound`, also for somebody else's."""
    where = [TASKS.c.id == task_id, *([] if owner is None else [TASKS.c.user_id == owner])]
    rows = _rows(session, where, 1, 0)
    if not rows:
        raise NotFound(noun="publish task", id=task_id)
    return _view(rows[0])


def get_tasks(session: Session, ids: Sequence[str]) -> dict[str, PublishTaskView]:
    """Those of the tasks that are there, by id."""
    return {row.id: _view(row) for row in _rows(session, [TASKS.c.id.in_(ids)], len(ids), 0)} if ids else {}


def show_task(session: Session, task_id: str, owner: str | None = None) -> PublishStory:
    """The task's whole story. Raises `NotFound`, also for somebody else's."""
    task = get_task(session, task_id, owner)
    row = session.execute(select(TASKS.c.content, TASKS.c.errors).where(TASKS.c.id == task_id)).one()
    allocations = select(ALLOCATIONS.c.id).where(ALLOCATIONS.c.task_id == task_id).order_by(ALLOCATIONS.c.id)
    return PublishStory(
        task=task,
        content=row.content or "",
        timeline=timeline_of(session, "publish_task", task_id),
        late_reports=timeline_of(session, REPORTED, task_id),
        errors=list(row.errors or []),
        allocation_ids=list(session.scalars(allocations)),
    )


def list_tasks(
    session: Session, which: PublishFilter, *, limit: int = 50, offset: int = 0
) -> tuple[list[PublishTaskView], int, dict[str, int]]:
    """The newest tasks, how many match, and how many there are by state, whichever states were asked for."""
    where = _where(which)
    counts = select(TASKS.c.state, func.count()).select_from(TASKS).where(*where).group_by(TASKS.c.state)
    totals = {row[0]: int(row[1]) for row in session.execute(counts)}
    asked = which.states or tuple(totals)
    total = sum(totals.get(state, 0) for state in set(asked))
    if which.states:
        where.append(TASKS.c.state.in_(which.states))
    return [_view(row) for row in _rows(session, where, limit, offset)], total, totals


def _where(which: PublishFilter) -> list[ColumnElement[bool]]:
    columns = (
        ("user_id", which.owner),
        ("platform", which.platform),
        ("account_id", which.account_id),
        ("group_id", which.group_id),
    )
    where: list[ColumnElement[bool]] = [
        TASKS.c[name] == value for name, value in columns if value is not None
    ]
    if which.created_after is not None:
        where.append(TASKS.c.created_at >= which.created_after)
    if which.created_before is not None:
        where.append(TASKS.c.created_at < which.created_before)
    return where


HIDDEN = frozenset(
    ("content", "active_account_id", "fingerprint", "known_ids", "key", "confirmations", "errors")
)
SHOWN = [column for column in TASKS.c if column.name not in HIDDEN]


def _rows(session: Session, where: Sequence[ColumnElement[bool]], limit: int, offset: int) -> Sequence[Any]:
    query = (
        select(
            *SHOWN,
            func.coalesce(USERS.c.name, "").label("user_name"),
            func.coalesce(ACCOUNTS.c.name, "").label("account_name"),
            ALLOCATIONS.c.node_id.label("node_id"),
            func.coalesce(NODES.c.name, "").label("node_name"),
        )
        .outerjoin(USERS, USERS.c.id == TASKS.c.user_id)
        .outerjoin(ACCOUNTS, ACCOUNTS.c.id == TASKS.c.account_id)
        .outerjoin(ALLOCATIONS, ALLOCATIONS.c.id == TASKS.c.allocation_id)
        .outerjoin(NODES, NODES.c.id == ALLOCATIONS.c.node_id)
        .where(*where)
        .order_by(TASKS.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return session.execute(query).all()


def _view(row: Any) -> PublishTaskView:
    values = row._asdict()
    for name, empty in (("tags", []), ("warnings", []), ("error_message", ""), ("draft_id", "")):
        values[name] = values[name] or empty
    return PublishTaskView(**values)


def user_publishing(session: Session, user_id: str) -> UserPublishing:
    """What a user has of publish tasks now."""
    mine = TASKS.c.user_id == user_id
    counts = select(TASKS.c.state, func.count()).where(mine).group_by(TASKS.c.state)
    states = {row[0]: int(row[1]) for row in session.execute(counts)}
    recent = select(func.count()).where(mine, TASKS.c.admitted_at > now(-60.0))
    submitted = select(func.count()).where(mine, TASKS.c.submitted_at > now(-86_400.0))
    return UserPublishing(
        states=states,
        in_flight=sum(states.get(state, 0) for state in IN_FLIGHT),
        admitted_last_minute=session.scalar(recent) or 0,
        submitted_last_day=session.scalar(submitted) or 0,
    )
