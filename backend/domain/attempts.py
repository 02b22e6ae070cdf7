"""The attempts of an allocation, read out of its history: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One move of an allocation."""

    at: datetime
    actor: str
    from_state: str
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that somebody had the work: from taking it to its end. `ended_as` is empty while it runs."""

    number: int
    taken_by: str
    taken_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    ended_as: str = ""
    reason: str = ""


def attempts_of(timeline: Sequence[Step]) -> list[Attempt]:
    """The attempts, oldest first. What comes back to `pending` was an attempt that was lost or handed back."""
    found: list[Attempt] = []
    taken: Step | None = None
    began: datetime | None = None
    for step in timeline:
        if step.to_state in {"claimed", "executing"}:
            taken = taken or step
            began = step.at if step.to_state == "executing" else None
        elif taken is not None:
            found.append(_attempt(len(found) + 1, taken, began, step))
            taken = began = None
    return found if taken is None else [*found, _attempt(len(found) + 1, taken, began, None)]


def _attempt(number: int, taken: Step, began: datetime | None, end: Step | None) -> Attempt:
    if end is None:
        return Attempt(number, taken.actor, taken.at, began)
    ended_as = "lost" if end.to_state == "pending" else end.to_state
    return Attempt(number, taken.actor, taken.at, began, end.at, ended_as, end.reason)
