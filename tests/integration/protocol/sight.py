"""What the database says at one moment, read in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.orm import Session

from backend.store import nodes
from backend.store.columns import now
from backend.store.session import read
from backend.store.tables import (
    Allocation,
    Article,
    Delivery,
    DeliveryArticle,
    Feed,
    History,
    MessageTask,
    Node,
    PublishTask,
    Run,
    WorkItem,
    core,
)

ITEMS, ALLOCATIONS, DELIVERIES, RUNS = core(WorkItem), core(Allocation), core(Delivery), core(Run)
ITEM_COLUMNS = (
    "id",
    "run_id",
    "feed_id",
    "state",
    "node_id",
    "allocation_id",
    "execution",
    "attempts",
    "deaths",
    "not_before",
)
ALLOCATION_COLUMNS = (
    *("id", "kind", "queue", "node_id", "run_id", "task_id", "state", "attempt", "execution"),
    *("settled_by", "lease_until", "claim_id", "polled", "cancel_requested", "item_count", "alone", "worker"),
    *("active_account_id", "started_at"),
)
DELIVERY_COLUMNS = (
    *("id", "task_id", "feed_id", "run_id", "allocation_id", "receiver_kind", "state", "attempts"),
    *("in_flight", "body", "not_before"),
)
PUBLISH_COLUMNS = ("id", "allocation_id", "state", "submitted_at", "attempts", "confirmations", "draft_id")
OPEN = ("waiting", "assigned")
HELD = ("claimed", "executing")
UNSETTLED = ("pending", *HELD)


@dataclass(frozen=True)
class Sight:
    """Rows by id; `paused` feeds with the reason; articles and (task, article key) pairs counted; the history of each subject, oldest first."""

    at: Any
    items: dict[str, Any]
    allocations: dict[str, Any]
    deliveries: dict[str, Any]
    runs: dict[str, Any]
    articles: Counter[str]
    pairs: Counter[tuple[str, str]]
    history: tuple[Any, ...]
    in_flight: dict[str, int]
    capacities: dict[str, int]
    tasks: frozenset[str]
    paused: dict[str, str]
    publishes: dict[str, Any]

    def items_of(self, allocation_id: str, state: str = "assigned") -> Iterator[Any]:
        """The allocation's items in that state, oldest first."""
        return (
            row for row in self.items.values() if (row.allocation_id, row.state) == (allocation_id, state)
        )

    def deliveries_of(self, allocation_id: str, state: str = "assigned") -> Iterator[Any]:
        """The allocation's deliveries in that state, oldest first."""
        return (
            row
            for row in self.deliveries.values()
            if (row.allocation_id, row.state) == (allocation_id, state)
        )

    def publish_of(self, allocation_id: str) -> Any:
        """The publish task of the allocation."""
        return next(row for row in self.publishes.values() if row.allocation_id == allocation_id)

    def deadly_of(self, allocation_id: str) -> set[str]:
        """The allocation's open items whose feeds are quarantined: nobody collects them any more."""
        return {
            row.id for row in self.items_of(allocation_id) if self.paused.get(row.feed_id) == "worker_died"
        }

    @property
    def open(self) -> int:
        """How much has not ended."""
        return (
            sum(row.state in OPEN for rows in (self.items, self.deliveries) for row in rows.values())
            + sum(row.state in UNSETTLED for row in self.allocations.values())
            + sum(row.state not in ("completed", "cancelled") for row in self.runs.values())
            + sum(row.state in ("pending", "queued", "running", "held") for row in self.publishes.values())
        )


def look(engine: Engine) -> Sight:
    """Everything as it stands now."""
    return read(engine, _look)


def _look(session: Session) -> Sight:
    # A look is what this costs most: the connection itself is cheaper to ask than the session.
    ask = session.connection()
    articles = select(core(Article).c.key_hash, func.count()).group_by(core(Article).c.key_hash)
    pairs = select(core(DeliveryArticle).c.task_id, core(Article).c.key_hash).join(
        core(Article), core(Article).c.id == core(DeliveryArticle).c.article_id
    )
    paused = select(core(Feed).c.id, core(Feed).c.paused_reason).where(~core(Feed).c.is_active)
    history = core(History).c
    moves = select(history.noun, history.subject_id, history.from_state, history.to_state, history.actor)
    return Sight(
        ask.scalar(select(now())),
        _rows(ask, ITEMS, ITEM_COLUMNS),
        _rows(ask, ALLOCATIONS, ALLOCATION_COLUMNS),
        _rows(ask, DELIVERIES, DELIVERY_COLUMNS),
        _rows(ask, RUNS, ("id", "task_id", "state")),
        Counter({row[0]: row[1] for row in ask.execute(articles)}),
        Counter((row[0], row[1]) for row in ask.execute(pairs)),
        tuple(ask.execute(moves.order_by(history.id))),
        nodes.items_in_flight(session),
        {row.id: row.max_capacity for row in ask.execute(select(core(Node).c.id, core(Node).c.max_capacity))},
        frozenset(ask.scalars(select(core(MessageTask).c.id))),
        {row.id: row.paused_reason for row in ask.execute(paused)},
        _rows(ask, core(PublishTask), PUBLISH_COLUMNS),
    )


def _rows(ask: Connection, table: Any, columns: tuple[str, ...]) -> dict[str, Any]:
    query = select(*(table.c[name] for name in columns)).order_by(table.c.id)
    return {row.id: row for row in ask.execute(query)}
