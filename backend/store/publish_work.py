"""Publish and account work: its order (phase 1), its checkpoints, and what its outcome brings (phase 3).

An account's one slot is `allocations.active_account_id`. It is freed when the allocation ends and never before: while the allocation is
pending, claimed or executing, an execution may be alive. When a lease is over and the work ends for good, the slot may be freed
although a frozen process may still wake up: right before each call that can't be repeated a process checks its own
deadline, which is shorter than its lease, so it makes none any more; and what it reports is refused.

Lock order: allocation, account, publish task.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.messages import render
from backend.domain.orders import Outcome
from backend.domain.pacing import pace_of
from backend.domain.ports import Standing
from backend.domain.publish_endings import (
    HEALTH_OF,
    PublishPolicy,
    Standpoint,
    Told,
    decide,
    learnt,
    mode_of,
)
from backend.domain.publishing import (
    AccountOrder,
    CredentialKind,
    Credentials,
    Errand,
    Health,
    Manuscript,
    Mode,
    PublishOrder,
)
from backend.store import publish_ends, transitions
from backend.store.account_health import (
    ACCOUNTS,
    TASKS,
    apply_verdict,
    clock,
    lock_account,
    may_publish,
    unsealed,
    want_person,
    why_held,
)
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.publish_ends import ALLOCATIONS, lock_allocation, lock_task
from backend.store.publish_pace import usage
from backend.store.session import count_on_commit
from backend.store.tables import PublishTask
from backend.store.transitions import Change

WORKER = "worker"
PUBLISH, ACCOUNT = "publish", "account"


@dataclass(frozen=True, slots=True)
class PublishTerms:
    """With which keys and within which limits publish and account work is given out and taken back."""

    cipher: Cipher
    policy: PublishPolicy = field(default_factory=PublishPolicy)


def publish_order(session: Session, terms: PublishTerms, allocation_id: str) -> PublishOrder | None:
    """The order of a publish allocation that was just begun; the same again for the same execution.

    `None` when it may not go on now after all: its account is not healthy, its gap or its limit is not over, or nobody
    wants it any more. The allocation then ends with the reason, its slot is free, and the task waits.
    """
    allocation = lock_allocation(session, allocation_id)
    found = session.execute(select(TASKS.c.account_id).where(TASKS.c.allocation_id == allocation_id)).first()
    account = lock_account(session, found.account_id) if found else None
    task = lock_task(session, allocation_id)
    if task is None or account is None or task.state not in ("queued", "running"):
        publish_ends.drop(session, allocation, task, gone=account is None)
        return None
    mode = mode_of(task.submitted_at)
    if _go_back(session, allocation, account, task, mode):
        return None
    credentials = unsealed(terms.cipher, account.credentials)
    _start(session, allocation, task, mode)
    _use(session, account, allocation, credentials)
    return PublishOrder(
        task_id=task.id,
        account_id=account.id,
        platform=task.platform or account.platform,
        credential_version=account.credential_version,
        credentials=credentials,
        manuscript=Manuscript(
            task.title,
            task.content or "",
            task.content_format,
            task.cover,
            tuple(task.tags or ()),
            task.draft,
        ),
        mode=mode,
        draft_id=task.draft_id or "",
        submitted_at=task.submitted_at,
        known_ids=tuple(task.known_ids or ()),
        key=task.key or task.id,
    )


def _go_back(session: Session, allocation: Any, account: Any, task: Any, mode: Mode) -> bool:
    """Whether the account can't be used now; the work is then given back, the task held or set to wait."""
    if not may_publish(account):
        why = why_held(account)
        publish_ends.give_back(session, allocation, task, "held", why.code, why.sentence())
        return True
    if account.node_id is not None and account.node_id != allocation.node_id:
        reason = render("account_moved", "en", {"name": account.name})
        publish_ends.give_back(session, allocation, task, "pending", "account_moved", reason)
        return True
    free = None if mode is Mode.CONFIRM else _free_at(session, account)
    if free is not None and free > clock(session):
        reason = render(
            "account_gap", "en", {"name": account.name, "moment": f"{free:%Y-%m-%d %H:%M:%S} UTC"}
        )
        publish_ends.give_back(session, allocation, task, "pending", "account_gap", reason, not_before=free)
        return True
    return False


def _free_at(session: Session, account: Any) -> datetime | None:
    """From when on the account may submit again by its gap and its daily limit."""
    pace = pace_of(account.platform, account.min_gap_seconds, account.daily_limit)
    return usage(session, {account.id: pace})[account.id].free_at


def _start(session: Session, allocation: Any, task: Any, mode: Mode) -> None:
    doing = "asks the platform whether it is there" if mode is Mode.CONFIRM else "a worker publishes it"
    if task.state == "queued":
        change = Change(("queued",), "running", f"node {allocation.node_id}", doing)
        started = {} if task.started_at else {"started_at": now()}
        transitions.move(session, PublishTask, [task.id], change, reason_code="", **started)
    else:
        session.execute(update(TASKS).where(TASKS.c.id == task.id).values(reason=doing, reason_code=""))


def _use(session: Session, account: Any, allocation: Any, credentials: Credentials) -> None:
    """Note with which credentials the work was given out, and from where: cookies belong to the address that first used them."""
    version = account.credential_version
    session.execute(
        update(ALLOCATIONS).where(ALLOCATIONS.c.id == allocation.id).values(credential_version=version)
    )
    if credentials.cookies and account.node_id is None:
        session.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.id == account.id).values(node_id=allocation.node_id)
        )


