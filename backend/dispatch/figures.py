"""What the metrics show beside what processes count: open work, nodes, queues and RQ's own records, right now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend import metrics
from backend.dispatch import queue_figures, queues
from backend.domain.errors import Unavailable
from backend.metrics import Family
from backend.store import nodes
from backend.store.figures import NodeFigures, OpenFigures, open_figures
from backend.store.session import read

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

NODE_FAMILIES: tuple[tuple[str, str, Callable[[NodeFigures], float | None]], ...] = (
    ("cascade_node_active", "Whether the node is switched on.", lambda one: one.active),
    ("cascade_node_online", "Whether the node is active and beat within 180 s.", lambda one: one.online),
    ("cascade_node_available", "Whether the node gets new work.", lambda one: one.available),
    ("cascade_node_workers", "Living worker processes of an attached node.", lambda one: one.workers),
    ("cascade_node_items_in_flight", "Items that the node holds.", lambda one: one.in_flight),
    ("cascade_node_capacity", "Items that the node may hold.", lambda one: one.capacity),
    ("cascade_outbox_entries", "Outcomes that wait for the database.", lambda one: one.outbox_entries),
    ("cascade_outbox_dead", "Outcomes that could not be used.", lambda one: one.outbox_dead),
    ("cascade_outbox_oldest_seconds", "Age of the oldest waiting outcome.", lambda one: one.outbox_seconds),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """A collector over the parent's database and Redis; a part that is away is shown as down, and its families are left out."""

    engine: Engine
    redis: Redis | None

    def families(self) -> Iterator[Family]:
        """Everything, asked for now; never raises for a part that is away."""
        up = Family("cascade_up", "Whether the part answers the parent.", ("part",))
        names: list[str] = [queues.DEFAULT_QUEUE]
        try:
            found, slugs = read(
                self.engine, lambda session: (open_figures(session), nodes.all_slugs(session)), attempts=1
            )
            names = queues.existing_queues(slugs)
            yield from of_database(found)
            up.add(1, "database")
        except (Unavailable, SQLAlchemyError):
            up.add(0, "database")
        try:
            if self.redis is not None:
                yield from of_redis(self.redis, names)
                up.add(1, "redis")
        except (RedisError, OSError):
            up.add(0, "redis")
        yield up


def of_database(found: OpenFigures) -> Iterator[Family]:
    """The families that the database brings."""
    yield Family.of(
        "cascade_allocations", "Allocations that have not ended.", ("kind", "state"), found.allocations
    )
    yield Family.of("cascade_items", "Work items that have not ended.", ("kind", "state"), found.items)
    yield Family.of("cascade_deliveries", "Deliveries that have not ended.", ("state",), found.deliveries)
    yield Family.of("cascade_runs", "Runs that have not ended.", ("state",), found.runs)
    yield Family.of(
        "cascade_publish_tasks",
        "Publish tasks that have not ended, the unconfirmed among them.",
        ("state",),
        found.publish_tasks,
    )
    yield Family.of(
        "cascade_publish_accounts", "Accounts by their health.", ("platform", "health"), found.accounts
    )
    yield Family.of(
        "cascade_queue_latency_seconds",
        "For how long the queue's oldest pending allocation has waited.",
        ("queue",),
        found.latency,
    )
    yield Family.of(
        "cascade_queue_flow_seconds",
        "Seconds since something, work or a canary, was settled from a queue with live workers, or it got them.",
        ("queue",),
        found.flow,
    )
    yield Family.of("cascade_alerts_open", "Open alerts.", ("rule",), found.alerts)
    for name, text, value in NODE_FAMILIES:
        told = {one.name: value(one) for one in found.nodes}
        yield Family.of(name, text, ("node",), {node: one for node, one in told.items() if one is not None})
    online = sum(one.online for one in found.nodes)
    yield Family.of("cascade_nodes_online", "Nodes that are online.", (), {(): online})


def of_redis(redis: Redis, names: list[str]) -> Iterator[Family]:
    """The families that Redis brings; `rq_jobs` and `rq_workers` as rq-exporter 3.1 names them."""
    started = time.monotonic()
    jobs, workers = queue_figures.job_counts(redis, names), queue_figures.workers(redis)
    metrics.observe(metrics.RQ_READS, time.monotonic() - started)
    depth = {queue: count for (queue, status), count in jobs.items() if status == "queued"}
    yield Family.of("cascade_queue_depth", "Jobs in the queue's list.", ("queue",), depth)
    yield Family.of("rq_jobs", "RQ jobs by state", ("queue", "status"), jobs)
    labels = {(one.name, one.state, one.queues): 1 for one in workers}
    yield Family.of("rq_workers", "RQ workers", ("name", "state", "queues"), labels)
