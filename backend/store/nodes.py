"""Nodes: making them, their presence, and what the planner and people see of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.domain.identifiers import new_id, slug_for
from backend.domain.node_settings import DEFAULT_CAPACITY, NodeSettings, check_settings
from backend.domain.nodes import NodeFacts, availability, collected_kinds
from backend.domain.planner import NodeLoad
from backend.store.columns import now
from backend.store.tables import Delivery, Node, WorkItem

PARENT = "parent"
PARENT_CAPACITY = 40


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as people see it. `status` is 1 while online; `reason` says why it is not available."""

    id: str
    name: str
    slug: str
    node_type: int
    transport: str
    description: str
    status: int
    is_active: bool
    draining: bool
    available: bool
    reason: str
    current_tasks: int
    max_capacity: int
    last_heartbeat_at: datetime | None
    workers_alive: int
    queue: str


def create_node(
    session: Session,
    *,
    name: str,
    transport: str,
    description: str = "",
    api_url: str = "",
    max_capacity: int = DEFAULT_CAPACITY,
    node_type: int = 1,
    node_id: str | None = None,
) -> Node:
    """Make a node. Raises `Conflict` when the name is taken, and `InvalidInput` naming what can't be used.

    `node_id` is drawn before the transaction, so that a repeated commit makes one node.
    """
    checked = check_settings(
        NodeSettings(name=name, description=description, api_url=api_url, max_capacity=max_capacity)
    )
    cleaned = checked.name or ""
    standing = by_name(session, cleaned)
    if standing is not None:
        if standing.id == node_id:
            return standing
        raise Conflict("node_exists", name=cleaned, existing_id=standing.id)
    node_id = node_id or new_id()
    slug = PARENT if node_type == 0 else slug_for(cleaned, node_id)
    if session.scalar(select(Node.id).where(Node.slug == slug)) is not None:
        slug = f"n-{node_id.replace('-', '')[-12:]}"
    node = Node(
        id=node_id,
        name=cleaned,
        slug=slug,
        node_type=node_type,
        transport=transport,
        description=checked.description,
        api_url=checked.api_url,
        max_capacity=max_capacity,
        kinds=["deliver" if node_type == 0 else "update"],
        updated_at=now(),
    )
    session.add(node)
    session.flush()
    return node


def ensure_attached(session: Session, name: str, max_capacity: int | None = None) -> Node:
    """The attached node of that name, made when missing; its capacity is changed when one is given."""
    node = _ensure(
        session,
        lambda: by_name(session, name),
        lambda: create_node(
            session, name=name, transport="attached", max_capacity=max_capacity or DEFAULT_CAPACITY
        ),
    )
    if node.transport != "attached":
        raise Conflict("node_is_remote", name=name)
    if max_capacity is not None:
        node.max_capacity = max_capacity
    return node


def ensure_parent(session: Session) -> Node:
    """The parent's own node, which serves `default`."""
    return _ensure(
        session,
        lambda: session.scalar(select(Node).where(Node.node_type == 0)),
        lambda: create_node(
            session,
            name=PARENT,
            transport="attached",
            max_capacity=PARENT_CAPACITY,
            node_type=0,
            description="the parent's own workers",
        ),
    )


def _ensure(session: Session, find: Callable[[], Node | None], make: Callable[[], Node]) -> Node:
    node = find()
    if node is not None:
        return node
    try:
        with session.begin_nested():
            return make()
    except (IntegrityError, Conflict):
        # Another process that starts at the same moment was faster.
        node = find()
        if node is None:
            raise
        return node


def by_name(session: Session, name: str) -> Node | None:
    """The node of that name."""
    return session.scalar(select(Node).where(Node.name == name.strip()))


def all_slugs(session: Session) -> list[str]:
    """The slugs of the attached nodes that do update work."""
    return list(
        session.scalars(
            select(Node.slug).where(Node.transport == "attached", Node.node_type == 1).order_by(Node.slug)
        )
    )


def beat(
    session: Session,
    node_id: str,
    instance: str,
    *,
    workers_alive: int,
    outbox_size: int,
    version: str,
    sources: Sequence[str] | None = None,
) -> None:
    """A presence beat. `sources` are the kinds of feeds that the node collects, `None` for what it said before."""
    told = {} if sources is None else {"sources": sorted(sources)}
    session.execute(
        update(Node)
        .where(Node.id == node_id)
        .values(
            presence_at=now(),
            instance=instance,
            workers_alive=workers_alive,
            outbox_size=outbox_size,
            version=version,
            beat_count=Node.beat_count + 1,
            **told,
        )
    )


def sign_off(session: Session, node_id: str, instance: str) -> None:
    """The node stops: nothing more is planned for it. A later start's presence stays."""
    session.execute(
        update(Node)
        .where(Node.id == node_id, Node.instance == instance)
        .values(presence_at=None, workers_alive=0)
    )


def facts(session: Session) -> list[NodeFacts]:
    """What availability is decided from, for every node, by the database's clock."""
    in_flight = items_in_flight(session)
    delivering = session.scalar(select(func.count()).where(Delivery.state == "assigned")) or 0
    current = session.scalar(select(now()))
    rows = session.scalars(select(Node).order_by(Node.node_type, Node.name)).all()
    return [
        NodeFacts(
            id=row.id,
            name=row.name,
            slug=row.slug,
            node_type=row.node_type,
            transport=row.transport,
            is_active=row.is_active,
            draining=row.draining,
            kinds=tuple(row.kinds),
            in_flight=delivering if row.node_type == 0 else in_flight.get(row.id, 0),
            max_capacity=row.max_capacity,
            workers_alive=row.workers_alive,
            silent_seconds=(current - row.presence_at).total_seconds()
            if current and row.presence_at
            else None,
            quota={feed: int(weight) for feed, weight in row.feed_quota.items()},
            instance=row.instance,
            sources=None if row.sources is None else tuple(row.sources),
        )
        for row in rows
    ]


def items_in_flight(session: Session) -> dict[str, int]:
    """By node, how many items of assigned, unsettled work it has."""
    query = (
        select(WorkItem.node_id, func.count()).where(WorkItem.state == "assigned").group_by(WorkItem.node_id)
    )
    return {node_id: count for node_id, count in session.execute(query) if node_id}


def loads(nodes: Sequence[NodeFacts], kind: str) -> list[NodeLoad]:
    """The available nodes that can do the kind, as the planner takes them."""
    return [
        NodeLoad(node.id, node.in_flight, node.max_capacity, node.quota, collected_kinds(node))
        for node in nodes
        if kind in node.kinds and availability(node).available
    ]


def list_nodes(session: Session) -> list[NodeView]:
    """Every node as people see it: the parent first, then by name."""
    rows = {row.id: row for row in session.scalars(select(Node))}
    return [_view(rows[one.id], one) for one in facts(session)]


def _view(row: Node, known: NodeFacts) -> NodeView:
    verdict = availability(known)
    return NodeView(
        id=row.id,
        name=row.name,
        slug=row.slug,
        node_type=row.node_type,
        transport=row.transport,
        description=row.description,
        status=int(verdict.online),
        is_active=row.is_active,
        draining=row.draining,
        available=verdict.available,
        reason=verdict.reason,
        current_tasks=known.in_flight,
        max_capacity=row.max_capacity,
        last_heartbeat_at=row.presence_at,
        workers_alive=row.workers_alive,
        queue="default" if row.node_type == 0 else f"node:{row.slug}",
    )
