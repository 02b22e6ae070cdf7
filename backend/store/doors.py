"""Whether remote nodes could reach a parent lately: without one their renewals can't arrive, however well the beats go on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session

from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Allocation, Node, Pulse, core

PULSES, NODES = core(Pulse), core(Node)
DOOR = 2
"""The row of `pulse` that parents stamp; the beats' is 1."""
GAP_SECONDS = 20.0
GIVEN_UP_SECONDS = 600.0
"""A parent that has been away for so long may not come back: the work of remote nodes is given to attached ones."""


def stamp(session: Session, lease_seconds: float, drain_seconds: float) -> None:
    """Say that a parent answers. After a gap, no remote node's lease is recovered for one lease plus the outbox's drain time."""
    insert_missing(session, Pulse, [{"id": DOOR}])
    late = session.scalar(
        select(PULSES.c.id).where(PULSES.c.id == DOOR, PULSES.c.alive_at < now(-GAP_SECONDS))
    )
    values: dict[str, Any] = {"alive_at": now()}
    if late is not None:
        values["recover_after"] = now(lease_seconds + drain_seconds)
    session.execute(update(PULSES).where(PULSES.c.id == DOOR).values(**values))


def could_be_reached() -> ColumnElement[bool]:
    """Of an allocation in the statement: its node is attached, or a parent could be reached lately, or there is none any more.

    Where no parent ever stamped, there is nothing to wait for.
    """
    remote = exists().where(NODES.c.id == Allocation.node_id, NODES.c.transport == "remote")
    is_open = (PULSES.c.recover_after <= now()) & (PULSES.c.alive_at > now(-GAP_SECONDS))
    gone = PULSES.c.alive_at < now(-GIVEN_UP_SECONDS)
    closed = exists().where(PULSES.c.id == DOOR, ~or_(is_open, gone))
    return or_(~remote, ~closed)
