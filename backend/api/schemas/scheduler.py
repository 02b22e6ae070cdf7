"""The scheduler of all message tasks."""

from __future__ import annotations

from datetime import datetime

from backend.api.schemas.common import Answer


class SchedulerAnswer(Answer):
    """Whether schedules fire, since when and by whom, and when all of them were last planned anew."""

    running: bool
    changed_at: datetime
    changed_by: str
    reloaded_at: datetime | None


class ReloadAnswer(SchedulerAnswer):
    """The scheduler after a reload; `planned` is how many schedules were planned anew."""

    planned: int
