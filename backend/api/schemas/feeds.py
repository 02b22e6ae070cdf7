"""Feeds and their articles."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from backend.api.schemas.common import Answer, Id, OptionalId, PageQuery, Request, Search


class FeedRequest(Request):
    """A feed to add; without a name it is called by its host.

    Of kind `wechat`, an official account that WeRSS children collect: a name and one of its ids instead of a URL.
    """

    url: str | None = Field(None, min_length=1, max_length=4096, examples=["https://example.com/feed.xml"])
    kind: str = Field("rss", max_length=32)
    name: str = Field("", max_length=255)
    id: str = Field("", max_length=64, description="of an account: MP_WXS_ and its number")
    faker_id: str = Field("", max_length=255, description="of an account: WeChat's fakeid")
    cover: str = Field("", max_length=2048)
    intro: str = Field("", max_length=4096)


class FeedChangeRequest(Request):
    """What to change of a feed; what is left out stays."""

    url: str | None = Field(None, min_length=1, max_length=4096)
    kind: str | None = Field(None, max_length=32)
    name: str | None = Field(None, max_length=255)
    is_active: bool | None = None


class FeedPath(Request):
    """Which feed."""

    feed_id: Id


class FeedQuery(PageQuery):
    """Which feeds."""

    q: Search = ""
    kind: str = Field("", max_length=32)


class FeedAnswer(Answer):
    """A feed. `failure_count`: failed runs in a row; schedules leave it out until `next_check_at`.

    `paused_reason`: the error code for which Cascade itself switched it off.
    """

    id: str
    kind: str
    name: str
    url: str
    faker_id: str
    cover: str
    intro: str
    is_active: bool
    collected_at: datetime | None
    error_code: str
    error_message: str
    failure_count: int
    next_check_at: datetime | None
    paused_reason: str
    created_at: datetime


class MoveAnswer(Answer):
    """A permanent redirect that the feed's address followed."""

    from_url: str
    to_url: str
    at: datetime


class FullFeedAnswer(FeedAnswer):
    """One feed, with how its address changed by itself, newest first."""

    moves: list[MoveAnswer]


class RefusedAnswer(Answer):
    """An entry of an OPML file that was left out."""

    line: int
    title: str
    url: str
    reason: str


class ImportAnswer(Answer):
    """What an OPML import did; `existing` counts repeats within the file too."""

    added: int
    existing: int
    refused: list[RefusedAnswer]


class ArticlePath(Request):
    """Which article."""

    article_id: Id


class ArticleQuery(PageQuery):
    """Which articles."""

    feed_id: OptionalId = None
    q: Search = ""


class ArticleAnswer(Answer):
    """An article in a list; `created_at` is when it was first stored."""

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


class FullArticleAnswer(ArticleAnswer):
    """One article with its content."""

    content: str
