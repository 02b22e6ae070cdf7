"""Articles: list and read."""

from __future__ import annotations

import dataclasses

from flask import Blueprint, Response

from backend.api.answers import success, success_list
from backend.api.context import parts
from backend.api.inputs import read_query
from backend.api.schemas.feeds import ArticleAnswer, ArticleQuery, FullArticleAnswer
from backend.store import articles as store
from backend.store.session import read

articles = Blueprint("articles", __name__, url_prefix="/api/v1/articles")


@articles.get("")
def list_articles() -> Response:
    """The newest articles; `summary` is cut."""
    asked = read_query(ArticleQuery)
    found, total = read(
        parts().engine,
        lambda session: store.list_articles(
            session, feed_id=asked.feed_id or "", q=asked.q, limit=asked.limit, offset=asked.offset
        ),
    )
    return success_list((ArticleAnswer.model_validate(view) for view in found), total)


@articles.get("/<id:article_id>")
def get_article(article_id: str) -> Response:
    """One article with its content."""
    full = read(parts().engine, lambda session: store.get_article(session, article_id))
    fields = dataclasses.asdict(full.article) | {"summary": full.summary, "content": full.content}
    return success(FullArticleAnswer(**fields))
