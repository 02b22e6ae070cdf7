"""Beats of our own remote nodes: which start has the identity, what the node can do, what it holds, what waits in its outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError
from backend.domain.nodes import OutboxReport
from backend.domain.protocol import Capabilities
from backend.store import deaths, starts
from backend.store.claims import HELD
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.deaths import Orphan
from backend.store.starts import Start
from backend.store.tables import Allocation, Node, core

ALLOCATIONS, NODES = core(Allocation), core(Node)


@dataclass(frozen=True, slots=True)
class Told:
    """What a start of a node says of itself; what it does not say (`None`) stays as it was.

    `values` are columns of the node. `holds` are the allocations that it knows to be its own, `running` what else it asks about.
    """

    start: Start
    values: Mapping[str, Any] = field(default_factory=dict)
    protocol: int | None = None
    capabilities: Capabilities | None = None
    outbox: OutboxReport | None = None
    holds: tuple[str, ...] | None = None
    running: tuple[str, ...] = ()
    signs_off: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A beat that was written: what of `holds` and `running` is not the node's any more, and what an earlier start left behind."""

    stale: tuple[str, ...] = ()
    left: tuple[Orphan, ...] = ()


def hear(session: Session, node: NodeIdentity, told: Told) -> Taken | CascadeError:
    """Write the beat, or say why this start is refused."""
    refused = starts.take_place(session, node, told.start)
    if refused is None and not _write(session, node.id, told):
        refused = starts.refusal(session, node)
    if refused is not None:
        return refused
    if told.capabilities is not None and told.protocol is not None:
        starts.note_capabilities(session, node.id, told.protocol, told.capabilities)
    asked = (*(told.holds or ()), *told.running)
    return Taken(
        _stale(session, node.id, asked) if asked else (),
        ()
        if told.holds is None
        else tuple(deaths.left_by_others(session, node.id, told.start.instance, set(told.holds))),
    )


def _write(session: Session, node_id: str, told: Told) -> bool:
    values: dict[str, Any] = {"presence_at": now(), "beat_count": NODES.c.beat_count + 1, **told.values}
    if told.signs_off:
        values |= {"presence_at": None, "workers_alive": 0}
    if told.outbox is not None:
        oldest = told.outbox.oldest_seconds
        # An age, so that the clock of the node's machine does not matter.
        values |= {
            "outbox_entries": told.outbox.entries,
            "outbox_oldest_at": None if oldest is None else now(-oldest),
            "outbox_dead": told.outbox.dead,
        }
    still_its = (NODES.c.id == node_id, NODES.c.instance == told.start.instance)
    written = session.execute(update(NODES).where(*still_its).values(**values))
    return bool(cast("CursorResult[Any]", written).rowcount)


def _stale(session: Session, node_id: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    query = select(ALLOCATIONS.c.id).where(
        ALLOCATIONS.c.id.in_(asked),
        ALLOCATIONS.c.node_id == node_id,
        ALLOCATIONS.c.state.in_(HELD),
        ~ALLOCATIONS.c.cancel_requested,
    )
    held = set(session.scalars(query))
    return tuple(one for one in dict.fromkeys(asked) if one not in held)
