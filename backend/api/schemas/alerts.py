"""Alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from backend.api.schemas.common import Answer, Id, OrEmpty, PageQuery, Request

Rule = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]


class AlertQuery(PageQuery):
    """Which alerts."""

    state: Literal["open", "acknowledged", "closed", "all"] = Field(
        "open", description="acknowledged: open, and somebody looks after it."
    )
    rule: Annotated[Rule | None, OrEmpty()] = Field(None, examples=["alert_node_offline"])


class AlertPath(Request):
    """Which alert."""

    alert_id: Id


class AcknowledgeRequest(Request):
    """What to tell others about it."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    note: str | None = Field(None, max_length=500, examples=["The machine is being repaired."])


class AlertAnswer(Answer):
    """Something that a person should look at; `message` says what happened and what to do.

    `seen_at` and `seen_count`: when and how often it was found true; `failed_notices`: messages about it that could
    not be sent so far.
    """

    id: str
    rule: str
    subject: str
    severity: str = Field(examples=["critical"])
    message: str
    params: dict[str, Any] = Field(examples=[{"node": "beijing-1"}])
    opened_at: datetime
    seen_at: datetime
    seen_count: int
    closed_at: datetime | None
    close_reason: str = Field(examples=["It is no longer so."])
    acknowledged_at: datetime | None
    acknowledged_by: str = Field(examples=["admin"])
    note: str = Field(examples=["The machine is being repaired."])
    failed_notices: int


class NoticeAnswer(Answer):
    """A message about an alert to one receiver: when it was sent, or why not and when it is tried again."""

    kind: str
    receiver: str = Field(examples=["ntfy.sh"])
    attempts: int
    sent_at: datetime | None
    next_attempt_at: datetime | None
    error_code: str
    error_message: str


class AlertDetailAnswer(AlertAnswer):
    """An alert and its messages."""

    notices: list[NoticeAnswer]
