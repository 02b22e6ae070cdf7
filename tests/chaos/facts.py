"""What the database and the stand-ins say at the end, as plain data; times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from backend.store.session import read
from backend.store.tables import (
    Allocation,
    Article,
    Base,
    Delivery,
    DeliveryArticle,
    History,
    Node,
    Run,
    WorkItem,
)
from tests.chaos.load import Task
from tests.standins.receivers import Received


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run."""

    id: str
    task_id: str
    state: str
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class ItemFact:
    """A work item."""

    id: str
    run_id: str
    feed_id: str
    state: str
    error_code: str
    attempts: int
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class AllocationFact:
    """An allocation."""

    id: str
    kind: str
    node: str
    state: str
    run_id: str | None
    feed_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One move of an allocation, in the order of its history."""

    allocation_id: str
    at: float
    source: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArticleFact:
    """A stored article."""

    id: str
    feed_id: str
    link: str
    stored_at: float


@dataclass(frozen=True, slots=True)
class DeliveryFact:
    """A delivery, with the articles that it tells."""

    id: str
    task_id: str
    feed_id: str
    state: str
    repeatable: bool
    ended_at: float | None
    articles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A request that a receiver got. `key` is empty where the sender gives none."""

    path: str
    key: str
    at: float
    acknowledged: bool
    articles: tuple[str, ...]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows."""

    runs: Sequence[RunFact] = ()
    items: Sequence[ItemFact] = ()
    allocations: Sequence[AllocationFact] = ()
    steps: Sequence[Step] = ()
    articles: Sequence[ArticleFact] = ()
    deliveries: Sequence[DeliveryFact] = ()


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was seen of connections and processes at the very end, and of leases all along.

    `connections`: by part, how many it had to each server after the quiet period, and what it may have. `refused_settles`:
    how many late ones the workers' logs tell of.
    """

    processes: Sequence[str] = ()
    connections: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    refused_settles: int = 0
    longest_overdue: float = 0.0
    overdue_allowed: float = 0.0


def read_tables(engine: Engine) -> Tables:
    """Everything, in one reading transaction."""
    return read(engine, _read)


def _read(session: Session) -> Tables:
    nodes = {row.id: row.name for row in session.execute(select(Node.id, Node.name))}
    told: dict[str, list[str]] = {}
    for row in session.execute(select(DeliveryArticle.delivery_id, DeliveryArticle.article_id)):
        told.setdefault(row.delivery_id, []).append(row.article_id)
    return Tables(
        runs=[
            RunFact(row.id, row.task_id, row.state, _when(row.created_at), _maybe(row.ended_at))
            for row in _rows(session, Run)
        ],
        items=[
            ItemFact(
                *(row.id, row.run_id, row.feed_id, row.state, row.error_code, row.attempts),
                *(_when(row.created_at), _maybe(row.ended_at)),
            )
            for row in _rows(session, WorkItem)
        ],
        allocations=[
            AllocationFact(
                row.id,
                row.kind,
                nodes.get(row.node_id, row.node_id),
                row.state,
                row.run_id,
                tuple(row.feed_ids),
            )
            for row in _rows(session, Allocation)
        ],
        steps=[
            Step(row.subject_id, _when(row.at), row.from_state, row.to_state, row.reason)
            for row in session.scalars(
                select(History).where(History.noun == "allocation").order_by(History.id)
            )
        ],
        articles=[
            ArticleFact(row.id, row.feed_id, row.url, _when(row.first_stored_at))
            for row in _rows(session, Article)
        ],
        deliveries=[
            DeliveryFact(
                *(row.id, row.task_id, row.feed_id, row.state, row.receiver_kind == "webhook"),
                *(_maybe(row.ended_at), tuple(sorted(told.get(row.id, ())))),
            )
            for row in _rows(session, Delivery)
        ],
    )


def _rows(session: Session, table: type[Base]) -> Iterable[Any]:
    return session.scalars(select(table))


def _when(moment: datetime) -> float:
    return moment.timestamp()


def _maybe(moment: datetime | None) -> float | None:
    return None if moment is None else _when(moment)


def messages(received: Iterable[Received]) -> list[Message]:
    """The receivers' journal."""
    return [
        Message(
            one.path,
            one.idempotency_key,
            one.at.timestamp(),
            one.acknowledged,
            tuple(article.removeprefix("http://told/") for article in one.articles),
            one.body,
        )
        for one in received
    ]


@dataclass(frozen=True, slots=True)
class Visited:
    """A request that a feed got: the source's own name of the feed, the status that it answered, and when."""

    feed: str
    status: int
    at: float


@dataclass(frozen=True, slots=True)
class World:
    """What tasks there are, whose feeds they name, and what never works. `feed_names`: by id, the source's own."""

    tasks: Sequence[Task] = ()
    feed_names: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
