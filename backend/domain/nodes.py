"""Whether a node is online and available: pure, from facts by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.domain.why import Why

ONLINE_SECONDS = 180.0
PRESENCE_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of a node. `silent_seconds` since its last beat; `None` when it never beat or signed off.

    `workers_alive` counts for attached nodes only."""

    id: str
    name: str
    slug: str
    node_type: int
    transport: str
    is_active: bool
    draining: bool
    kinds: tuple[str, ...]
    in_flight: int
    max_capacity: int
    silent_seconds: float | None
    workers_alive: int = 1
    quota: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a node is online (the seeds' 180 s rule) and gets work, and why when it does not."""

    online: bool
    available: bool
    why: Why | None = None

    @property
    def reason(self) -> str:
        """Why it gets no work, in English; empty when it gets some."""
        return self.why.sentence() if self.why else ""


def availability(node: NodeFacts) -> Availability:
    """online = active and a beat within 180 s; available = also present within 45 s, not draining and not full."""
    online = node.is_active and node.silent_seconds is not None and node.silent_seconds < ONLINE_SECONDS
    why = _hindrance(node)
    return Availability(online, online and why is None, why)


def _hindrance(node: NodeFacts) -> Why | None:
    if not node.is_active:
        return Why("node_off")
    if node.silent_seconds is None:
        return Why("node_not_running")
    if node.silent_seconds >= PRESENCE_SECONDS:
        return Why("node_silent", {"seconds": f"{node.silent_seconds:.0f}"})
    full = Why("node_full", {"in_flight": node.in_flight, "max_capacity": node.max_capacity})
    hindrances = (
        (Why("node_workerless"), node.transport == "attached" and not node.workers_alive),
        (Why("node_draining"), node.draining),
        (full, node.in_flight >= node.max_capacity),
    )
    return next((why for why, holds in hindrances if holds), None)


def is_gone(node: NodeFacts) -> bool:
    """Whether work that waits in the node's queue should be planned again elsewhere."""
    return not node.is_active or node.silent_seconds is None or node.silent_seconds >= ONLINE_SECONDS
