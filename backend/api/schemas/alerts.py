"""Alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from backend.api.schemas.common import Answer, PageQuery


class AlertQuery(PageQuery):
    """Which alerts."""

    state: Literal["open", "all"] = "open"


class AlertAnswer(Answer):
    """Something that a person should look at; `message` says what happened and what to do."""

    id: str
    rule: str
    subject: str
    message: str
    opened_at: datetime
    closed_at: datetime | None
