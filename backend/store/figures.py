"""What the metrics show of the database: how much is open, since when, and where. Never reads what has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.nodes import NodeFacts, availability
from backend.domain.states import ALLOCATION, DELIVERY, PUBLISH_TASK, RUN, WORK_ITEM, LifeCycle
from backend.store import nodes
from backend.store.columns import now
from backend.store.flow import served_queues
from backend.store.tables import (
    Alert,
    Allocation,
    Delivery,
    Node,
    PublishAccount,
    PublishTask,
    QueueHealth,
    Run,
    WorkItem,
)


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node: availability, workers (`None`: only the parent's own network knows them), load, and its outbox as its
    last beat told.
    """

    name: str
    active: bool
    online: bool
    available: bool
    workers: int | None
    in_flight: int
    capacity: int
    outbox_entries: int
    outbox_dead: int
    outbox_seconds: float


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """How many are open, by what they are and their state, for how many seconds each queue's oldest has waited,
    and for how many nothing was proved to flow through it although its workers live.
    """

    allocations: dict[tuple[str, str], int]
    items: dict[tuple[str, str], int]
    deliveries: dict[str, int]
    runs: dict[str, int]
    publish_tasks: dict[str, int]
    accounts: dict[tuple[str, str], int]
    latency: dict[str, float]
    flow: dict[str, float]
    alerts: dict[str, int]
    nodes: list[NodeFigures]


def open_figures(session: Session) -> OpenFigures:
    """Counts over indexes of open states only, however much has ended."""
    current: datetime = session.execute(select(now())).scalar_one()
    return OpenFigures(
        allocations=_by_kind(session, Allocation.kind, Allocation.state, _open(ALLOCATION)),
        items=_by_kind(session, WorkItem.feed_kind, WorkItem.state, _open(WORK_ITEM)),
        deliveries=_by_state(session, Delivery.state, _open(DELIVERY)),
        runs=_by_state(session, Run.state, _open(RUN)),
        # An unconfirmed one has not ended: a person must say how it did.
        publish_tasks=_by_state(session, PublishTask.state, [*_open(PUBLISH_TASK), "unconfirmed"]),
        accounts=_accounts(session),
        latency=_latency(session, current),
        flow=_flow(session, current),
        alerts=_alerts(session),
        nodes=_nodes(session, current),
    )


def _open(cycle: LifeCycle) -> list[str]:
    # `failed` and `unconfirmed` can be tried again, but nothing goes on by itself there.
    ended = cycle.finals | {"failed", "unconfirmed", "completed"}
    return sorted(cycle.states - ended)


def _by_kind(session: Session, kind: Any, state: Any, states: Sequence[str]) -> dict[tuple[str, str], int]:
    query = select(kind, state, func.count()).where(state.in_(states)).group_by(kind, state)
    return {(of_kind, in_state): count for of_kind, in_state, count in session.execute(query)}


def _by_state(session: Session, state: Any, states: Sequence[str]) -> dict[str, int]:
    found = dict.fromkeys(states, 0)
    query = select(state, func.count()).where(state.in_(states)).group_by(state)
    for in_state, count in session.execute(query):
        found[in_state] = count
    return found


def _accounts(session: Session) -> dict[tuple[str, str], int]:
    of_platform = (PublishAccount.platform, PublishAccount.health)
    query = select(*of_platform, func.count()).where(PublishAccount.is_active).group_by(*of_platform)
    return {(platform, health): count for platform, health, count in session.execute(query)}


def _latency(session: Session, current: datetime) -> dict[str, float]:
    query = (
        select(Allocation.queue, func.min(Allocation.updated_at))
        .where(Allocation.state == "pending")
        .group_by(Allocation.queue)
    )
    return {queue: max(0.0, (current - since).total_seconds()) for queue, since in session.execute(query)}


def _flow(session: Session, current: datetime) -> dict[str, float]:
    # Nothing can flow where nobody works, and nothing is proved to: other figures tell of that.
    served = {one.name for one in served_queues(session) if one.attached and one.consumers and one.proved}
    query = select(
        QueueHealth.queue, QueueHealth.settled_at, QueueHealth.canary_settled_at, QueueHealth.served_since
    )
    since = {queue: [at for at in moments if at is not None] for queue, *moments in session.execute(query)}
    return {
        queue: max(0.0, (current - max(moments)).total_seconds())
        for queue, moments in since.items()
        if moments and queue in served
    }


def _alerts(session: Session) -> dict[str, int]:
    query = select(Alert.rule, func.count()).where(Alert.open_key.is_not(None)).group_by(Alert.rule)
    return {str(rule): int(count) for rule, count in session.execute(query)}


def _workers(known: NodeFacts, *, online: bool) -> int | None:
    if known.transport != "attached":
        return None
    return known.workers_alive if online else 0


def _nodes(session: Session, current: datetime) -> list[NodeFigures]:
    outboxes = {
        row.id: row
        for row in session.execute(
            select(Node.id, Node.outbox_entries, Node.outbox_dead, Node.outbox_oldest_at)
        )
    }
    found = []
    for known in nodes.facts(session):
        verdict, outbox = availability(known), outboxes[known.id]
        oldest = outbox.outbox_oldest_at
        found.append(
            NodeFigures(
                name=known.name,
                active=known.is_active,
                online=verdict.online,
                available=verdict.available,
                workers=_workers(known, online=verdict.online),
                in_flight=known.in_flight,
                capacity=known.max_capacity,
                outbox_entries=outbox.outbox_entries,
                outbox_dead=outbox.outbox_dead,
                outbox_seconds=max(0.0, (current - oldest).total_seconds()) if oldest else 0.0,
            )
        )
    return found
