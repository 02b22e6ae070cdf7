"""Requests and answers as models: unknown fields are refused, every text and list has a limit."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

from backend.domain.message_tasks import MAX_NAME as MAX_TASK_NAME
from backend.domain.states import AllocationState

MAX_LIMIT = 500
MAX_OFFSET = 10_000_000
MAX_FEEDS = 20_000
MAX_SECRET = 8_192

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~@:+=-]{1,64}$")]
Search = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _header_text(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _fits_column(text: str) -> str:
    # MySQL's TEXT holds 65,535 bytes, whatever they spell.
    if len(text.encode()) > 65_000:
        raise ValueError("may have at most 65000 bytes")
    return text


def _feeds_tag(value: object) -> str:
    return "every feed" if isinstance(value, str) else "named feeds"


# Scripts send `?task_id=` for "no filter".
OptionalId = Annotated[Id | None, BeforeValidator(_empty_is_none)]
OptionalState = Annotated[AllocationState | None, BeforeValidator(_empty_is_none)]
Headers = Annotated[str, BeforeValidator(_header_text), Field(max_length=MAX_SECRET)]
Template = Annotated[str, Field(max_length=65_000), AfterValidator(_fits_column)]
# The tags hold a space, so that no field's path can be taken for one.
FeedIds = Annotated[
    Annotated[Literal["all"], Tag("every feed")]
    | Annotated[list[Id], Field(max_length=MAX_FEEDS), Tag("named feeds")],
    Discriminator(_feeds_tag),
]
TAGS = frozenset({"every feed", "named feeds"})


class Request(BaseModel):
    """What admins send: a field that we do not know is a mistake to point out."""

    model_config = ConfigDict(extra="forbid")


class LoginRequest(Request):
    """A login."""

    username: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class PageQuery(Request):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)


class FeedRequest(Request):
    """A feed to add; without a name it is called by its host."""

    url: str = Field(min_length=1, max_length=4096)
    kind: str = Field("rss", max_length=32)
    name: str = Field("", max_length=255)


class FeedChangeRequest(Request):
    """What to change of a feed; what is left out stays."""

    url: str | None = Field(None, min_length=1, max_length=4096)
    kind: str | None = Field(None, max_length=32)
    name: str | None = Field(None, max_length=255)
    is_active: bool | None = None


class FeedQuery(PageQuery):
    """Which feeds."""

    q: Search = ""
    kind: str = Field("", max_length=32)


class TaskRequest(Request):
    """A message task to add."""

    name: str = Field(max_length=MAX_TASK_NAME)
    feed_ids: FeedIds
    message_type: int = 0
    message_template: Template = ""
    web_hook_url: str = Field("", max_length=2048)
    headers: Headers = ""
    cookies: str = Field("", max_length=MAX_SECRET)
    cron_exp: str = Field("", max_length=100)
    time_zone: str = Field("UTC", max_length=64)
    enabled: bool = True


class TaskChangeRequest(Request):
    """What to change of a message task; what is left out stays."""

    name: str = Field("", max_length=MAX_TASK_NAME)
    feed_ids: FeedIds = "all"
    message_type: int = 0
    message_template: Template = ""
    web_hook_url: str = Field("", max_length=2048)
    headers: Headers = ""
    cookies: str = Field("", max_length=MAX_SECRET)
    cron_exp: str = Field("", max_length=100)
    time_zone: str = Field("UTC", max_length=64)
    enabled: bool = True


class ArticleQuery(PageQuery):
    """Which articles."""

    feed_id: OptionalId = None
    q: Search = ""


class DispatchQuery(Request):
    """Which message task to dispatch; none: every enabled one. An empty id is a mistake, not "every"."""

    task_id: Id | None = None


class AllocationQuery(PageQuery):
    """Which allocations."""

    task_id: OptionalId = None
    node_id: OptionalId = None
    status: OptionalState = None
    kind: Literal["update", "publish", "account", "deliver", "all"] = "update"


class Answer(BaseModel):
    """What we answer, read from the store's views."""

    model_config = ConfigDict(from_attributes=True)


class LoginAnswer(Answer):
    """A token; `expires_in` is in seconds."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the word that OAuth2 has for it
    expires_in: int


class FeedAnswer(Answer):
    """A feed."""

    id: str
    kind: str
    name: str
    url: str
    cover: str
    intro: str
    is_active: bool
    collected_at: datetime | None
    error_code: str
    error_message: str
    created_at: datetime


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


class TaskAnswer(Answer):
    """A message task; receiver, headers and cookies are masked for viewers."""

    id: str
    name: str
    feed_ids: list[str] | Literal["all"]
    message_type: int
    message_template: str
    web_hook_url: str
    headers: str
    cookies: str
    receiver_kind: str
    cron_exp: str
    time_zone: str
    enabled: bool
    baseline_at: datetime
    created_at: datetime


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


class AllocationAnswer(Answer):
    """An allocation."""

    allocation_id: str
    kind: str
    node_id: str
    node_name: str
    task_id: str | None
    task_name: str
    run_id: str | None
    feed_ids: list[str]
    status: str
    attempt: int
    reason: str
    error_code: str
    error_message: str
    item_count: int
    article_count: int
    new_article_count: int
    created_at: datetime
    updated_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None


class DispatchedTaskAnswer(Answer):
    """One task of a dispatch; `mp_count` is how many feeds it names."""

    id: str
    name: str
    mp_count: int
    run_id: str


class DispatchAnswer(Answer):
    """What a dispatch did, and why anything waits."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTaskAnswer]
    allocations_created: int
    items_waiting: int
    reason: str


class CheckAnswer(Answer):
    """One condition of readiness."""

    name: str
    ok: bool
    detail: str


class QueueAnswer(Answer):
    """A queue, with how many workers serve it and how many jobs wait."""

    name: str
    consumers: int
    waiting: int


class ReadinessAnswer(Answer):
    """Whether the parent can do its work."""

    ready: bool
    checks: list[CheckAnswer]
    queues: list[QueueAnswer]
