"""What a feed's update brings: articles stored once, and the deliveries that became due with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from backend.domain.identifiers import digest, new_id
from backend.domain.orders import ArticleDraft
from backend.store import transitions
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Article, Delivery, DeliveryArticle, MessageTask, MessageTaskFeed, core

LOOKUP_SIZE = 500
ARTICLES, TASKS, TASK_FEEDS = core(Article), core(MessageTask), core(MessageTaskFeed)


@dataclass(frozen=True, slots=True)
class Collected:
    """A feed's articles on their way into the store, with the run that asked for them."""

    feed_id: str
    articles: tuple[ArticleDraft, ...]
    run_id: str | None = None


def store_articles(session: Session, collected: Sequence[Collected]) -> dict[str, list[str]]:
    """Insert what is new, update what changed; by feed, the ids of the new ones. Repeating it changes nothing."""
    drafts = _by_key(collected)
    known = _known(session, list(drafts))
    for key_hash, (_, draft) in drafts.items():
        found = known.get(key_hash)
        if found is not None and found[1] != _content_hash(draft):
            session.execute(
                update(ARTICLES).where(ARTICLES.c.id == found[0]).values(**_changes(draft), updated_at=now())
            )
    fresh = [
        {"id": draft.id or new_id(), "feed_id": feed_id, "key_hash": key_hash, **article_columns(draft)}
        # One order for everybody: writers that meet on the unique key wait instead of deadlocking.
        for key_hash, (feed_id, draft) in sorted(drafts.items())
        if key_hash not in known
    ]
    new: dict[str, list[str]] = {}
    for row in _insert_missing(session, fresh) if fresh else ():
        new.setdefault(row["feed_id"], []).append(row["id"])
    return new


def _by_key(collected: Iterable[Collected]) -> dict[str, tuple[str, ArticleDraft]]:
    return {
        digest(one.feed_id, draft.key): (one.feed_id, draft)
        for one in collected
        # Later entries of a document are older: the first one with a key is the one that counts.
        for draft in reversed(one.articles)
    }


def _known(session: Session, hashes: Sequence[str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(hashes), LOOKUP_SIZE):
        chunk = hashes[start : start + LOOKUP_SIZE]
        query = select(ARTICLES.c.key_hash, ARTICLES.c.id, ARTICLES.c.content_hash).where(
            ARTICLES.c.key_hash.in_(chunk)
        )
        found.update({key: (one, content) for key, one, content in session.execute(query)})
    return found


def article_columns(draft: ArticleDraft) -> dict[str, Any]:
    """What the store holds of a draft."""
    return {
        "content_hash": _content_hash(draft),
        "title": draft.title[:1000],
        "url": draft.url[:2048],
        "summary": draft.summary,
        "content": draft.content,
        "author": draft.author[:255],
        "cover_url": draft.cover_url[:2048],
        "published_at": draft.published_at,
    }


def _changes(draft: ArticleDraft) -> dict[str, Any]:
    values = article_columns(draft)
    if draft.id and not draft.content:
        # A child lists an article again without its content, which it sent before.
        del values["content"]
    return values


def _content_hash(draft: ArticleDraft) -> str:
    published = draft.published_at.isoformat() if draft.published_at else ""
    return digest(
        draft.title, draft.url, draft.summary, draft.content, draft.author, draft.cover_url, published
    )


def _insert_missing(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert rows whose key nobody else has inserted meanwhile; those that are really ours."""
    insert_missing(session, Article, rows)
    query = select(ARTICLES.c.id, ARTICLES.c.key_hash).where(ARTICLES.c.id.in_([row["id"] for row in rows]))
    ours = {(one, key_hash) for one, key_hash in session.execute(query)}
    return [row for row in rows if (row["id"], row["key_hash"]) in ours]


def make_deliveries(session: Session, new: dict[str, list[str]], runs: dict[str, str | None]) -> int:
    """One delivery per message task and feed for articles that this transaction stored first.

    An article is due for a task when its feed belongs to the task, it was first stored after the task's
    baseline for that feed, and the task has no delivery of it (the key of `delivery_articles`). Whoever
    stores an article calls this in the same commit, so only fresh articles need a look.
    """
    deliveries: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    for task_id, feed_id, receiver, receiver_kind in _interested(
        session, [feed for feed, ids in new.items() if ids]
    ):
        delivery_id = new_id()
        deliveries.append(
            {
                "id": delivery_id,
                "task_id": task_id,
                "feed_id": feed_id,
                "run_id": runs.get(feed_id),
                "receiver": receiver,
                "receiver_kind": receiver_kind,
            }
        )
        contents += [
            {"task_id": task_id, "article_id": one, "delivery_id": delivery_id} for one in new[feed_id]
        ]
    transitions.create(session, Delivery, deliveries, "settle", "waits to be sent")
    if contents:
        session.execute(insert(core(DeliveryArticle)), contents)
    return len(deliveries)


def _interested(session: Session, feed_ids: Sequence[str]) -> list[tuple[str, str, str, str]]:
    if not feed_ids:
        return []
    columns = (TASKS.c.receiver, TASKS.c.receiver_kind)
    listening = (TASKS.c.enabled, TASKS.c.receiver != "", TASKS.c.baseline_at <= now())
    everything = session.execute(select(TASKS.c.id, *columns).where(TASKS.c.all_feeds, *listening)).all()
    named = session.execute(
        select(TASKS.c.id, TASK_FEEDS.c.feed_id, *columns)
        .join(TASK_FEEDS, TASK_FEEDS.c.task_id == TASKS.c.id)
        .where(
            TASK_FEEDS.c.feed_id.in_(feed_ids),
            TASK_FEEDS.c.baseline_at <= now(),
            ~TASKS.c.all_feeds,
            *listening,
        )
    ).all()
    found = [(task_id, feed_id, one, kind) for task_id, one, kind in everything for feed_id in feed_ids]
    return found + [(task_id, feed_id, one, kind) for task_id, feed_id, one, kind in named]
