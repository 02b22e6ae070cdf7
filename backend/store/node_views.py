"""A node as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.domain.why import Why


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as people see it. `status` is 1 while online; `why` and `reason` say why it is not available.

    `api_key` is the key of its current credentials, empty without any.
    """

    id: str
    name: str
    slug: str
    node_type: int
    transport: str
    third_party: bool
    description: str
    api_url: str
    callback_url: str
    api_key: str
    status: int
    is_active: bool
    draining: bool
    available: bool
    why: Why | None
    reason: str
    current_tasks: int
    max_capacity: int
    feed_quota: dict[str, int]
    kinds: tuple[str, ...]
    sources: tuple[str, ...] | None
    publishers: tuple[str, ...] | None
    protocol: int | None
    last_heartbeat_at: datetime | None
    last_sync_at: datetime | None
    workers_alive: int
    outbox_entries: int
    outbox_oldest_at: datetime | None
    outbox_dead: int
    version: str
    queue: str
    created_at: datetime
    updated_at: datetime