def account_order(session: Session, terms: PublishTerms, allocation_id: str) -> AccountOrder | None:
    """The order of an errand that was just begun; `None` when its account was deleted or now belongs to another node."""
    allocation = lock_allocation(session, allocation_id)
    account = lock_account(session, allocation.account_id or "")
    if account is None or (account.node_id is not None and account.node_id != allocation.node_id):
        publish_ends.drop(session, allocation, None, gone=account is None)
        if account is not None:
            publish_ends.want_again(session, allocation)
        return None
    credentials = unsealed(terms.cipher, account.credentials)
    _use(session, account, allocation, credentials)
    errand = Errand(allocation.errand or Errand.CHECK)
    return AccountOrder(account.id, account.platform, errand, account.credential_version, credentials)


def settle(session: Session, terms: PublishTerms, outcome: Outcome) -> Standing:
    """End publish or account work with all that its outcome brings, in one transaction; repeated, it changes nothing.

    A report of an execution whose place was taken is refused, and recorded for whoever has to decide.
    """
    allocation = lock_allocation(session, outcome.allocation_id)
    if allocation is not None and allocation.settled_by == outcome.execution:
        return Standing.HELD
    held = ("executing", outcome.attempt, outcome.execution)
    if allocation is None or (allocation.state, allocation.attempt, allocation.execution) != held:
        _refuse(session, outcome)
        return Standing.SUPERSEDED
    if outcome.kind == PUBLISH:
        _settle_publish(session, terms, allocation, outcome)
    else:
        _settle_account(session, terms, allocation, outcome)
    done = outcome.failure is None
    code = outcome.failure.code if outcome.failure else ""
    count_on_commit(
        session, metrics.ATTEMPTS, kind=outcome.kind, outcome="done" if done else "failed", code=code
    )
    return Standing.HELD


def _refuse(session: Session, outcome: Outcome) -> None:
    count_on_commit(session, metrics.REFUSED, kind=outcome.kind)
    if outcome.publish is None:
        return
    said = "that it failed"
    if outcome.publish.published is not None:
        said = f"that it is there: {outcome.publish.published.url or outcome.publish.published.platform_id}"
    change = Change((), "refused", WORKER, f"a report that came too late said {said}")
    transitions.record(session, publish_ends.REPORTED, [outcome.publish.task_id], "", change)


def _settle_publish(session: Session, terms: PublishTerms, allocation: Any, outcome: Outcome) -> None:
    found = session.execute(select(TASKS.c.account_id).where(TASKS.c.allocation_id == allocation.id)).first()
    if found is None:
        publish_ends.drop(session, allocation, None, settled_by=outcome.execution)
        return
    account = _learn(session, terms, allocation, found.account_id, outcome)
    task = lock_task(session, allocation.id)
    at = clock(session)
    standpoint = _standpoint(allocation, account, task, outcome)
    told = Told(outcome.publish, outcome.failure, at, random.random())  # noqa: S311
    ending = decide(terms.policy, standpoint, told)
    publish_ends.end(session, allocation, account, task, outcome, ending, standpoint)


def _learn(session: Session, terms: PublishTerms, allocation: Any, account_id: str, outcome: Outcome) -> Any:
    """Apply the outcome's verdict, or the one that its failure implies; the account as it is then, locked."""
    account = lock_account(session, account_id)
    if account is None:
        return None
    version, at = allocation.credential_version, clock(session)
    verdict = learnt(terms.policy, account_id, version, outcome.verdict, outcome.failure, at)
    if verdict is None or verdict.account_id != account_id:
        return account
    applied = apply_verdict(session, terms.cipher, terms.policy, verdict, WORKER)
    if applied and outcome.kind == PUBLISH and verdict.health is Health.EXPIRED:
        # A visit tries what can be done without a person; when it finds the same, it is the last one.
        session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(check_due_at=now()))
    return lock_account(session, account_id)


def _standpoint(allocation: Any, account: Any, task: Any, outcome: Outcome) -> Standpoint:
    mark, handed_back = task.submitted_at, bool(outcome.handed_back)
    before = mark is not None and mark < allocation.started_at
    failures = sum(1 for one in task.errors or () if one.get("code") not in HEALTH_OF)
    counts = outcome.failure is not None and outcome.failure.code not in HEALTH_OF
    return Standpoint(
        submitted_at=mark,
        submitted_now=mark is not None and not before,
        executions=task.attempts + (not handed_back),
        confirmations=task.confirmations + (before and not handed_back),
        failures=failures + counts,
        cancel_requested=bool(task.cancel_requested or allocation.cancel_requested),
        handed_back=handed_back,
        account_holds=account is not None and not may_publish(account),
    )


def _typed_in(terms: PublishTerms, allocation: Any, account: Any) -> bool:
    """Whether a password may have been typed in: again and again locks an account, so that only a person asks for it anew."""
    if account is None or allocation.errand != Errand.LOGIN:
        return False
    return CredentialKind.PASSWORD in unsealed(terms.cipher, account.credentials).kinds


def _settle_account(session: Session, terms: PublishTerms, allocation: Any, outcome: Outcome) -> None:
    account_id = allocation.account_id or ""
    values: dict[str, Any] = {"login_prompt": None, "login_prompt_until": None}
    if not outcome.handed_back and outcome.verdict is None:
        # Nothing was learnt, or only what the failure says: it is looked at again before its usual time.
        values["check_due_at"] = now(terms.policy.recheck_seconds)
    account, failure = lock_account(session, account_id), outcome.failure
    session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(**values))
    if failure is not None and outcome.verdict is None and _typed_in(terms, allocation, account):
        want_person(session, allocation, failure.code[:64], failure.message)
    _learn(session, terms, allocation, account_id, outcome)
    if outcome.handed_back and not allocation.cancel_requested:
        publish_ends.want_again(session, allocation)
    publish_ends.end_errand(session, allocation, outcome)
