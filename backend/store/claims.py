"""Claiming: a node takes its own pending work, each piece once, and gets it as a package that WeRSS children know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.store import transitions
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.tables import Allocation, Feed, MessageTask, Node, Run, WorkItem
from backend.store.transitions import Change

HELD = ("claimed", "executing")


@dataclass(frozen=True, slots=True)
class Claimant:
    """The node that asks, its queue, how long a lease holds for it in seconds, and whether it polls as old children do."""

    node_id: str
    queue: str
    lease_seconds: float
    polls: bool = False


@dataclass(frozen=True, slots=True)
class PackageFeed:
    """A feed of a package, in WeRSS's words; `status` is 1 while it is collected."""

    id: str
    faker_id: str
    mp_name: str
    mp_cover: str
    mp_intro: str
    status: int


@dataclass(frozen=True, slots=True)
class Package:
    """A claimed allocation with all that a child needs to do it."""

    allocation_id: str
    task_id: str
    task_name: str
    message_type: int
    message_template: str
    web_hook_url: str
    cron_exp: str
    headers: str
    cookies: str
    feeds: tuple[PackageFeed, ...]
    dispatched_at: datetime


def claim(session: Session, claimant: Claimant, *, limit: int = 1, claim_id: str | None = None) -> list[str]:
    """Take up to `limit` of the node's oldest pending allocations; their ids.

    Others' locked rows are passed over, and each row is taken by a compare-and-set. With a `claim_id`, a repeated
    claim returns what the first one took, as far as it has not ended.
    """
    if claim_id is not None:
        # Two requests with one claim id come one after the other, so that the second finds what the first took.
        session.execute(select(Node.id).where(Node.id == claimant.node_id).with_for_update())
        taken = _taken_before(session, claimant.node_id, claim_id)
        if taken:
            return [one for one, state in taken if state in HELD]
    query = (
        select(Allocation.id)
        .where(Allocation.queue == claimant.queue, Allocation.state == "pending")
        .order_by(Allocation.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = session.scalars(query).all()
    return [one for one in found if _take(session, claimant, one, claim_id)]


def _taken_before(session: Session, node_id: str, claim_id: str) -> Sequence[tuple[str, str]]:
    query = select(Allocation.id, Allocation.state).where(
        Allocation.node_id == node_id, Allocation.claim_id == claim_id
    )
    return [(row.id, row.state) for row in session.execute(query.order_by(Allocation.id))]


def _take(session: Session, claimant: Claimant, allocation_id: str, claim_id: str | None) -> bool:
    moved = transitions.move(
        session,
        Allocation,
        [allocation_id],
        Change(("pending",), "claimed", f"node {claimant.node_id}", "claimed"),
        Allocation.node_id == claimant.node_id,
        claim_id=claim_id,
        polled=claimant.polls,
        lease_until=now(claimant.lease_seconds),
        claimed_at=now(),
        updated_at=now(),
    )
    return bool(moved)


def has_pending(session: Session, queues: Sequence[str]) -> set[str]:
    """Those of the queues that have something to claim."""
    query = (
        select(Allocation.queue)
        .where(Allocation.queue.in_(queues), Allocation.state == "pending")
        .group_by(Allocation.queue)
    )
    return set(session.scalars(query))


def packages(session: Session, cipher: Cipher, allocation_ids: Sequence[str]) -> list[Package]:
    """The allocations as packages, with the feeds that are still to be collected."""
    if not allocation_ids:
        return []
    query = (
        select(Allocation.id, Allocation.task_id, Allocation.created_at, Run.task_name, MessageTask)
        .outerjoin(Run, Run.id == Allocation.run_id)
        .outerjoin(MessageTask, MessageTask.id == Allocation.task_id)
        .where(Allocation.id.in_(allocation_ids))
        .order_by(Allocation.id)
    )
    feeds = _feeds_of(session, allocation_ids)
    return [
        _package(
            cipher, row.id, row.MessageTask, row.task_id or "", row.task_name or "", row.created_at, feeds
        )
        for row in session.execute(query)
    ]


def _package(
    cipher: Cipher,
    allocation_id: str,
    task: MessageTask | None,
    task_id: str,
    task_name: str,
    created_at: datetime,
    feeds: dict[str, list[PackageFeed]],
) -> Package:
    # A task that was deleted at this very moment: the allocation is asked to stop, and says what it still can.
    return Package(
        allocation_id=allocation_id,
        task_id=task_id,
        task_name=task.name if task else task_name,
        message_type=task.message_type if task else 0,
        message_template=task.message_template if task else "",
        web_hook_url=cipher.decrypt(task.web_hook_url) if task else "",
        cron_exp=task.cron_exp if task else "",
        headers=cipher.decrypt(task.headers) if task else "",
        cookies=cipher.decrypt(task.cookies) if task else "",
        feeds=tuple(feeds.get(allocation_id, ())),
        dispatched_at=created_at,
    )


def _feeds_of(session: Session, allocation_ids: Sequence[str]) -> dict[str, list[PackageFeed]]:
    query = (
        select(
            WorkItem.allocation_id, Feed.id, Feed.faker_id, Feed.name, Feed.cover, Feed.intro, Feed.is_active
        )
        .join(Feed, Feed.id == WorkItem.feed_id)
        .where(WorkItem.allocation_id.in_(allocation_ids), WorkItem.state == "assigned")
        .order_by(WorkItem.id)
    )
    found: dict[str, list[PackageFeed]] = {}
    for allocation_id, feed_id, faker_id, name, cover, intro, is_active in session.execute(query):
        feed = PackageFeed(feed_id, faker_id, name, cover, intro, int(is_active))
        found.setdefault(str(allocation_id), []).append(feed)
    return found
