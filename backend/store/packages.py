"""Claimed work as packages that WeRSS children know: the task, its secrets in the clear, and the feeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.errors import ConfigurationError
from backend.store.cipher import Cipher
from backend.store.tables import Allocation, Feed, MessageTask, Run, WorkItem, core

ALLOCATIONS, FEEDS, ITEMS = core(Allocation), core(Feed), core(WorkItem)
RUNS, TASKS = core(Run), core(MessageTask)
TASK_COLUMNS = ("message_type", "message_template", "web_hook_url", "cron_exp", "headers", "cookies")


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


def packages(
    session: Session, cipher: Cipher, allocation_ids: Sequence[str]
) -> dict[str, Package | ConfigurationError]:
    """By its id, each allocation as a package with the feeds that are still to be collected, oldest first.

    Where none of the keys fits the task's secrets, there is the error.
    """
    if not allocation_ids:
        return {}
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
    # Many allocations of a group are of one task. The texts are forgotten with the call.
    decrypt = cache(cipher.decrypt)
    return {row.id: _package(decrypt, row, feeds.get(row.id, ())) for row in session.execute(query)}


def _package(
    decrypt: Callable[[str], str], row: Any, feeds: Sequence[PackageFeed]
) -> Package | ConfigurationError:
    try:
        web_hook_url, headers, cookies = (
            decrypt(text or "") for text in (row.web_hook_url, row.headers, row.cookies)
        )
    except ConfigurationError as error:
        return error
    # Of a task that was deleted at this very moment there is its name; its allocation is asked to stop.
    return Package(
        allocation_id=row.id,
        task_id=row.task_id or "",
        task_name=row.task_name,
        message_type=row.message_type or 0,
        message_template=row.message_template or "",
        web_hook_url=web_hook_url,
        cron_exp=row.cron_exp or "",
        headers=headers,
        cookies=cookies,
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
        .join(FEEDS, FEEDS.c.id == ITEMS.c.feed_id)
        .where(ITEMS.c.allocation_id.in_(allocation_ids), ITEMS.c.state == "assigned")
        .order_by(ITEMS.c.id)
    )
    found: dict[str, list[PackageFeed]] = {}
    for allocation_id, feed_id, faker_id, name, cover, intro, is_active in session.execute(query):
        feed = PackageFeed(feed_id, faker_id, name, cover, intro, int(is_active))
        found.setdefault(str(allocation_id), []).append(feed)
    return found
