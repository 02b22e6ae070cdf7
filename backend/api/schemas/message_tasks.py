"""Message tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from backend.api.schemas.common import MAX_SECRET, Answer, FeedIds, Headers, Id, Request, Template, Whole
from backend.domain.message_tasks import MAX_NAME as MAX_TASK_NAME
from backend.domain.overlap import Overlap
from backend.domain.states import TickState

AUTONOMOUS = (
    "The remote node that collects it on its cron while it does not reach its parent; empty for none."
)


class TaskRequest(Request):
    """A message task to add."""

    name: str = Field(max_length=MAX_TASK_NAME)
    feed_ids: FeedIds
    message_type: Whole = 0
    message_template: Template = ""
    web_hook_url: str = Field("", max_length=2048)
    headers: Headers = ""
    cookies: str = Field("", max_length=MAX_SECRET)
    cron_exp: str = Field("", max_length=100)
    time_zone: str = Field("UTC", max_length=64)
    enabled: bool = True
    overlap: Overlap = Overlap.QUEUE
    autonomous_node_id: Id | Literal[""] = Field("", description=AUTONOMOUS)


class TaskChangeRequest(Request):
    """What to change of a message task; what is left out stays."""

    name: str = Field("", max_length=MAX_TASK_NAME)
    feed_ids: FeedIds = "all"
    message_type: Whole = 0
    message_template: Template = ""
    web_hook_url: str = Field("", max_length=2048)
    headers: Headers = ""
    cookies: str = Field("", max_length=MAX_SECRET)
    cron_exp: str = Field("", max_length=100)
    time_zone: str = Field("UTC", max_length=64)
    enabled: bool = True
    overlap: Overlap = Overlap.QUEUE
    autonomous_node_id: Id | Literal[""] = Field("", description=AUTONOMOUS)


class TaskPath(Request):
    """Which message task."""

    task_id: Id


class TaskAnswer(Answer):
    """A message task; receiver, headers and cookies are masked for viewers.

    `schedule_in_words` is in the language of the answer. `next_fire_times`: the next three, none while it is paused.
    """

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
    overlap: Overlap
    autonomous_node_id: str
    paused: bool
    schedule_in_words: str
    next_fire_times: list[datetime]
    baseline_at: datetime
    created_at: datetime


class TickAnswer(Answer):
    """One planned time of a task's schedule, or `count` missed ones in a row, up to `last_planned_at`.

    `run_id` is the run that it made, or the one because of which it was skipped.
    """

    id: str
    planned_at: datetime
    last_planned_at: datetime
    count: int
    state: TickState
    reason: str
    run_id: str | None
    decided_at: datetime
    late_seconds: float
