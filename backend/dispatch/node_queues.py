"""How much waits for each node: in its queue, or, for nodes without one, to be claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.store.allocations import pending_by_node
from backend.store.session import read

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.store.node_views import NodeView


def queue_lengths(engine: Engine, redis: Redis | None, views: Sequence[NodeView]) -> dict[str, int | None]:
    """By node; `None` where only Redis knows and it is away."""
    remote = [view.id for view in views if view.transport == "remote"]
    attached = [view for view in views if view.transport == "attached"]
    pending = read(engine, lambda session: pending_by_node(session, remote)) if remote else {}
    found: dict[str, int | None] = {one: pending.get(one, 0) for one in remote}
    try:
        known = queues.lengths(redis, [view.queue for view in attached]) if redis else {}
    except RedisError:
        known = {}
    return found | {view.id: known.get(view.queue) for view in attached}
