"""Changing and deleting nodes: what a node has in hand goes back to the planner before it goes."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, NotFound
from backend.domain.node_settings import NodeSettings, check_settings
from backend.domain.nodes import is_gone
from backend.store import alerts, credentials, nodes, planning, recovery, transitions
from backend.store.columns import now
from backend.store.node_views import NodeView
from backend.store.nodes import by_name, get_node, settings_of
from backend.store.tables import Allocation, MessageTask, Node, PublishAccount, WorkItem
from backend.store.transitions import Change

RUNNING = ("claimed", "executing")
DELETED = "its node was deleted"
# What a node alone opens and closes.
OWN_ALERTS = ("alert_redis_away",)


def locked_settings(session: Session, node_id: str) -> NodeSettings:
    """What people have set of the node; nobody else changes it in this transaction. Raises `NotFound`."""
    return settings_of(_load(session, node_id))


def update_node(session: Session, node_id: str, wanted: NodeSettings) -> NodeView:
    """Set what is given. Raises `NotFound`, `InvalidInput` by field, and `Conflict` when the name is taken.

    The slug, and so the queue, stays what it was. Work that waits in the queue of a node that was switched off is
    planned again by a beat; running work may end.
    """
    checked = check_settings(wanted)
    row = _load(session, node_id)
    if row.node_type == 0 and (checked.is_active is False or checked.draining):
        raise Conflict("parent_stays")
    if checked.name is not None and checked.name != row.name:
        _rename(session, row, checked.name)
    for field in ("description", "api_url", "is_active", "draining", "max_capacity", "feed_quota"):
        value = getattr(checked, field)
        if value is not None:
            setattr(row, field, value)
    row.updated_at = now()
    try:
        session.flush()
    except IntegrityError:
        # Somebody took the name between the look and the write.
        raise Conflict("node_exists", name=checked.name) from None
    return get_node(session, node_id)


def _rename(session: Session, row: Node, name: str) -> None:
    other = by_name(session, name)
    if other is not None and other.id != row.id:
        raise Conflict("node_exists", name=name, existing_id=other.id)
    row.name = name


def delete_node(session: Session, node_id: str, *, force: bool, actor: str) -> None:
    """Delete a node with its credentials; what waited for it is planned again.

    Raises `NotFound`, and `Conflict` for the parent's own node and while it runs or has work in hand; `force` gives
    its running update work back to the planner instead.
    """
    # With the pump's lock nothing new is placed there meanwhile.
    planning.take_pump_lock(session)
    row = _load(session, node_id)
    if row.node_type == 0:
        raise Conflict("parent_stays")
    if not force:
        _refuse_if_in_use(session, row)
    while recovery.replan(session, node_id, actor, DELETED):
        pass
    if force:
        _abandon(session, node_id, actor)
    # Decided by what stands after the compare-and-sets: a worker may have begun something meanwhile.
    _refuse_if_busy(session, row, ("pending", *RUNNING))
    credentials.forget(session, node_id)
    # Their cookies begin anew at the address of whoever uses them next.
    session.execute(update(PublishAccount).where(PublishAccount.node_id == node_id).values(node_id=None))
    session.execute(
        update(MessageTask).where(MessageTask.autonomous_node_id == node_id).values(autonomous_node_id=None),
        execution_options={"synchronize_session": False},
    )
    alerts.close_alerts(session, node_id, *OWN_ALERTS)
    session.delete(row)


def _refuse_if_in_use(session: Session, row: Node) -> None:
    _refuse_if_busy(session, row, RUNNING)
    known = nodes.facts(session, row.id)[0]
    if row.transport == "attached" and row.workers_alive and not is_gone(known):
        raise Conflict("node_runs", name=row.name)


def _refuse_if_busy(session: Session, row: Node, states: tuple[str, ...]) -> None:
    query = select(func.count()).where(Allocation.node_id == row.id, Allocation.state.in_(states))
    count = session.scalar(query) or 0
    if count:
        raise Conflict("node_busy", name=row.name, count=count)


def _abandon(session: Session, node_id: str, actor: str) -> None:
    """End running update work as lost. Its items did nothing wrong: no death is counted."""
    running = session.scalars(
        select(Allocation.id)
        .where(Allocation.node_id == node_id, Allocation.state.in_(RUNNING), Allocation.kind == "update")
        .order_by(Allocation.id)
    ).all()
    change = Change(RUNNING, "failed", actor, f"lost: {DELETED}")
    values = {"error_code": "lost", "error_message": DELETED, "lease_until": None}
    for one in running:
        if not transitions.move(
            session, Allocation, [one], change, ended_at=now(), updated_at=now(), **values
        ):
            continue
        # The state is looked at in the move: as a condition here, it lets the server walk the items of others.
        items = session.scalars(
            select(WorkItem.id).where(WorkItem.allocation_id == one).order_by(WorkItem.id)
        ).all()
        back = Change(("assigned",), "waiting", actor, DELETED)
        transitions.move(session, WorkItem, items, back, node_id=None, allocation_id=None)


def _load(session: Session, node_id: str) -> Node:
    row = session.get(Node, node_id, with_for_update=True)
    if row is None:
        raise NotFound(noun="node", id=node_id)
    return row
