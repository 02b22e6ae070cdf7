"""Articles, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Row, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from backend.domain.errors import NotFound
from backend.store.tables import Article, Feed

SUMMARY_LENGTH = 500
LISTED = (
    Article.id,
    Article.feed_id,
    Feed.name.label("feed_name"),
    Article.title,
    Article.url,
    func.substr(Article.summary, 1, SUMMARY_LENGTH).label("summary"),
    Article.author,
    Article.cover_url,
    Article.published_at,
    Article.first_stored_at,
    Article.updated_at,
)


@dataclass(frozen=True, slots=True)
class ArticleView:
    """An article in a list; its summary is cut. `created_at` is when it was first stored."""

    id: str
    feed_id: str
    feed_name: str
    title: str
    url: str
    summary: str
    author: str
    cover_url: str
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FullArticle:
    """One article with its whole summary and its content."""

    article: ArticleView
    summary: str
    content: str


def list_articles(
    session: Session, *, feed_id: str = "", q: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[ArticleView], int]:
    """The newest articles of a feed, or of all, whose title or summary contains `q`; and how many there are."""
    filters: list[ColumnElement[bool]] = []
    if feed_id:
        filters.append(Article.feed_id == feed_id)
    if q:
        in_title, in_summary = (
            column.icontains(q, autoescape=True) for column in (Article.title, Article.summary)
        )
        filters.append(or_(in_title, in_summary))
    # Articles of a deleted feed go a little later than the feed; they are not shown meanwhile.
    of_feeds = _listed().where(*filters)
    total = session.scalar(
        select(func.count()).select_from(Article).join(Feed, Feed.id == Article.feed_id).where(*filters)
    )
    newest = of_feeds.order_by(Article.first_stored_at.desc(), Article.id.desc()).limit(limit).offset(offset)
    return [_view(row) for row in session.execute(newest)], total or 0


def get_article(session: Session, article_id: str) -> FullArticle:
    """The article with its content. Raises `NotFound`."""
    query = _listed().add_columns(Article.summary.label("whole"), Article.content)
    row = session.execute(query.where(Article.id == article_id)).first()
    if row is None:
        raise NotFound(noun="article", id=article_id)
    return FullArticle(_view(row), row.whole, row.content)


def delete_some(session: Session, feed_id: str, limit: int) -> int:
    """Delete up to `limit` articles of a feed that is gone; returns how many, so that the caller repeats until none is left."""
    ids: Sequence[str] = session.scalars(
        select(Article.id).where(Article.feed_id == feed_id).order_by(Article.id).limit(limit)
    ).all()
    if not ids:
        return 0
    deleted = session.execute(delete(Article).where(Article.id.in_(ids)))
    return cast("CursorResult[Any]", deleted).rowcount


def count_articles(session: Session) -> int:
    """How many articles there are."""
    return session.scalar(select(func.count()).select_from(Article)) or 0


def _listed() -> Select[Any]:
    return select(*LISTED).join(Feed, Feed.id == Article.feed_id)


def _view(row: Row[Any]) -> ArticleView:
    return ArticleView(
        id=row.id,
        feed_id=row.feed_id,
        feed_name=row.feed_name,
        title=row.title,
        url=row.url,
        summary=row.summary,
        author=row.author,
        cover_url=row.cover_url,
        published_at=row.published_at,
        created_at=row.first_stored_at,
        updated_at=row.updated_at,
    )
