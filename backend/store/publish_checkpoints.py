"""What publish and account work records while it runs: its draft, the mark of submission, and what a person must look at to log in.

Lock order: allocation, account, publish task.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.ports import Lease, Standing
from backend.domain.publish_endings import PublishPolicy
from backend.domain.publishing import DraftSaved, LoginScreenshot, LoginSight, Submission
from backend.store import login_screenshots, settlement
from backend.store.account_health import ACCOUNTS, TASKS, lock_account
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.publish_ends import ALLOCATIONS, lock_allocation, lock_task


def save_draft(session: Session, lease: Lease, saved: DraftSaved) -> Standing:
    """Store the draft's id, so that every retry continues the same draft."""
    standing = settlement.standing_of(session, lease.allocation_id, lease.attempt, lease.execution)
    if standing is not Standing.SUPERSEDED:
        session.execute(
            update(TASKS)
            .where(TASKS.c.allocation_id == lease.allocation_id, TASKS.c.state == "running")
            .values(draft_id=saved.draft_id[:255])
        )
    return standing


def submit(session: Session, policy: PublishPolicy, lease: Lease, submission: Submission) -> Standing:
    """Set the mark right before the call that publishes; anything but `HELD` means that the call must not be made.

    Whoever comes first wins, this or a cancel: both lock the allocation. Repeated after a lost answer, the same execution
    is told `HELD` again; one that began when the mark was set already is not. The lease is extended: the call has a whole one.
    """
    standing = settlement.standing_of(session, lease.allocation_id, lease.attempt, lease.execution)
    if standing is not Standing.HELD:
        return standing
    allocation = lock_allocation(session, lease.allocation_id)
    task = session.execute(select(TASKS).where(TASKS.c.allocation_id == lease.allocation_id)).first()
    if task is None or lock_account(session, task.account_id) is None:
        return Standing.SUPERSEDED
    task = lock_task(session, lease.allocation_id)
    if task.submitted_at is not None:
        return Standing.HELD if task.submitted_at >= allocation.started_at else Standing.SUPERSEDED
    if task.state != "running" or task.cancel_requested:
        return Standing.CANCELLED
    session.execute(
        update(TASKS)
        .where(TASKS.c.id == task.id, TASKS.c.submitted_at.is_(None))
        .values(submitted_at=now(), known_ids=list(submission.known_ids))
    )
    session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == task.account_id).values(last_used_at=now()))
    session.execute(
        update(ALLOCATIONS)
        .where(
            ALLOCATIONS.c.id == lease.allocation_id,
            ALLOCATIONS.c.lease_until < now(policy.call_seconds),
        )
        .values(lease_until=now(policy.call_seconds))
    )
    return Standing.HELD


def show(session: Session, cipher: Cipher, lease: Lease, sight: LoginSight) -> Standing:
    """Show a person what the account's login needs; encrypted, because whoever has a code logs in."""
    standing = settlement.standing_of(session, lease.allocation_id, lease.attempt, lease.execution)
    if standing is not Standing.HELD:
        return standing
    account_id = lock_allocation(session, lease.allocation_id).account_id
    if isinstance(sight, LoginScreenshot):
        login_screenshots.keep(session, cipher, account_id, sight.image)
        return standing
    session.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.id == account_id)
        .values(login_prompt=cipher.encrypt(sight.link), login_prompt_until=sight.expires_at)
    )
    return standing
