"""How publish and account allocations end in the store, and what their task becomes in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.messages import render
from backend.domain.orders import Outcome
from backend.domain.publish_endings import (
    Again,
    Cancel,
    Ending,
    Fail,
    Hold,
    Standpoint,
    Succeed,
    Unconfirmed,
)
from backend.domain.publishing import web_address
from backend.store import transitions
from backend.store.account_health import ACCOUNTS, TASKS, why_held
from backend.store.columns import now
from backend.store.settlement import error_entry
from backend.store.tables import Allocation, PublishTask, core
from backend.store.transitions import Change

WORKER = "worker"
BEGUN = ("executing",)
CARRIED = ("queued", "running")
ERRORS_KEPT = 20
REPORTED = "publish_report"
"""The noun under which the history keeps reports that came too late."""
ALLOCATIONS = core(Allocation)
UNMARKED: dict[str, Any] = {"submitted_at": None, "known_ids": None, "confirmations": 0}


def lock_allocation(session: Session, allocation_id: str) -> Any:
    """The allocation's row with a lock: every look at what it carries comes after it."""
    query = select(ALLOCATIONS).where(ALLOCATIONS.c.id == allocation_id)
    return session.execute(query.with_for_update()).first()


def lock_task(session: Session, allocation_id: str) -> Any:
    """The publish task that the allocation carries, with a lock."""
    query = select(TASKS).where(TASKS.c.allocation_id == allocation_id)
    return session.execute(query.with_for_update()).first()


def end_allocation(session: Session, allocation: Any, change: Change, **values: Any) -> int:
    """End the allocation, which the transaction has locked, and free its account's slot; how many moved."""
    freed = {"active_account_id": None, "lease_until": None, "ended_at": now(), "updated_at": now()}
    return transitions.move(session, Allocation, [allocation.id], change, **freed, **values)


def give_back(
    session: Session,
    allocation: Any,
    task: Any,
    target: str,
    code: str,
    reason: str,
    not_before: datetime | None = None,
) -> None:
    """Work that was begun and may not go on now: its allocation ends, its task is `held` or `pending` for that reason."""
    end_allocation(session, allocation, Change(BEGUN, "cancelled", "begin", f"given back: {reason}"))
    change = Change(CARRIED, target, "begin", reason)
    values = {"reason_code": code, "not_before": not_before, "allocation_id": None}
    transitions.move(session, PublishTask, [task.id], change, **values)


def drop(
    session: Session, allocation: Any, task: Any, *, gone: bool = False, settled_by: str | None = None
) -> None:
    """Work that nobody wants any more, or whose account was deleted."""
    reason = render("account_gone", "en", {}) if gone else "its publish task wants it no longer"
    change = Change(BEGUN, "cancelled", "begin", reason)
    end_allocation(session, allocation, change, **({"settled_by": settled_by} if settled_by else {}))
    if task is not None:
        values = {"error_code": "account_gone", "error_message": reason, "completed_at": now()}
        transitions.move(
            session, PublishTask, [task.id], Change(("running",), "failed", "begin", reason), **values
        )
        transitions.move(
            session, PublishTask, [task.id], Change(("queued",), "cancelled", "begin", reason), **values
        )


def want_again(session: Session, allocation: Any) -> None:
    """The errand was not done and is wanted still."""
    session.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.id == allocation.account_id, ACCOUNTS.c.errand_wanted.is_(None))
        .values(errand_wanted=allocation.errand)
    )


def end_errand(session: Session, allocation: Any, outcome: Outcome) -> None:
    """End account work."""
    if allocation.cancel_requested or outcome.handed_back:
        reason = "cancelled on request" if allocation.cancel_requested else "handed back by its worker"
        change = Change(BEGUN, "cancelled", WORKER, reason)
    elif outcome.failure is not None:
        change = Change(BEGUN, "failed", WORKER, outcome.failure.message)
    else:
        change = Change(BEGUN, "completed", WORKER, "the work ran to its end")
    end_allocation(session, allocation, change, settled_by=outcome.execution, **_failure(outcome))


def _failure(outcome: Outcome) -> dict[str, Any]:
    if outcome.failure is None:
        return {}
    return {"error_code": outcome.failure.code[:64], "error_message": outcome.failure.message}


def end(
    session: Session,
    allocation: Any,
    account: Any,
    task: Any,
    outcome: Outcome,
    ending: Ending,
    standpoint: Standpoint,
) -> None:
    """End the allocation of an execution that has reported, and move its task as was decided."""
    if isinstance(ending, Cancel):
        change = Change(BEGUN, "cancelled", WORKER, "cancelled on request")
    elif standpoint.handed_back:
        change = Change(BEGUN, "cancelled", WORKER, "handed back by its worker")
    else:
        change = Change(BEGUN, "completed", WORKER, "the work ran to its end")
    end_allocation(session, allocation, change, settled_by=outcome.execution, **_failure(outcome))
    move_task(session, task, account, ending, WORKER, **_counted(task, outcome, standpoint))


def _counted(task: Any, outcome: Outcome, standpoint: Standpoint) -> dict[str, Any]:
    """What the report adds to the task, whatever its end."""
    values: dict[str, Any] = {
        "attempts": standpoint.executions,
        "confirmations": standpoint.confirmations,
    }
    report, failure = outcome.publish, outcome.failure
    if failure is not None:
        entry = error_entry(failure, standpoint.executions)
        values |= {
            "errors": [*(task.errors or []), entry][-ERRORS_KEPT:],
            **_error(failure.code, failure.message),
        }
    if report is not None and report.warnings:
        values["warnings"] = list(dict.fromkeys((*(task.warnings or []), *report.warnings)))
    if report is not None and report.submitted and task.submitted_at is None:
        # Its checkpoint can't have been refused, or it would not have called: the mark is set late rather than never.
        values["submitted_at"] = now()
    return values


def move_task(session: Session, task: Any, account: Any, ending: Ending, actor: str, **counted: Any) -> int:
    """Move a running task as was decided; how many moved."""
    target, reason, values = _as_columns(account, ending)
    change = Change(("running",), target, actor, reason)
    return transitions.move(session, PublishTask, [task.id], change, **(counted | values))


def _as_columns(account: Any, ending: Ending) -> tuple[str, str, dict[str, Any]]:
    """The task's next state, its reason, and what else changes."""
    ended: dict[str, Any] = {"reason_code": "", "not_before": None, "completed_at": now()}
    match ending:
        case Succeed(published):
            where = {"platform_id": published.platform_id[:255], "result_url": web_address(published.url)}
            return "success", published.note, ended | where | _error("", "")
        case Fail(code, message, clear_mark):
            return "failed", message, ended | _error(code, message) | (UNMARKED if clear_mark else {})
        case Unconfirmed(code, message):
            return "unconfirmed", message, ended | _error(code, message)
        case Cancel():
            return "cancelled", "cancelled on request", ended
        case Hold():
            why = why_held(account)
            waits = {"reason_code": why.code, "not_before": None, "allocation_id": None}
            return "held", why.sentence(), waits
        case Again():
            return "pending", ending.message, _again(ending)
        case _:
            assert_never(ending)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error_code": code[:64], "error_message": message}


def _again(ending: Again) -> dict[str, Any]:
    values: dict[str, Any] = {
        "reason_code": ending.code[:64],
        "not_before": now(ending.seconds) if ending.seconds > 0 else None,
        "allocation_id": None,
    }
    return values | (UNMARKED if ending.clear_mark else {})
