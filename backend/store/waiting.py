"""What waits, and why: counted by reason, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import first_id_of
from backend.domain.nodes import availability
from backend.domain.publish_admission import PublishLimits
from backend.domain.waiting import (
    AllocationFacts,
    Backoff,
    HostFacts,
    Scene,
    why_allocation_waits,
    why_delivery_waits,
    why_item_waits,
)
from backend.domain.why import Why
from backend.store import publish_waiting
from backend.store.allocation_views import OPEN, count_allocations
from backend.store.columns import now
from backend.store.scene import scene, sending_facts_of
from backend.store.tables import Allocation, Delivery, Host, PublishTask, WorkItem

# Work that ended today was made since yesterday; older stragglers are not worth a scan.
LOOK_BACK = timedelta(days=1)
ACCOUNTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Work of one kind that waits for the same reason; `since` is when the oldest of it was made."""

    kind: str
    why: Why
    count: int
    since: datetime

    @property
    def reason(self) -> str:
        """Why it waits, in English."""
        return self.why.sentence()


def waiting(session: Session, limits: PublishLimits | None = None) -> list[WaitingGroup]:
    """Waiting work items, deliveries and publish tasks by reason, the largest group of each kind first."""
    at = scene(session)
    return [
        *waiting_items(session, at),
        *_deliveries(session, at),
        *_publishes(session, limits or PublishLimits(), at),
    ]


def _publishes(session: Session, limits: PublishLimits, at: Scene) -> list[WaitingGroup]:
    """Publish tasks by why the first of their account waits. For admins: the reasons name users' accounts."""
    query = (
        select(PublishTask.state, func.count(), func.min(PublishTask.created_at), func.min(PublishTask.id))
        .where(PublishTask.state.in_(publish_waiting.WAITING))
        .group_by(PublishTask.state, PublishTask.account_id)
        .order_by(func.count().desc())
        .limit(ACCOUNTS_SHOWN)
    )
    rows = session.execute(query).all()
    told = publish_waiting.waits(session, [row[3] for row in rows], limits, at)
    groups = [WaitingGroup("publish", told[row[3]].why, row[1], row[2]) for row in rows if row[3] in told]
    return _merged(groups)


def waiting_items(session: Session, at: Scene, run_ids: Sequence[str] | None = None) -> list[WaitingGroup]:
    """Waiting work items, of all runs or of some, by reason.

    Those of one error and kind of feed wait together; the moment is that of the first one that may go on.
    """
    where = [] if run_ids is None else [WorkItem.run_id.in_(run_ids)]
    groups = [
        WaitingGroup(
            "update",
            why_item_waits(
                Backoff(until, attempts, code, said), kind, at, HostFacts(name, held_until, int(is_busy))
            ),
            count,
            since,
        )
        for kind, code, name, held_until, is_busy, count, since, until, attempts, said in session.execute(
            _items_by_reason().where(*where)
        )
    ]
    return _merged(groups)


def _items_by_reason() -> Select[Any]:
    """Only hosts that hinder are told apart: those that are to be left alone, and those of which nodes have items."""
    busy = (
        select(WorkItem.host, func.count().label("in_flight"))
        .where(WorkItem.state == "assigned", WorkItem.host != "")
        .group_by(WorkItem.host)
        .subquery()
    )
    held = and_(Host.name == WorkItem.host, Host.held_until > now())
    host = case((Host.held_until.is_not(None), WorkItem.host), else_="")
    return (
        select(
            WorkItem.feed_kind,
            WorkItem.error_code,
            host,
            func.max(Host.held_until),
            busy.c.host.is_not(None),
            func.count(),
            func.min(WorkItem.created_at),
            func.min(WorkItem.not_before),
            func.max(WorkItem.attempts),
            func.max(WorkItem.error_message),
        )
        .outerjoin(Host, held)
        .outerjoin(busy, busy.c.host == WorkItem.host)
        .where(WorkItem.state == "waiting")
        .group_by(
            WorkItem.feed_kind,
            WorkItem.error_code,
            host,
            busy.c.host.is_not(None),
            WorkItem.not_before.is_(None),
        )
    )


