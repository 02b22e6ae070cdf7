"""How fast work could be done at best: slots that cost nothing and never idle while something waits."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


def list_schedule(durations: Sequence[float], slots: int) -> float:
    """The end of the last one when each, in the given order, starts as soon as a slot is free.

    That is what somebody can reach who does not know which ones take long.
    """
    if slots < 1:
        raise ValueError("there must be a slot")
    busy = [0.0] * min(slots, max(1, len(durations)))
    for duration in durations:
        heapq.heapreplace(busy, busy[0] + duration)
    return max(busy)


def lower_bound(durations: Sequence[float], slots: int) -> float:
    """Below this nobody can end, even knowing every duration: the longest one, or all of them shared evenly."""
    if not durations:
        return 0.0
    equal = max(durations) == min(durations)
    rounds = math.ceil(len(durations) / slots) * max(durations) if equal else 0.0
    return max(*durations, math.fsum(durations) / slots, rounds)
