"""Whether a node is online and available: pure, from facts by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Whether a node is online (the seeds' 180 s rule) and gets work, and the reason when it does not."""

    online: bool
    available: bool
    reason: str = ""


def availability(node: NodeFacts) -> Availability:
    """online = active and a beat within 180 s; available = also present within 45 s, not draining and not full."""
    online = node.is_active and node.silent_seconds is not None and node.silent_seconds < ONLINE_SECONDS
    reason = _hindrance(node)
    return Availability(online, online and not reason, reason)


def _hindrance(node: NodeFacts) -> str:
    if not node.is_active:
        return "switched off"
    if node.silent_seconds is None:
        return "not running"
    if node.silent_seconds >= PRESENCE_SECONDS:
        return f"silent for {node.silent_seconds:.0f} s"
    hindrances = {
        "none of its workers runs": node.transport == "attached" and not node.workers_alive,
        "draining": node.draining,
        f"full: {node.in_flight}/{node.max_capacity}": node.in_flight >= node.max_capacity,
    }
    return next((reason for reason, holds in hindrances.items() if holds), "")


def is_gone(node: NodeFacts) -> bool:
    """Whether work that waits in the node's queue should be planned again elsewhere."""
    return not node.is_active or node.silent_seconds is None or node.silent_seconds >= ONLINE_SECONDS