def _deliveries(session: Session, at: Scene) -> list[WaitingGroup]:
    query = (
        select(
            Delivery.receiver,
            Delivery.receiver_kind,
            Delivery.error_code,
            func.count(),
            func.min(Delivery.created_at),
            func.min(Delivery.not_before),
            func.max(Delivery.attempts),
            func.max(Delivery.error_message),
        )
        .where(Delivery.state == "waiting")
        .group_by(
            Delivery.receiver, Delivery.receiver_kind, Delivery.error_code, Delivery.not_before.is_(None)
        )
    )
    rows = session.execute(query).all()
    sending = sending_facts_of(session, {row[0]: row[1] for row in rows}, at)
    groups = [
        WaitingGroup(
            "deliver",
            why_delivery_waits(Backoff(until, attempts, code, said), sending[receiver], at),
            count,
            since,
        )
        for receiver, _, code, count, since, until, attempts, said in rows
    ]
    return _merged(groups)


def _merged(groups: Iterable[WaitingGroup]) -> list[WaitingGroup]:
    """Groups with the same sentence as one, the largest first."""
    found: dict[str, WaitingGroup] = {}
    for group in groups:
        known = found.get(group.reason)
        count = group.count + (known.count if known else 0)
        since = min(group.since, known.since) if known else group.since
        found[group.reason] = WaitingGroup(group.kind, group.why, count, since)
    return sorted(found.values(), key=lambda one: (-one.count, one.reason))


@dataclass(frozen=True, slots=True)
class NodeBacklog:
    """What one node has of one kind of work, and why its oldest pending allocation waits."""

    node_id: str
    node_name: str
    kind: str
    pending: int
    claimed: int
    executing: int
    oldest_pending_at: datetime | None
    why: Why | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Everything that has not ended, in numbers. Today is the day in UTC."""

    pending: int
    executing: int
    completed_today: int
    failed_today: int
    online_nodes: int
    items_waiting: int
    deliveries_waiting: int
    by_node: list[NodeBacklog]
    waiting: list[WaitingGroup]


def backlog(session: Session) -> Backlog:
    """The statistics of what is pending, by node and kind, and of what waits, by reason."""
    at = scene(session)
    groups = [*waiting_items(session, at), *_deliveries(session, at)]
    by_node = _by_node(session, at)
    today = at.now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Backlog(
        pending=sum(one.pending for one in by_node),
        executing=sum(one.claimed + one.executing for one in by_node),
        completed_today=_ended_since(session, "completed", today),
        failed_today=_ended_since(session, "failed", today),
        online_nodes=sum(1 for node in at.nodes if node.node_type == 1 and availability(node).online),
        items_waiting=sum(one.count for one in groups if one.kind == "update"),
        deliveries_waiting=sum(one.count for one in groups if one.kind == "deliver"),
        by_node=by_node,
        waiting=groups,
    )


def _ended_since(session: Session, status: str, moment: datetime) -> int:
    recent = Allocation.id >= first_id_of(moment - LOOK_BACK)
    ended = (Allocation.state == status, Allocation.lease_until.is_(None), Allocation.ended_at >= moment)
    return count_allocations(session, [recent, *ended])[0]


def _by_node(session: Session, at: Scene) -> list[NodeBacklog]:
    query = (
        select(
            Allocation.node_id,
            Allocation.kind,
            Allocation.state,
            func.count(),
            func.min(Allocation.created_at),
        )
        .where(Allocation.state.in_(OPEN))
        .group_by(Allocation.node_id, Allocation.kind, Allocation.state)
    )
    found: dict[tuple[str, str], dict[str, tuple[int, datetime]]] = {}
    for node_id, kind, status, count, oldest in session.execute(query):
        found.setdefault((node_id, kind), {})[status] = (count, oldest)
    return [
        _node_backlog(node_id, kind, by_status, at) for (node_id, kind), by_status in sorted(found.items())
    ]


def _node_backlog(
    node_id: str, kind: str, by_status: dict[str, tuple[int, datetime]], at: Scene
) -> NodeBacklog:
    node = at.node(node_id)
    pending, oldest = by_status.get("pending", (0, None))
    return NodeBacklog(
        node_id=node_id,
        node_name=node.name if node else "",
        kind=kind,
        pending=pending,
        claimed=by_status.get("claimed", (0, None))[0],
        executing=by_status.get("executing", (0, None))[0],
        oldest_pending_at=oldest,
        why=why_allocation_waits(AllocationFacts(kind, "pending", node_id), at) if pending else None,
    )
