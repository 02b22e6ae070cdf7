"""Nodes: making them, their presence, and what the planner and people see of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import new_id, slug_for
from backend.domain.node_settings import DEFAULT_CAPACITY, NodeSettings, check_settings
from backend.domain.nodes import NodeFacts, OutboxReport, availability
from backend.store import credentials
from backend.store.columns import now
from backend.store.node_views import NodeView
from backend.store.tables import Delivery, Node, WorkItem

PARENT = "parent"
EMPTY_OUTBOX = OutboxReport()
PARENT_CAPACITY = 40


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


def add_remote(session: Session, wanted: NodeSettings, node_id: str) -> Node:
    """Make a node that reaches the parent over HTTP; raises like `create_node`."""
    checked = check_settings(wanted)
    node = create_node(
        session,
        name=checked.name or "",
        transport="remote",
        description=checked.description or "",
        api_url=checked.api_url or "",
        max_capacity=checked.max_capacity or DEFAULT_CAPACITY,
        node_id=node_id,
    )
    node.feed_quota = dict(checked.feed_quota or {})
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
    version: str,
    outbox: OutboxReport = EMPTY_OUTBOX,
    sources: Sequence[str] | None = None,
    publishers: Sequence[str] | None = None,
) -> None:
    """A presence beat. `sources` are the kinds of feeds that the node collects, `publishers` the platforms that it publishes on;
    `None` for what it said before.
    """
    said = {"sources": sources, "publishers": publishers}
    told = {name: sorted(values) for name, values in said.items() if values is not None}
    session.execute(
        update(Node)
        .where(Node.id == node_id)
        .values(
            presence_at=now(),
            instance=instance,
            workers_alive=workers_alive,
            workerless_at=None if workers_alive else func.coalesce(Node.workerless_at, now()),
            outbox_entries=outbox.entries,
            # An age, so that the clock of the node's machine does not matter.
            outbox_oldest_at=None if outbox.oldest_seconds is None else now(-outbox.oldest_seconds),
            outbox_dead=outbox.dead,
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


def facts(session: Session, node_id: str | None = None) -> list[NodeFacts]:
    """What availability is decided from, for every node or one, by the database's clock."""
    return [known for _, known in _known(session, node_id)]


def _known(session: Session, node_id: str | None = None) -> list[tuple[Node, NodeFacts]]:
    in_flight = items_in_flight(session, node_id)
    delivering = session.scalar(select(func.count()).where(Delivery.state == "assigned")) or 0
    current = session.scalar(select(now()))
    query = select(Node).order_by(Node.node_type, Node.name)
    rows = session.scalars(query if node_id is None else query.where(Node.id == node_id))
    return [
        (row, _facts(row, delivering if row.node_type == 0 else in_flight.get(row.id, 0), current))
        for row in rows
    ]


def _facts(row: Node, in_flight: int, current: datetime | None) -> NodeFacts:
    silent, workerless = (
        (current - since).total_seconds() if current and since else None
        for since in (row.presence_at, row.workerless_at)
    )
    return NodeFacts(
        id=row.id,
        name=row.name,
        slug=row.slug,
        node_type=row.node_type,
        transport=row.transport,
        is_active=row.is_active,
        draining=row.draining,
        kinds=tuple(row.kinds),
        in_flight=in_flight,
        max_capacity=_capacity(row),
        workers_alive=row.workers_alive,
        silent_seconds=silent,
        quota={feed: int(weight) for feed, weight in row.feed_quota.items()},
        instance=row.instance,
        sources=None if row.sources is None else tuple(row.sources),
        workerless_seconds=workerless,
        protocol=row.protocol,
        publishers=None if row.publishers is None else tuple(row.publishers),
    )


def _capacity(row: Node) -> int:
    """What was set for the node, or less when it says itself that it has no room for so much."""
    return row.max_capacity if row.reported_capacity is None else min(row.max_capacity, row.reported_capacity)


def items_in_flight(session: Session, node_id: str | None = None) -> dict[str, int]:
    """By node, or of one, how many items of assigned, unsettled work it has."""
    query = (
        select(WorkItem.node_id, func.count()).where(WorkItem.state == "assigned").group_by(WorkItem.node_id)
    )
    if node_id is not None:
        query = query.where(WorkItem.node_id == node_id)
    return {one: count for one, count in session.execute(query) if one}


def list_nodes(session: Session) -> list[NodeView]:
    """Every node as people see it: the parent first, then by name."""
    keys = credentials.current_keys(session)
    return [_view(row, known, keys.get(row.id, "")) for row, known in _known(session)]


def settings_of(node: Node | NodeView) -> NodeSettings:
    """What people have set of the node."""
    return NodeSettings(
        name=node.name,
        description=node.description,
        api_url=node.api_url,
        is_active=node.is_active,
        draining=node.draining,
        max_capacity=node.max_capacity,
        feed_quota=dict(node.feed_quota),
    )


def get_node(session: Session, node_id: str) -> NodeView:
    """One node as people see it. Raises `NotFound`."""
    keys = credentials.current_keys(session, node_id)
    for row, known in _known(session, node_id):
        return _view(row, known, keys.get(node_id, ""))
    raise NotFound(noun="node", id=node_id)


def _view(row: Node, known: NodeFacts, api_key: str) -> NodeView:
    verdict = availability(known)
    return NodeView(
        id=row.id,
        name=row.name,
        slug=row.slug,
        node_type=row.node_type,
        transport=row.transport,
        third_party=known.third_party,
        description=row.description,
        api_url=row.api_url,
        callback_url=row.callback_url,
        api_key=api_key,
        status=int(verdict.online),
        is_active=row.is_active,
        draining=row.draining,
        available=verdict.available,
        why=verdict.why,
        reason=verdict.reason,
        current_tasks=known.in_flight,
        max_capacity=row.max_capacity,
        feed_quota=dict(known.quota),
        kinds=known.kinds,
        sources=known.sources,
        publishers=known.publishers,
        protocol=known.protocol,
        last_heartbeat_at=row.presence_at,
        last_sync_at=row.synced_at,
        workers_alive=row.workers_alive,
        outbox_entries=row.outbox_entries,
        outbox_oldest_at=row.outbox_oldest_at,
        outbox_dead=row.outbox_dead,
        version=row.version,
        queue="default" if row.node_type == 0 else f"node:{row.slug}",
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
    )
