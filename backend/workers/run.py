"""`run(allocation_id, attempt)`: the one function that RQ executes for work, and `canary(queue, token)`, which proves that it would.

Their arguments are ids and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.domain.errors import CascadeError
from backend.workers.lane import Lane


@dataclass(slots=True)
class _Process:
    lane: Lane | None = None
    prove: Callable[[str, str], bool] | None = None


_process = _Process()


def use_lane(lane: Lane | None, prove: Callable[[str, str], bool] | None = None) -> None:
    """Give this process its lane, and how it serves canaries; the node process does so in each worker it forks."""
    _process.lane, _process.prove = lane, prove


def run(allocation_id: str, attempt: int) -> int:
    """Begin, work and settle the allocation, and what else fits meanwhile; how many were begun.

    Raises `CascadeError` when this process is no worker of a node process.
    """
    if _process.lane is None:
        raise CascadeError("no_lane")
    return _process.lane.serve(allocation_id, attempt)


def canary(queue: str, token: str) -> bool:
    """Begin and settle a canary as work is begun and settled; `False` for one that is late or a duplicate.

    Raises `CascadeError` when this process is no worker of a node process, or the database stays away.
    """
    if _process.prove is None:
        raise CascadeError("no_lane")
    return _process.prove(queue, token)
