"""Dispatching and allocations."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from backend.api.schemas.common import Answer, Id, OptionalId, OptionalState, PageQuery, Request


class DispatchQuery(Request):
    """Which message task to dispatch; none: every enabled one. An empty id is a mistake, not "every"."""

    task_id: Id | None = None


class AllocationQuery(PageQuery):
    """Which allocations."""

    task_id: OptionalId = None
    node_id: OptionalId = None
    status: OptionalState = None
    kind: Literal["update", "publish", "account", "deliver", "all"] = "update"


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


class DispatchAnswer(Answer):
    """What a dispatch did, and why anything waits."""

    online_nodes: int
    task_count: int
    tasks: list[DispatchedTaskAnswer]
    allocations_created: int
    items_waiting: int
    reason: str
    skipped: list[SkippedTaskAnswer]
