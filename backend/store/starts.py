"""The starts of our own remote nodes' processes: one at a time has a node's identity, and it says what the node can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.domain.protocol import INSTANCE_REFUSED, Capabilities, Speaker, given_kinds
from backend.store import recovery
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.tables import Node, core

NODES = core(Node)
LIVE_SECONDS = 30.0
"""Two presence beats: who was heard of in so many seconds may still run."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a node's process, and the one before it that has ended for sure (empty: nobody knows)."""

    instance: str
    replaces: str = ""


def take_place(session: Session, node: NodeIdentity, start: Start) -> Conflict | None:
    """Let the start have the node's identity; the refusal when another process that has it may still live.

    A compare-and-set: of two that start at the same moment, one is refused.
    """
    if start.instance == node.instance:
        return None
    before = [start.instance, "", *([start.replaces] if start.replaces else [])]
    is_free = or_(
        NODES.c.instance.in_(before), NODES.c.presence_at.is_(None), NODES.c.presence_at < now(-LIVE_SECONDS)
    )
    taken = session.execute(
        update(NODES).where(NODES.c.id == node.id, is_free).values(instance=start.instance, presence_at=now())
    )
    return None if cast("CursorResult[Any]", taken).rowcount else refusal(session, node)


def refusal(session: Session, node: NodeIdentity) -> Conflict:
    """Why a start of the node is refused: which process has its place."""
    row = session.execute(
        select(NODES.c.machine, NODES.c.presence_at, now()).where(NODES.c.id == node.id)
    ).one()
    seconds = (row[2] - row.presence_at).total_seconds() if row.presence_at else 0.0
    return Conflict(
        INSTANCE_REFUSED, name=node.name, host=row.machine or "?", seconds=f"{max(0.0, seconds):.0f}"
    )


def note_capabilities(session: Session, node_id: str, protocol: int, said: Capabilities) -> None:
    """Keep what the node says that it can do; what waits for it and it can't do any more goes back to the planner."""
    row = session.execute(
        select(NODES.c.kinds, NODES.c.sources, NODES.c.publishers, NODES.c.protocol).where(
            NODES.c.id == node_id
        )
    ).one()
    kinds = given_kinds(Speaker(protocol, said))
    told = {
        "protocol": protocol,
        "kinds": sorted(kinds),
        "sources": None if said.sources is None else sorted(set(said.sources)),
        "publishers": sorted(set(said.publishers)),
    }
    if told == {
        "protocol": row.protocol,
        "kinds": row.kinds,
        "sources": row.sources,
        "publishers": row.publishers,
    }:
        return
    session.execute(update(NODES).where(NODES.c.id == node_id).values(**told))
    lost = set(row.kinds) - kinds or (
        said.sources is not None and (row.sources is None or set(row.sources) - set(said.sources))
    )
    if lost:
        recovery.replan(session, node_id, f"node {node_id}", "its node can't do it any more")
