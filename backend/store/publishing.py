"""Publish tasks as people make and change them: create, cancel, try again, say how it ended, clear away.

Lock order: allocation, account, publish task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError, Conflict, NotFound
from backend.domain.publishing import Manuscript, web_address
from backend.domain.why import Why
from backend.store import publish_ends, transitions
from backend.store.account_health import TASKS, lock_account, may_publish, why_held
from backend.store.columns import now
from backend.store.tables import Allocation, History, PublishTask, core
from backend.store.transitions import Change

ALLOCATIONS, HISTORY = core(Allocation), core(History)
CLEARABLE = ("success", "failed", "cancelled")
CLEARED_AT_ONCE = 500
FRESH: dict[str, Any] = {
    "attempts": 0,
    "confirmations": 0,
    "not_before": None,
    "allocation_id": None,
    "cancel_requested": False,
    "reason_code": "",
    "error_code": "",
    "error_message": None,
    "errors": None,
    "completed_at": None,
}


@dataclass(frozen=True, slots=True)
class NewPublish:
    """An article that somebody wants on an account's platform. `platform`, where it is given, must be the account's.

    `force`: also when the account was given the same article before.
    """

    account_id: str
    manuscript: Manuscript
    platform: str | None = None
    scheduled_at: datetime | None = None
    priority: int = 0
    group_id: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a cancel: `cancelled`, or `cancel_requested` of work that runs; and the task's state now."""

    task_id: str
    outcome: str
    state: str


def fingerprint(manuscript: Manuscript) -> str:
    """The same for the same article, whoever submits it how often."""
    parts = (manuscript.title.strip(), manuscript.content.strip(), "draft" if manuscript.draft else "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def create_tasks(
    session: Session,
    user_id: str,
    wanted: Mapping[str, NewPublish],
    *,
    force: bool = False,
    owner: str | None = None,
) -> dict[str, CascadeError | None]:
    """Add the tasks, each by its id, drawn before the transaction; by id, why one was refused, or `None`.

    Refused is what an earlier task of the account has already (`publish_duplicate`, unless `force`), and accounts that
    are not the `owner`'s. Repeated with the same ids, it changes nothing.
    """
    accounts = {
        one: lock_account(session, one) for one in sorted({new.account_id for new in wanted.values()})
    }
    known = set(session.scalars(select(TASKS.c.id).where(TASKS.c.id.in_(wanted))))
    found: dict[str, CascadeError | None] = {}
    for task_id, new in wanted.items():
        account = accounts[new.account_id]
        refusal = None if task_id in known else _refusal(session, account, new, force=force, owner=owner)
        found[task_id] = refusal
        if refusal is None and task_id not in known:
            _create(session, task_id, user_id, account, new)
    return found


def _refusal(
    session: Session, account: Any, new: NewPublish, *, force: bool, owner: str | None
) -> CascadeError | None:
    if account is None or (owner is not None and account.user_id != owner):
        return NotFound(noun="account", id=new.account_id)
    if new.platform is not None and new.platform != account.platform:
        return Conflict(
            "publish_wrong_platform", name=account.name, platform=account.platform, asked=new.platform
        )
    earlier = None if force or new.force else _same(session, new)
    if earlier is None:
        return None
    return Conflict("publish_duplicate", id=earlier.id, state=earlier.state, existing_id=earlier.id)


def _same(session: Session, new: NewPublish) -> Any:
    query = (
        select(TASKS.c.id, TASKS.c.state)
        .where(
            TASKS.c.account_id == new.account_id,
            TASKS.c.fingerprint == fingerprint(new.manuscript),
            TASKS.c.state.not_in(("failed", "cancelled")),
        )
        .order_by(TASKS.c.id.desc())
        .limit(1)
    )
    return session.execute(query).first()


def _create(session: Session, task_id: str, user_id: str, account: Any, new: NewPublish) -> None:
    one = new.manuscript
    row = {
        "id": task_id,
        "user_id": user_id,
        "account_id": account.id,
        "platform": account.platform,
        "group_id": new.group_id,
        "title": one.title,
        "content": one.content,
        "content_format": one.content_format,
        "cover": one.cover,
        "tags": list(one.tags),
        "draft": one.draft,
        "priority": new.priority,
        "scheduled_at": new.scheduled_at,
        "not_before": new.scheduled_at,
        "fingerprint": fingerprint(one),
        "key": task_id,
    }
    reason = "waits for its turn"
    if new.scheduled_at is not None:
        why = Why("why_publish_scheduled", {"moment": new.scheduled_at})
        row["reason_code"], reason = why.code, why.sentence()
    transitions.create(session, PublishTask, [row], f"user {user_id}", reason)
    _hold_if_needed(session, account, [task_id], f"user {user_id}")


def _hold_if_needed(session: Session, account: Any, ids: Sequence[str], actor: str) -> None:
    if not may_publish(account):
        why = why_held(account)
        change = Change(("pending",), "held", actor, why.sentence())
        transitions.move(session, PublishTask, ids, change, reason_code=why.code)


def _locked(session: Session, task_id: str, owner: str | None) -> tuple[Any, Any]:
    """The task and its allocation, if it has one, locked in the order of locks. Raises `NotFound`."""
    query = select(TASKS).where(TASKS.c.id == task_id)
    task = session.execute(query).first()
    while True:
        if task is None or (owner is not None and task.user_id != owner):
            raise NotFound(noun="publish task", id=task_id)
        allocation = _lock_allocation(session, task.allocation_id)
        before, task = task, session.execute(query.with_for_update()).first()
        # It may have got another allocation between the two locks.
        if task is not None and task.allocation_id == before.allocation_id:
            return task, allocation


