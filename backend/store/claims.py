"""Claiming: a node takes its own pending work, each piece once, and gets it as a package that WeRSS children know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.store import transitions
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.tables import Allocation, Feed, MessageTask, Node, Run, WorkItem, core
from backend.store.transitions import Change

ALLOCATIONS, FEEDS, ITEMS = core(Allocation), core(Feed), core(WorkItem)
NODES, RUNS, TASKS = core(Node), core(Run), core(MessageTask)
HELD = ("claimed", "executing")
TASK_COLUMNS = ("message_type", "message_template", "web_hook_url", "cron_exp", "headers", "cookies")


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
        session.execute(select(NODES.c.id).where(NODES.c.id == claimant.node_id).with_for_update())
        taken = _taken_before(session, claimant.node_id, claim_id)
        if taken:
            return [one for one, state in taken if state in HELD]
    query = (
        select(ALLOCATIONS.c.id)
        .where(ALLOCATIONS.c.queue == claimant.queue, ALLOCATIONS.c.state == "pending")
        .order_by(ALLOCATIONS.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = session.scalars(query).all()
    return [one for one in found if _take(session, claimant, one, claim_id)]


def _taken_before(session: Session, node_id: str, claim_id: str) -> Sequence[tuple[str, str]]:
    query = select(ALLOCATIONS.c.id, ALLOCATIONS.c.state).where(
        ALLOCATIONS.c.node_id == node_id, ALLOCATIONS.c.claim_id == claim_id
    )
    return [(row.id, row.state) for row in session.execute(query.order_by(ALLOCATIONS.c.id))]


def _take(session: Session, claimant: Claimant, allocation_id: str, claim_id: str | None) -> bool:
    moved = transitions.move(
        session,
        Allocation,
        [allocation_id],
        Change(("pending",), "claimed", f"node {claimant.node_id}", "claimed"),
        ALLOCATIONS.c.node_id == claimant.node_id,
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
        select(ALLOCATIONS.c.queue)
        .where(ALLOCATIONS.c.queue.in_(queues), ALLOCATIONS.c.state == "pending")
        .group_by(ALLOCATIONS.c.queue)
    )
    return set(session.scalars(query))


def packages(session: Session, cipher: Cipher, allocation_ids: Sequence[str]) -> list[Package]:
    """The allocations as packages, with the feeds that are still to be collected."""
    if not allocation_ids:
        return []
    query = (
        select(
            ALLOCATIONS.c.id,
            ALLOCATIONS.c.task_id,
            ALLOCATIONS.c.created_at,
            func.coalesce(TASKS.c.name, RUNS.c.task_name, "").label("task_name"),
            *(TASKS.c[name] for name in TASK_COLUMNS),
        )
        .outerjoin(RUNS, RUNS.c.id == ALLOCATIONS.c.run_id)
        .outerjoin(TASKS, TASKS.c.id == ALLOCATIONS.c.task_id)
        .where(ALLOCATIONS.c.id.in_(allocation_ids))
        .order_by(ALLOCATIONS.c.id)
    )
    feeds = _feeds_of(session, allocation_ids)
    return [_package(cipher, row, feeds.get(row.id, ())) for row in session.execute(query)]


def _package(cipher: Cipher, row: Any, feeds: Sequence[PackageFeed]) -> Package:
    # Of a task that was deleted at this very moment there is its name; its allocation is asked to stop.
    return Package(
        allocation_id=row.id,
        task_id=row.task_id or "",
        task_name=row.task_name,
        message_type=row.message_type or 0,
        message_template=row.message_template or "",
        web_hook_url=cipher.decrypt(row.web_hook_url or ""),
        cron_exp=row.cron_exp or "",
        headers=cipher.decrypt(row.headers or ""),
        cookies=cipher.decrypt(row.cookies or ""),
        feeds=tuple(feeds),
        dispatched_at=row.created_at,
    )


def _feeds_of(session: Session, allocation_ids: Sequence[str]) -> dict[str, list[PackageFeed]]:
    query = (
        select(
            ITEMS.c.allocation_id,
            FEEDS.c.id,
            FEEDS.c.faker_id,
            FEEDS.c.name,
            FEEDS.c.cover,
            FEEDS.c.intro,
            FEEDS.c.is_active,
        )
        .join(Feed, FEEDS.c.id == ITEMS.c.feed_id)
        .where(ITEMS.c.allocation_id.in_(allocation_ids), ITEMS.c.state == "assigned")
        .order_by(ITEMS.c.id)
    )
    found: dict[str, list[PackageFeed]] = {}
    for allocation_id, feed_id, faker_id, name, cover, intro, is_active in session.execute(query):
        feed = PackageFeed(feed_id, faker_id, name, cover, intro, int(is_active))
        found.setdefault(str(allocation_id), []).append(feed)
    return found
