"""Dispatching, and allocations as people list, explain, cancel and retry them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from backend.api.context import language
from backend.api.schemas.common import MAX_LIMIT, Answer, Id, Moment, OptionalId, OptionalState, Request
from backend.domain.why import Why

DEEPEST_OFFSET = 10_000

Kind = Literal["update", "publish", "account", "deliver", "all"]


def _said(value: object) -> object:
    return value.sentence(language()) if isinstance(value, Why) else value


# A reason, said in the language of whoever asks.
WhyText = Annotated[str, BeforeValidator(_said)]


class DispatchQuery(Request):
    """Which message task to dispatch; none: every enabled one. An empty id is a mistake, not "every"."""

    task_id: Id | None = None


class AllocationFilterQuery(Request):
    """Which allocations."""

    task_id: OptionalId = None
    run_id: OptionalId = None
    node_id: OptionalId = None
    status: OptionalState = None
    kind: Kind = "update"
    created_after: Moment | None = Field(None, description="Made then or later.")
    created_before: Moment | None = Field(None, description="Made before.")


class AllocationQuery(AllocationFilterQuery):
    """Which allocations, and which part of them. Beyond the first 10,000 go on with `cursor`."""

    limit: int = Field(50, ge=1, le=MAX_LIMIT, description="How many at most.")
    offset: int = Field(0, ge=0, le=DEEPEST_OFFSET, description="How many to pass over.")
    cursor: OptionalId = Field(None, description="The `next_cursor` of the page before.")


class AllocationPath(Request):
    """Which allocation."""

    allocation_id: Id


class AllocationAnswer(Answer):
    """An allocation; `why` says why it has not ended."""

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
    why: WhyText | None = Field(
        examples=["It waits for a free worker of the node beijing-1, of which 2 run."]
    )
    cancel_requested: bool
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
    lease_until: datetime | None


class AllocationPage(Answer):
    """The newest allocations that match. `total` stops at 10,000: `total_is_exact` says whether it is all."""

    list: Sequence[AllocationAnswer]
    total: int
    total_is_exact: bool
    next_cursor: str | None = Field(
        description="Pass it as `cursor` for the next page; null on the last one."
    )


class StepAnswer(Answer):
    """One move of the allocation's life."""

    at: datetime
    actor: str
    from_state: str
    to_state: str
    reason: str


class AttemptAnswer(Answer):
    """One time that somebody had the work; `ended_as` is empty while it runs."""

    number: int
    taken_by: str
    taken_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    ended_as: str
    reason: str


class MemberAnswer(Answer):
    """One feed or message of the allocation. `allocation_id` differs when it went on elsewhere; `errors`: one per attempt."""

    id: str
    feed_id: str
    feed_name: str
    state: str
    reason: str
    why: WhyText | None
    allocation_id: str | None
    attempts: int
    errors: list[dict[str, Any]]
    error_code: str
    error_message: str
    not_before: datetime | None
    article_count: int
    new_article_count: int
    ended_at: datetime | None


class AllocationStoryAnswer(AllocationAnswer):
    """An allocation with its timeline, its attempts and what it carries (of messages the first 500)."""

    timeline: list[StepAnswer]
    attempts: list[AttemptAnswer]
    items: list[MemberAnswer]
    deliveries: list[MemberAnswer]


class RetryQuery(Request):
    """What to try again."""

    unconfirmed: bool = Field(
        False, description="Also messages of which nobody knows whether they arrived: they may arrive twice."
    )


class InterventionAnswer(Answer):
    """What became of the allocation: `cancelled`, `cancel_requested`, `already_cancelled` or `tried_again`."""

    allocation_id: str
    outcome: str
    status: str
    items: int
    deliveries: int


class SelectionRequest(AllocationFilterQuery):
    """Which allocations to change, and how. Nothing is changed yet: the answer says how many match."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "cancel", "task_id": "0193…", "status": "pending"}]}
    )

    action: Literal["cancel", "retry"]
    unconfirmed: bool = False


class SelectionPath(Request):
    """Which selection."""

    selection_id: Id


class SelectionAnswer(Answer):
    """The allocations that were counted, and what became of those done; ask again while some remain."""

    id: str
    action: str
    count: int
    by_status: dict[str, int]
    done: int
    remaining: int
    outcomes: dict[str, int] = Field(
        examples=[{"cancelled": 40, "cancel_requested": 2, "allocation_ended": 1}]
    )
    created_at: datetime
    expires_at: datetime


class DispatchedTaskAnswer(Answer):
    """One task of a dispatch; `mp_count` is how many feeds it names.

    `waits_for`: the run whose end the task's new run waits for, or ''.
    """

    id: str
    name: str
    mp_count: int
    run_id: str
    waits_for: str


class SkippedTaskAnswer(Answer):
    """A task that was left out because its run `open_run_id` has not ended, and its overlap policy is `skip`."""

    id: str
    name: str
    open_run_id: str


class WaitingAnswer(Answer):
    """Work that waits for the same reason."""

    kind: str
    why: WhyText
    count: int
    since: datetime


class DispatchAnswer(Answer):
    """What a dispatch did: its items and allocations, and why some of the items wait."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTaskAnswer]
    items: int
    allocations_created: int
    items_waiting: int
    waiting: list[WaitingAnswer]
    reason: str
    skipped: list[SkippedTaskAnswer]
