"""Readiness."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backend.api.schemas.common import Answer, ChildRequest
from backend.api.schemas.scheduler import SchedulerAnswer


class ReadinessQuery(ChildRequest):
    """How much to tell."""

    verbose: str | None = Field(
        None, description="Present, whatever its value: list every queue, and whether schedules fire."
    )


class LivenessAnswer(Answer):
    """This process answers."""

    status: Literal["alive"] = "alive"


class CheckAnswer(Answer):
    """One condition of readiness."""

    name: str
    ok: bool
    detail: str


class QueueAnswer(Answer):
    """A queue, with how many workers serve it and how many jobs wait.

    `settled_seconds`: since its last real settle; `proved_seconds`: since that or its last canary; `stopped`: its
    workers live, and nothing flows.
    """

    name: str
    consumers: int
    waiting: int
    settled_seconds: float | None
    proved_seconds: float | None
    stopped: bool


class ReadinessAnswer(Answer):
    """Whether the parent can do its work."""

    ready: bool
    checks: list[CheckAnswer]
    queues: list[QueueAnswer]
    scheduler: SchedulerAnswer | None
