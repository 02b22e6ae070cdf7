"""Articles that children upload: stored once, delivered when due, counted where their work is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.children import UploadedArticle
from backend.store.children import Holder, look_up
from backend.store.collecting import Collected, make_deliveries, store_articles
from backend.store.tables import Feed, WorkItem


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of an upload: articles of feeds that are the allocation's and still exist, and the new ones of them."""

    task_id: str
    kept: int
    new: int


def store_upload(
    session: Session,
    holder: Holder,
    allocation_id: str,
    articles: Sequence[UploadedArticle],
    attempt: int | None = None,
) -> Uploaded:
    """Store the articles of the allocation's feeds, and make the deliveries that became due, in one transaction.

    Articles are kept whenever they arrive, also when the allocation has ended meanwhile. Raises `NotFound` when it is
    not the node's, and `Conflict` for another attempt.
    """
    row = look_up(session, holder, allocation_id, attempt)
    feed_ids = _locked_feeds(session, {one.feed_id for one in articles} & set(row.feed_ids))
    by_feed = {
        feed_id: tuple(one.draft for one in articles if one.feed_id == feed_id) for feed_id in feed_ids
    }
    new = store_articles(session, [Collected(feed_id, drafts) for feed_id, drafts in by_feed.items()])
    make_deliveries(session, new, dict.fromkeys(feed_ids, row.run_id))
    for feed_id, drafts in by_feed.items():
        _count(session, allocation_id, feed_id, len(drafts), len(new.get(feed_id, ())))
    kept = sum(len(drafts) for drafts in by_feed.values())
    return Uploaded(row.task_id or "", kept, sum(len(ids) for ids in new.values()))


def _locked_feeds(session: Session, feed_ids: set[str]) -> Sequence[str]:
    # Uploads of one feed come one after the other: with ids of the child's own, a new article could not be told
    # from one that another upload stored at the same moment, and both would deliver it.
    query = select(Feed.id).where(Feed.id.in_(feed_ids)).order_by(Feed.id).with_for_update()
    return session.scalars(query).all() if feed_ids else []


def _count(session: Session, allocation_id: str, feed_id: str, articles: int, new: int) -> None:
    session.execute(
        update(WorkItem)
        .where(WorkItem.allocation_id == allocation_id, WorkItem.feed_id == feed_id)
        .values(article_count=articles, new_article_count=WorkItem.new_article_count + new),
        execution_options={"synchronize_session": False},
    )
