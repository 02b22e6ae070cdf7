"""What may not be as it is in publishing: tasks without work, work without its task, slots and prompts that nobody needs.

Found without locks, changed by key, repeating the condition: whoever comes second changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, exists, select, update
from sqlalchemy.orm import Session

from backend.domain.states import ALLOCATION
from backend.store import publish_ends, transitions
from backend.store.account_health import ACCOUNTS
from backend.store.columns import now
from backend.store.publish_ends import ALLOCATIONS, CARRIED
from backend.store.tables import Allocation, PublishTask, core
from backend.store.transitions import Change

SWEEPER = "sweeper"
TASKS = core(PublishTask)
AT_ONCE = 200
OPEN = tuple(sorted(ALLOCATION.states - ALLOCATION.finals))


def workless(session: Session) -> list[str]:
    """Queued and running tasks that no open allocation carries."""
    query = select(TASKS.c.id).where(TASKS.c.state.in_(CARRIED), ~_carried()).limit(AT_ONCE)
    return list(session.scalars(query))


def _carried() -> ColumnElement[bool]:
    return exists().where(
        ALLOCATIONS.c.id == TASKS.c.allocation_id,
        ALLOCATIONS.c.state.in_(OPEN),
        ALLOCATIONS.c.kind == "publish",
    )


def wait_again(session: Session, ids: Sequence[str]) -> int:
    """They wait for another allocation; what was submitted is then confirmed, as always."""
    change = Change(CARRIED, "pending", SWEEPER, "nothing carried it any more")
    values: dict[str, Any] = {"reason_code": "replanned", "allocation_id": None}
    return transitions.move(session, PublishTask, sorted(ids), change, ~_carried(), **values)


def taskless(session: Session) -> list[str]:
    """Pending publish allocations whose task has gone on without them."""
    query = select(ALLOCATIONS.c.id).where(
        ALLOCATIONS.c.active_account_id.is_not(None), *_pending_publish(), ~_has_task()
    )
    return list(session.scalars(query.limit(AT_ONCE)))


def _pending_publish() -> tuple[ColumnElement[bool], ...]:
    return ALLOCATIONS.c.state == "pending", ALLOCATIONS.c.kind == "publish"


def _has_task() -> ColumnElement[bool]:
    return exists().where(TASKS.c.allocation_id == ALLOCATIONS.c.id, TASKS.c.state.in_(CARRIED))


def end_taskless(session: Session, ids: Sequence[str]) -> int:
    """End them, which frees their accounts' slots."""
    ended = 0
    change = Change(("pending",), "cancelled", SWEEPER, "its publish task wants it no longer")
    for one in sorted(ids):
        allocation = publish_ends.lock_allocation(session, one)
        task = publish_ends.lock_task(session, one)
        if allocation is not None and (task is None or task.state not in CARRIED):
            ended += publish_ends.end_allocation(session, allocation, change)
    return ended


def kept_slots(session: Session) -> list[str]:
    """Allocations that have ended and keep their account's slot."""
    ended = ALLOCATIONS.c.state.in_(sorted(ALLOCATION.finals))
    query = select(ALLOCATIONS.c.id).where(ALLOCATIONS.c.active_account_id.is_not(None), ended)
    return list(session.scalars(query.limit(AT_ONCE)))


def free_slots(session: Session, ids: Sequence[str]) -> int:
    """Free them."""
    ended = Allocation.state.in_(sorted(ALLOCATION.finals))
    statement = update(ALLOCATIONS).where(ALLOCATIONS.c.id.in_(sorted(ids)), ended)
    return _changed(session, statement.values(active_account_id=None))


def old_prompts(session: Session) -> list[str]:
    """Accounts with a login prompt whose time is over."""
    query = select(ACCOUNTS.c.id).where(ACCOUNTS.c.login_prompt_until <= now())
    return list(session.scalars(query.limit(AT_ONCE)))


def forget_prompts(session: Session, ids: Sequence[str]) -> int:
    """Forget them: nobody can log in with one any more."""
    over = (ACCOUNTS.c.id.in_(sorted(ids)), ACCOUNTS.c.login_prompt_until <= now())
    return _changed(session, update(ACCOUNTS).where(*over).values(login_prompt=None, login_prompt_until=None))


def _changed(session: Session, statement: Any) -> int:
    return int(cast("CursorResult[Any]", session.execute(statement)).rowcount)
