"""Publish and account work whose worker is lost, or whose node is gone: again, to be confirmed, or ended truly.

A lost allocation that is tried again keeps its account's slot. One that ends frees it, although the process that had it may only be
frozen: see `publish_work`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from backend.domain.messages import render
from backend.domain.publish_endings import (
    Again,
    Cancel,
    Fail,
    PublishPolicy,
    Standpoint,
    Unconfirmed,
    after_loss,
)
from backend.domain.publishing import Errand
from backend.store import account_health, publish_ends, transitions
from backend.store.account_health import ACCOUNTS, TASKS
from backend.store.columns import now
from backend.store.publish_ends import ALLOCATIONS, lock_task
from backend.store.tables import Allocation, PublishTask
from backend.store.transitions import Change

if TYPE_CHECKING:
    from backend.store.recovery import Expired

SWEEPER = "sweeper"
LEASED = ("claimed", "executing")
POLICY = PublishPolicy()
Lost = Again | Fail | Unconfirmed | Cancel


def recover(session: Session, lost: Expired) -> bool:
    """Recover one publish allocation; False when somebody was faster or its worker came back."""
    allocation = _lock_lost(session, lost.allocation_id, lost.still_holds())
    if allocation is None:
        return False
    task = lock_task(session, allocation.id)
    if task is None or task.state != "running":
        # It was claimed and never begun, or nobody wants it any more.
        change = Change(LEASED, "cancelled", SWEEPER, f"lost: {lost.cause}")
        publish_ends.end_allocation(session, allocation, change)
        _wait_again(session, allocation, SWEEPER, lost.cause)
        return True
    standpoint = _standpoint(allocation, task)
    ending = after_loss(POLICY, standpoint, lost.cause)
    _apply(session, allocation, task, ending, standpoint, lost.cause)
    return True


def _lock_lost(session: Session, allocation_id: str, guards: tuple[ColumnElement[bool], ...]) -> Any:
    query = select(ALLOCATIONS).where(
        ALLOCATIONS.c.id == allocation_id, ALLOCATIONS.c.state.in_(LEASED), *guards
    )
    return session.execute(query.with_for_update()).first()


def _standpoint(allocation: Any, task: Any) -> Standpoint:
    mark, started = task.submitted_at, allocation.started_at
    before = mark is not None and (started is None or mark < started)
    return Standpoint(
        submitted_at=mark,
        submitted_now=mark is not None and not before,
        executions=task.attempts + 1,
        confirmations=task.confirmations + before,
        cancel_requested=bool(task.cancel_requested or allocation.cancel_requested),
    )


def _apply(
    session: Session, allocation: Any, task: Any, ending: Lost, standpoint: Standpoint, cause: str
) -> None:
    counted = {"attempts": standpoint.executions, "confirmations": standpoint.confirmations}
    if isinstance(ending, Again):
        # Whoever cancelled came too late for what was submitted: a person must hear how it ended.
        asked = {"cancel_requested": False} if standpoint.submitted_at is not None else {}
        _next_attempt(session, allocation, cause, **asked)
        reason = {"reason": ending.message[:500], "reason_code": ending.code}
        session.execute(update(TASKS).where(TASKS.c.id == task.id).values(**counted, **reason, **asked))
        return
    target = "cancelled" if isinstance(ending, Cancel) else "failed"
    change = Change(LEASED, target, SWEEPER, f"lost: {cause}")
    lost = {} if isinstance(ending, Cancel) else {"error_code": "lost", "error_message": cause}
    publish_ends.end_allocation(session, allocation, change, execution=None, **lost)
    publish_ends.move_task(session, task, None, ending, SWEEPER, **counted)


def _next_attempt(session: Session, allocation: Any, cause: str, **values: Any) -> None:
    transitions.move(
        session,
        Allocation,
        [allocation.id],
        Change(LEASED, "pending", SWEEPER, f"lost: {cause}"),
        attempt=allocation.attempt + 1,
        execution=None,
        lease_until=None,
        updated_at=now(),
        **values,
    )


def recover_errand(session: Session, lost: Expired, *, spent: bool) -> bool:
    """Recover one account allocation; when its attempts are spent it ends, and the account is looked at later.

    A login that was begun is not tried again: it may have typed a password in, and what killed its worker may kill the next one.
    """
    allocation = _lock_lost(session, lost.allocation_id, lost.still_holds())
    if allocation is None:
        return False
    was_login = allocation.errand == Errand.LOGIN and allocation.state == "executing"
    if not spent and not was_login:
        _next_attempt(session, allocation, lost.cause)
        return True
    change = Change(LEASED, "failed", SWEEPER, f"lost: {lost.cause}")
    publish_ends.end_allocation(
        session, allocation, change, execution=None, error_code="lost", error_message=lost.cause
    )
    session.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.id == allocation.account_id)
        .values(check_due_at=now(POLICY.recheck_seconds), login_prompt=None, login_prompt_until=None)
    )
    if was_login:
        account_health.want_person(session, allocation, "login_lost", render("login_lost", "en", {}))
    return True


def replan(session: Session, allocation_id: str, actor: str, why: str) -> None:
    """The task or errand of an allocation that the transaction has ended waits for another one.

    An account that belongs to the node that is gone keeps it waiting until that node is back: admission says so.
    """
    query = select(ALLOCATIONS).where(ALLOCATIONS.c.id == allocation_id)
    allocation = session.execute(query).first()
    if allocation is not None:
        _wait_again(session, allocation, actor, why)


def _wait_again(session: Session, allocation: Any, actor: str, why: str) -> None:
    if allocation.kind == "account":
        publish_ends.want_again(session, allocation)
        return
    task = lock_task(session, allocation.id)
    if task is not None:
        change = Change(publish_ends.CARRIED, "pending", actor, why)
        values = {"reason_code": "replanned", "allocation_id": None}
        transitions.move(session, PublishTask, [task.id], change, **values)
