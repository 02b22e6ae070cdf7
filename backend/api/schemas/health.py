"""Readiness."""

from __future__ import annotations

from backend.api.schemas.common import Answer


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
