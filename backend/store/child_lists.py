"""What children read: feeds and message tasks, as far as they can do anything with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.children import feeds_as_text
from backend.domain.feeds import WECHAT
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.tables import Feed, MessageTask, MessageTaskFeed, Node


@dataclass(frozen=True, slots=True)
class ChildFeed:
    """A feed in WeRSS's words; `status` is 1 while it is collected, 0 when it is paused."""

    id: str
    faker_id: str
    mp_name: str
    mp_cover: str
    mp_intro: str
    status: int
    created_at: datetime
    updated_at: datetime
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class ChildTask:
    """A message task in WeRSS's words; `status` is 1 while it is enabled. `autonomous`: it names the asking node."""

    id: str
    name: str
    message_type: int
    message_template: str
    web_hook_url: str
    mps_id: str
    cron_exp: str
    status: int
    headers: str
    cookies: str
    created_at: datetime
    updated_at: datetime
    time_zone: str
    autonomous: bool
    paused: bool


def feeds_for(session: Session, *, third_party: bool) -> list[ChildFeed]:
    """Every feed, oldest first; a WeRSS child gets the WeChat accounts, because it can collect nothing else."""
    query = select(
        Feed.id,
        Feed.faker_id,
        Feed.name,
        Feed.cover,
        Feed.intro,
        Feed.is_active,
        Feed.created_at,
        Feed.kind,
        Feed.url,
    ).order_by(Feed.created_at, Feed.id)
    if third_party:
        query = query.where(Feed.kind == WECHAT)
    return [
        ChildFeed(
            id=row.id,
            faker_id=row.faker_id,
            mp_name=row.name,
            mp_cover=row.cover,
            mp_intro=row.intro,
            status=int(row.is_active),
            created_at=row.created_at,
            updated_at=row.created_at,
            kind=row.kind,
            url=row.url,
        )
        for row in session.execute(query)
    ]


def tasks_for(session: Session, cipher: Cipher, node_id: str, *, third_party: bool) -> list[ChildTask]:
    """Every enabled message task, oldest first.

    A WeRSS child takes a task that names none of its feeds for one of all feeds, so it does not get such tasks.
    """
    query = select(MessageTask).where(MessageTask.enabled).order_by(MessageTask.created_at, MessageTask.id)
    named = _named_feeds(session, third_party=third_party)
    return [
        _task(cipher, row, named, node_id)
        for row in session.scalars(query)
        if row.all_feeds or row.id in named or not third_party
    ]


def _named_feeds(session: Session, *, third_party: bool) -> dict[str, list[str]]:
    query = (
        select(MessageTaskFeed.task_id, MessageTaskFeed.feed_id)
        .join(MessageTask, MessageTask.id == MessageTaskFeed.task_id)
        .where(MessageTask.enabled, ~MessageTask.all_feeds)
        .order_by(MessageTaskFeed.task_id, MessageTaskFeed.feed_id)
    )
    if third_party:
        query = query.join(Feed, Feed.id == MessageTaskFeed.feed_id).where(Feed.kind == WECHAT)
    named: dict[str, list[str]] = {}
    for task_id, feed_id in session.execute(query):
        named.setdefault(task_id, []).append(feed_id)
    return named


def _task(cipher: Cipher, row: MessageTask, named: Mapping[str, Sequence[str]], node_id: str) -> ChildTask:
    return ChildTask(
        id=row.id,
        name=row.name,
        message_type=row.message_type,
        message_template=row.message_template,
        web_hook_url=cipher.decrypt(row.web_hook_url),
        mps_id=feeds_as_text([] if row.all_feeds else named.get(row.id, ())),
        cron_exp=row.cron_exp,
        status=1,
        headers=cipher.decrypt(row.headers),
        cookies=cipher.decrypt(row.cookies),
        created_at=row.created_at,
        updated_at=row.created_at,
        time_zone=row.time_zone,
        autonomous=row.autonomous_node_id == node_id,
        paused=row.paused,
    )


def mark_synced(session: Session, node_id: str) -> None:
    """The node has read feeds or tasks."""
    session.execute(
        update(Node).where(Node.id == node_id).values(synced_at=now()),
        execution_options={"synchronize_session": False},
    )
