"""What waits, what failed, and how fresh the feeds are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from backend.api.schemas.allocations import WaitingAnswer, WhyText
from backend.api.schemas.common import MAX_LIMIT, Answer, Id, Moment, OptionalId, OrEmpty, PageQuery, Request

Freshness = Literal["fresh", "recent", "stale", "outdated", "unknown"]
OptionalFreshness = Annotated[Freshness | None, OrEmpty()]


class FailureQuery(Request):
    """Which failures; without `noun` those of items, deliveries and allocations."""

    noun: Literal["item", "delivery", "allocation"] | None = None
    task_id: OptionalId = None
    run_id: OptionalId = None
    error_code: OptionalId = None
    ended_after: Moment | None = None
    ended_before: Moment | None = None
    limit: int = Field(50, ge=1, le=MAX_LIMIT, description="How many groups at most.")


class FailureExample(Answer):
    """One of the newest failures of a group."""

    id: str
    at: datetime
    state: str
    message: str
    task_id: str | None
    run_id: str | None
    feed_id: str | None


class FailureGroupAnswer(Answer):
    """Failures that differ in numbers, ids and hosts only."""

    noun: str
    error_code: str
    pattern: str = Field(examples=["<host> answers with HTTP status 503."])
    count: int
    first_seen: datetime
    last_seen: datetime
    feeds: int
    examples: list[FailureExample]


class FailuresAnswer(Answer):
    """The largest groups first. `complete` is false when only the newest 10,000 of a noun were looked at."""

    list: Sequence[FailureGroupAnswer]
    total: int
    looked_at: int
    complete: bool


class FeedStatusQuery(PageQuery):
    """Which feeds; `cursor` goes on after the page before."""

    feed_id: OptionalId = None
    status: OptionalFreshness = None
    cursor: OptionalId = Field(None, description="The `next_cursor` of the page before.")


class LastTaskAnswer(Answer):
    """The feed's newest work item."""

    status: str
    time: datetime
    task_id: str
    task_name: str
    run_id: str
    allocation_id: str | None
    node_id: str | None
    node_name: str
    reason: str


class FeedStatusAnswer(Answer):
    """A feed, how fresh it is, and what was last done for it. `status`: whether it is collected at all."""

    id: str
    mp_name: str = Field(validation_alias="name")
    mp_cover: str = Field(validation_alias="cover")
    kind: str
    status: int = Field(validation_alias="is_active")
    update_status: Freshness
    update_time: datetime | None = Field(validation_alias="collected_at")
    article_count: int
    latest_article_time: datetime | None = Field(validation_alias="latest_article_at")
    last_task: LastTaskAnswer | None
    error_code: str
    error_message: str
    next_check_at: datetime | None
    created_at: datetime


class FeedStatusPageAnswer(Answer):
    """One page in the order of ids; `counts` says how many feeds have each status."""

    list: Sequence[FeedStatusAnswer]
    total: int
    counts: dict[str, int]
    next_cursor: str | None


class NodeBacklogAnswer(Answer):
    """What one node has of one kind of work."""

    node_id: str
    node_name: str
    kind: str
    pending: int
    claimed: int
    executing: int
    oldest_pending_at: datetime | None
    why: WhyText | None


class BacklogAnswer(Answer):
    """Everything that has not ended. What ended today (in UTC) is counted up to 10,000."""

    pending_tasks: int = Field(validation_alias="pending")
    executing_tasks: int = Field(validation_alias="executing")
    completed_today: int
    failed_today: int
    online_nodes: int
    items_waiting: int
    deliveries_waiting: int
    by_node: list[NodeBacklogAnswer]
    waiting: list[WaitingAnswer]


class WhyPath(Request):
    """Of a run, an item, an allocation or a delivery."""

    subject_id: Id


class WhyAnswer(Answer):
    """Why it has not ended; of what has ended, how."""

    noun: str
    id: str
    state: str
    why: WhyText
    expected_at: datetime | None = None
