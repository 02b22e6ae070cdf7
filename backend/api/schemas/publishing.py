"""Publish tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from backend.api.schemas.allocations import StepAnswer, WhyText
from backend.api.schemas.common import Answer, Id, Moment, OptionalId, OrEmpty, PageQuery, Request, Whole
from backend.domain.states import PublishState

MAX_BATCH = 100
MAX_TITLE = 255
MAX_CONTENT = 8_000_000
MAX_TAGS = 20
MAX_TAG = 50
MAX_PRIORITY = 100
ADDRESS = r"^(https?://[^\s]+)?$"

Platform = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,32}$")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE)]


class PublishRequest(Request):
    """An article to publish. `platform` may be left out: the account knows it.

    `draft`: save a draft and publish nothing. Of one user's tasks those with the higher `priority` go first. `force`: also
    when the account was given the same article before.
    """

    title: Title
    content: str = Field(min_length=1, max_length=MAX_CONTENT, examples=["# Hello\n\nFirst words."])
    content_format: Literal["markdown", "html"] = "markdown"
    platform: Platform | None = Field(None, examples=["zhihu"])
    account_id: Id
    cover: str = Field("", max_length=2048, pattern=ADDRESS)
    tags: list[Tag] = Field([], max_length=MAX_TAGS, examples=[["queues", "python"]])
    draft: bool = False
    scheduled_at: Moment | None = Field(None, description="Not before then; empty: now.")
    priority: Whole = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    force: bool = False


class BatchRequest(Request):
    """Up to 100 articles; each is accepted or refused by itself."""

    tasks: list[Annotated[PublishRequest | dict[str, Any], Field(union_mode="left_to_right")]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        examples=[[{"title": "Hello", "content": "First words.", "account_id": "0193…"}]],
    )


class TargetRequest(Request):
    """One account that a group's article is for; what it says itself counts before what the group says."""

    account_id: Id
    platform: Platform | None = Field(None, examples=["zhihu"])
    title: Title | None = None
    tags: list[Tag] | None = Field(None, max_length=MAX_TAGS, examples=[["queues", "python"]])
    cover: str | None = Field(None, max_length=2048, pattern=ADDRESS)
    draft: bool | None = None
    scheduled_at: Moment | None = None


class GroupRequest(Request):
    """One article for several accounts: a task for each target, with its own state and result."""

    title: Title
    content: str = Field(min_length=1, max_length=MAX_CONTENT, examples=["# Hello\n\nFirst words."])
    content_format: Literal["markdown", "html"] = "markdown"
    cover: str = Field("", max_length=2048, pattern=ADDRESS)
    tags: list[Tag] = Field([], max_length=MAX_TAGS)
    draft: bool = False
    scheduled_at: Moment | None = None
    priority: Whole = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    force: bool = False
    targets: list[Annotated[TargetRequest | dict[str, Any], Field(union_mode="left_to_right")]] = Field(
        min_length=1, max_length=MAX_BATCH, examples=[[{"account_id": "0193…"}]]
    )


class PublishPath(Request):
    """Which publish task."""

    publish_id: Id


class LimitsQuery(Request):
    """Whose limits; admins may ask for others'."""

    user_id: OptionalId = None


class PublishQuery(PageQuery):
    """Which publish tasks; people see their own, admins all."""

    status: Annotated[PublishState | None, OrEmpty()] = None
    platform: Annotated[Platform | None, OrEmpty()] = None
    account_id: OptionalId = None
    user_id: OptionalId = Field(None, description="Whose; for admins.")
    group_id: OptionalId = Field(None, description="Of one batch.")
    created_after: Moment | None = Field(None, description="Made then or later.")
    created_before: Moment | None = Field(None, description="Made before.")


class PublishAnswer(Answer):
    """A publish task. `why` says why it waits, and `expected_at` when it will probably go on; empty: when somebody does something.

    `reason` is what was last written down of it, also how it ended. `progress` is how far it is while it runs.
    `error_code` and `error_message` say why it failed, or what last went wrong; `not_before` is when it goes on at the
    earliest. `node_name` is where it runs, or waits to run.
    """

    id: str
    status: PublishState
    platform: str = Field(examples=["zhihu"])
    account_id: str
    account_name: str = Field(examples=["ana's column"])
    user_id: str
    user_name: str
    group_id: str | None
    title: str
    cover: str
    tags: list[str] = Field(examples=[["queues", "python"]])
    draft: bool
    content_format: str = Field(examples=["markdown"])
    priority: int
    result_url: str = Field(examples=["https://zhuanlan.zhihu.com/p/1"])
    platform_id: str = Field(examples=["1"])
    draft_id: str = Field(examples=["1"])
    error_code: str
    error_message: str
    reason: str
    reason_code: str = Field(examples=["publish_queued"])
    why: WhyText | None = Field(examples=["It is scheduled for 2026-12-01 08:00:00 UTC."])
    expected_at: datetime | None
    progress: str = Field(examples=["upload 3/7"])
    warnings: list[str] = Field(examples=[[]])
    attempts: int
    cancel_requested: bool
    node_name: str
    scheduled_at: datetime | None
    not_before: datetime | None
    created_at: datetime
    started_at: datetime | None
    submitted_at: datetime | None
    completed_at: datetime | None


class PublishPage(Answer):
    """The newest tasks that match. `totals` are all that match but for their status, by status."""

    list: Sequence[PublishAnswer]
    total: int
    totals: dict[str, int] = Field(examples=[{"pending": 2, "running": 1, "success": 40}])


class PublishStoryAnswer(PublishAnswer):
    """A publish task with its article, its timeline, and the errors of its attempts.

    `late_reports`: what came after other work had taken its place, and changed nothing.
    """

    content: str
    timeline: list[StepAnswer]
    late_reports: list[StepAnswer]
    errors: list[dict[str, Any]]


class NewTaskAnswer(Answer):
    """The id of what was made."""

    id: str


class BatchItemAnswer(Answer):
    """What became of one article of a batch: an id, or a reason. `index` counts from 0."""

    index: int
    id: str | None
    error: str
    message: str
    errors: dict[str, str] = Field(examples=[{"content": "is required"}])
    existing_id: str | None


class BatchAnswer(Answer):
    """What became of each article, in their order; `group_id` lists the accepted ones again."""

    group_id: str
    accepted: int
    refused: int
    list: Sequence[BatchItemAnswer]


class ConfirmRequest(Request):
    """What a person found on the platform: the article (with its address), or nothing, so that it is published again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"published": True, "url": "https://zhuanlan.zhihu.com/p/1"}]}
    )

    published: bool
    url: str = Field("", max_length=2048, pattern=ADDRESS)


class ClearRequest(Request):
    """Which finished tasks to delete: by id, or all of one's own in these states."""

    ids: list[Id] = Field([], max_length=500)
    states: list[Literal["success", "failed", "cancelled"]] = Field([], max_length=3)


class ClearAnswer(Answer):
    """How many tasks were deleted, and which of the named ones were not: they have not ended, or are not there."""

    deleted: int
    kept: list[str] = Field(examples=[[]])


class LimitsAnswer(Answer):
    """A user's limits and how much of them is used. What exceeds them waits and is not refused."""

    user_id: str
    in_flight: int
    max_in_flight: int
    admitted_last_minute: int
    max_per_minute: int
    submitted_last_day: int
    totals: dict[str, int] = Field(examples=[{"pending": 2, "success": 40}])
