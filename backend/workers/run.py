"""`run(allocation_id, attempt)`: the one function that RQ executes. Its arguments are ids and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.errors import CascadeError
from backend.workers.lane import Lane


@dataclass(slots=True)
class _Process:
    lane: Lane | None = None


_process = _Process()


def use_lane(lane: Lane | None) -> None:
    """Give this process its lane; the node process does so in each worker it forks."""
    _process.lane = lane


def run(allocation_id: str, attempt: int) -> int:
    """Begin, work and settle the allocation, and what else fits meanwhile; how many were begun.

    Raises `CascadeError` when this process is no worker of a node process.
    """
    if _process.lane is None:
        raise CascadeError("no_lane")
    return _process.lane.serve(allocation_id, attempt)
