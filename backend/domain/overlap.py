"""What happens when a message task is to run while its last run has not ended."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from backend.domain.errors import InvalidInput


class Overlap(StrEnum):
    """A message task's policy: leave the new run out, let one wait, or run side by side.

    `queue` is the default. It never loses what somebody asked for: one full run starts after the asking, at most
    one waits, and so nothing piles up while nodes are away.
    """

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


class Verdict(StrEnum):
    """What to do with a run that is asked for. `JOIN`: one waits already, and it stands for this one too."""

    START = "start"
    WAIT = "wait"
    JOIN = "join"
    SKIP = "skip"


def decide(policy: Overlap, open_states: Collection[str]) -> Verdict:
    """The verdict, given the states of the task's runs that have not ended."""
    if policy is Overlap.ALLOW or not open_states:
        return Verdict.START
    if policy is Overlap.SKIP:
        return Verdict.SKIP
    return Verdict.JOIN if "queued" in open_states else Verdict.WAIT


def check_overlap(policy: str) -> str:
    """The policy, if there is one of that name. Raises `InvalidInput`."""
    if policy not in set(Overlap):
        raise InvalidInput("bad_overlap", existing=", ".join(Overlap))
    return Overlap(policy).value
