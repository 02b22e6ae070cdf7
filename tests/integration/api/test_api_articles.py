"""Articles over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from backend.domain.orders import ArticleDraft
from backend.store.session import transact
from backend.store.tables import Article, Feed
from tests.integration.api.harness import Api, add_feed, data, field_errors

ARTICLES = "/api/v1/articles"
START = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)


def stored_in_order(api: Api, feed_id: str, *names: str) -> None:
    """Articles that were first stored a minute apart."""
    api.store_articles(feed_id, *[ArticleDraft(name, name, f"https://example.com/{name}") for name in names])
    moments = {name: START + timedelta(minutes=number) for number, name in enumerate(names)}
    with api.engine.begin() as connection:
        for name, moment in moments.items():
            connection.execute(update(Article).where(Article.title == name).values(first_stored_at=moment))


def titles(client: FlaskClient, **query: object) -> list[str]:
    return [one["title"] for one in data(client.get(ARTICLES, query_string=query))["list"]]


def test_articles_are_listed_newest_first_without_their_content(api: Api, admin: FlaskClient) -> None:
    feed_id = add_feed(admin, name="The feed")
    stored_in_order(api, feed_id, "old", "middle", "new")
    assert titles(admin) == ["new", "middle", "old"]
    assert titles(admin, limit=1, offset=1) == ["middle"]
    listed = data(admin.get(f"{ARTICLES}?limit=1"))
    assert listed["total"] == 3
    article = listed["list"][0]
    assert "content" not in article
    assert (article["feed_id"], article["feed_name"]) == (feed_id, "The feed")
    assert article["created_at"] == "2026-01-01T08:32:00Z"
    assert article["published_at"] is None


def test_articles_are_found_by_feed_and_by_words(api: Api, admin: FlaskClient) -> None:
    first, second = add_feed(admin, "https://example.com/1"), add_feed(admin, "https://example.com/2")
    stored_in_order(api, first, "Alpha 50%", "Beta")
    api.store_articles(second, ArticleDraft("x", "Gamma", "", summary="mentions 五十 and alpha"))
    assert titles(admin, feed_id=first) == ["Beta", "Alpha 50%"]
    assert sorted(titles(admin, q="ALPHA")) == ["Alpha 50%", "Gamma"]
    assert titles(admin, q="五十") == ["Gamma"]
    assert titles(admin, q="50%") == ["Alpha 50%"]
    assert titles(admin, q="%") == ["Alpha 50%"]
    assert titles(admin, q="_eta") == []
    assert titles(admin, feed_id=second, q="beta") == []


def test_one_article_comes_with_its_content_and_whole_summary(api: Api, admin: FlaskClient) -> None:
    draft = ArticleDraft(
        "k", "Title", "https://example.com/a", summary="s" * 900, content="<p>全文</p>", published_at=START
    )
    (article_id,) = api.store_articles(add_feed(admin), draft)
    listed = data(admin.get(ARTICLES))["list"][0]
    assert listed["summary"] == "s" * 500
    article = data(api.as_role("viewer").get(f"{ARTICLES}/{article_id}"))
    assert article == listed | {"summary": "s" * 900, "content": "<p>全文</p>"}
    assert article["published_at"] == "2026-01-01T08:30:00Z"


def test_articles_of_a_feed_that_is_gone_are_not_shown(api: Api, admin: FlaskClient) -> None:
    (article_id,) = api.store_articles(add_feed(admin), ArticleDraft("k", "Left behind", ""))
    transact(api.engine, lambda session: session.execute(delete(Feed)))
    assert data(admin.get(ARTICLES)) == {"list": [], "total": 0}
    assert data(admin.get(f"{ARTICLES}/{article_id}"), 404) == {"error": "not_found"}


@pytest.mark.parametrize(
    ("query", "field"), [("limit=501", "limit"), ("feed_id=%20", "feed_id"), ("s=a", "s")]
)
def test_a_query_that_makes_no_sense_is_refused(admin: FlaskClient, query: str, field: str) -> None:
    answer = admin.get(f"{ARTICLES}?{query}")
    assert {path.partition(".")[0] for path in field_errors(answer)} == {field}


def test_a_search_has_a_limit(admin: FlaskClient) -> None:
    assert list(field_errors(admin.get(ARTICLES, query_string={"q": "a" * 201}))) == ["q"]
