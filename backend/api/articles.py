"""Articles: list and read."""

from __future__ import annotations

import dataclasses

from backend.api.access import Access, declare
from backend.api.context import parts
from backend.api.routes import Routes
from backend.api.schemas.common import Page
from backend.api.schemas.feeds import ArticleAnswer, ArticlePath, ArticleQuery, FullArticleAnswer
from backend.store import articles as store
from backend.store.session import read

articles = Routes("articles", "/api/v1/articles", text="What was collected.")


@articles.get("")
@declare(Access.VIEWER)
def list_articles(query: ArticleQuery) -> Page[ArticleAnswer]:
    """The newest articles; `summary` is cut."""
    found, total = read(
        parts().engine,
        lambda session: store.list_articles(
            session, feed_id=query.feed_id or "", q=query.q, limit=query.limit, offset=query.offset
        ),
    )
    return Page(list=[ArticleAnswer.model_validate(view) for view in found], total=total)


@articles.get("/<id:article_id>")
@declare(Access.VIEWER)
def get_article(path: ArticlePath) -> FullArticleAnswer:
    """One article with its content."""
    full = read(parts().engine, lambda session: store.get_article(session, path.article_id))
    fields = dataclasses.asdict(full.article) | {"summary": full.summary, "content": full.content}
    return FullArticleAnswer(**fields)