def _lock_allocation(session: Session, allocation_id: str | None) -> Any:
    if allocation_id is None:
        return None
    query = select(ALLOCATIONS).where(ALLOCATIONS.c.id == allocation_id)
    return session.execute(query.with_for_update()).first()


def cancel(session: Session, task_id: str, actor: str, *, owner: str | None = None) -> Cancelled:
    """End what waits at once; ask what runs to stop. Again, it changes nothing.

    Raises `NotFound`, and `Conflict` once it has ended or was submitted: exactly one of this and the submission wins,
    because both lock the allocation.
    """
    task, allocation = _locked(session, task_id, owner)
    if task.state == "cancelled":
        return Cancelled(task_id, "cancelled", task.state)
    if task.state in ("success", "failed"):
        raise Conflict("publish_ended", id=task_id, state=task.state)
    if task.submitted_at is not None or task.state == "unconfirmed":
        raise Conflict("publish_submitted", id=task_id)
    if allocation is not None and allocation.state == "executing":
        _ask_to_stop(session, task_id, allocation.id)
        return Cancelled(task_id, "cancel_requested", task.state)
    reason = f"cancelled by {actor}"
    if allocation is not None:
        publish_ends.end_allocation(
            session, allocation, Change(("pending", "claimed"), "cancelled", actor, reason)
        )
    change = Change(("pending", "held", "queued", "running"), "cancelled", actor, reason)
    ended = {"reason_code": "", "not_before": None, "completed_at": now()}
    transitions.move(session, PublishTask, [task_id], change, **ended)
    return Cancelled(task_id, "cancelled", "cancelled")


def _ask_to_stop(session: Session, task_id: str, allocation_id: str) -> None:
    session.execute(
        update(ALLOCATIONS)
        .where(ALLOCATIONS.c.id == allocation_id, ALLOCATIONS.c.state == "executing")
        .values(cancel_requested=True, updated_at=now())
    )
    session.execute(update(TASKS).where(TASKS.c.id == task_id).values(cancel_requested=True))


def retry(session: Session, task_id: str, actor: str, *, owner: str | None = None) -> None:
    """Put a failed task back to wait with all its attempts before it. One that was submitted is confirmed first.

    Raises `NotFound`, and `Conflict` when it has not failed or its account was deleted.
    """
    account, task = _locked_with_account(session, task_id, owner)
    if task.state != "failed":
        raise Conflict("publish_not_failed", id=task_id, state=task.state)
    _wait_again(session, account, task, "failed", actor, f"tried again by {actor}")


def confirm(
    session: Session, task_id: str, actor: str, *, published: bool, url: str = "", owner: str | None = None
) -> None:
    """A person has looked at the platform: the article is there, or it shall be published again, which clears the mark.

    Also of one that was submitted and is held: its login may never come back. Raises `NotFound`, and `Conflict` when there is
    no doubt about it or its account was deleted.
    """
    account, task = _locked_with_account(session, task_id, owner)
    if task.state != "unconfirmed" and (task.state != "held" or task.submitted_at is None):
        raise Conflict("publish_not_unconfirmed", id=task_id, state=task.state)
    if published:
        change = Change((task.state,), "success", actor, f"{actor} says that it is there")
        values = {"result_url": web_address(url) or task.result_url, "error_code": "", "error_message": None}
        transitions.move(session, PublishTask, [task_id], change, **values, completed_at=now())
        return
    reason = f"{actor} says that it is not there and shall be published again"
    _wait_again(session, account, task, task.state, actor, reason, submitted_at=None, known_ids=None)


def _locked_with_account(session: Session, task_id: str, owner: str | None) -> tuple[Any, Any]:
    """The task's account, if it is there still, and the task, in the order of locks. What has ended has no allocation to lock."""
    query = select(TASKS).where(TASKS.c.id == task_id)
    before = session.execute(query).first()
    if before is None or (owner is not None and before.user_id != owner):
        raise NotFound(noun="publish task", id=task_id)
    account = lock_account(session, before.account_id)
    task = session.execute(query.with_for_update()).first()
    if task is None:
        raise NotFound(noun="publish task", id=task_id)
    return account, task


def _wait_again(
    session: Session, account: Any, task: Any, source: str, actor: str, reason: str, **values: Any
) -> None:
    if account is None:
        raise Conflict("account_gone")
    change = Change((source,), "pending", actor, reason)
    transitions.move(session, PublishTask, [task.id], change, **(FRESH | values))
    _hold_if_needed(session, account, [task.id], actor)


def clear(
    session: Session,
    *,
    owner: str | None = None,
    ids: Sequence[str] | None = None,
    states: Sequence[str] = CLEARABLE,
) -> int:
    """Delete tasks that have ended, with their history; how many, at most 500 at once. What is unconfirmed stays."""
    query = select(TASKS.c.id).where(TASKS.c.state.in_(sorted(set(states) & set(CLEARABLE))))
    if ids is not None:
        query = query.where(TASKS.c.id.in_(sorted(ids)))
    if owner is not None:
        query = query.where(TASKS.c.user_id == owner)
    gone = session.scalars(query.order_by(TASKS.c.id).limit(CLEARED_AT_ONCE).with_for_update()).all()
    forget_tasks(session, gone)
    return len(gone)


def forget_tasks(session: Session, ids: Sequence[str]) -> None:
    """Delete the rows and what is recorded of them."""
    if ids:
        session.execute(delete(TASKS).where(TASKS.c.id.in_(ids)))
        nouns = (transitions.NOUNS[PublishTask], publish_ends.REPORTED)
        session.execute(delete(HISTORY).where(HISTORY.c.noun.in_(nouns), HISTORY.c.subject_id.in_(ids)))
