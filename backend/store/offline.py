"""Nodes that went offline or came back: the sweeper stores what the time of their beats says, and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, and_, case, not_, select, update
from sqlalchemy.orm import Session

from backend.domain.nodes import ONLINE_SECONDS
from backend.store import transitions
from backend.store.columns import now
from backend.store.tables import Node
from backend.store.transitions import Change

NOUN = "node"
SWEEPER = "sweeper"


@dataclass(frozen=True, slots=True)
class Turned:
    """A node that is online now and was not, or the other way round."""

    node_id: str
    name: str
    online: bool
    why: str


def _beats() -> Any:
    return and_(Node.presence_at.is_not(None), Node.presence_at >= now(-ONLINE_SECONDS))


def _is_online() -> Any:
    return and_(Node.is_active, _beats())


def turned(session: Session) -> list[Turned]:
    """Nodes of which something else is stored than the time of their beats says. One that never beat is not told of."""
    query = select(Node.id, Node.name, Node.is_active, Node.presence_at, Node.offline_at)
    off = (Node.offline_at.is_(None), Node.beat_count > 0, not_(_is_online()))
    gone = [Turned(row.id, row.name, False, _why(row)) for row in session.execute(query.where(*off))]
    back = session.execute(query.where(Node.offline_at.is_not(None), _is_online()))
    return [*gone, *(Turned(row.id, row.name, True, "it beats again") for row in back)]


def _why(row: Any) -> str:
    if not row.is_active:
        return "it was switched off"
    if row.presence_at is None:
        return "it signed off"
    return f"silent for {ONLINE_SECONDS:.0f} s"


def record_turns(session: Session, turns: Sequence[Turned]) -> int:
    """Store it and write its history; what is no longer so is left alone. How many."""
    return sum(_record(session, one) for one in sorted(turns, key=lambda turn: turn.node_id))


def _record(session: Session, turn: Turned) -> bool:
    if turn.online:
        where = (Node.offline_at.is_not(None), _is_online())
        values: dict[str, Any] = {"offline_at": None}
    else:
        where = (Node.offline_at.is_(None), not_(_is_online()))
        # Nobody knows of its workers any more; a node that was only switched off still counts them itself.
        values = {"offline_at": now(), "workers_alive": case((_beats(), Node.workers_alive), else_=0)}
    statement = update(Node).where(Node.id == turn.node_id, *where).values(**values)
    result = session.execute(statement, execution_options={"synchronize_session": False})
    if not cast("CursorResult[Any]", result).rowcount:
        return False
    states = ("offline", "online") if turn.online else ("online", "offline")
    transitions.record(session, NOUN, [turn.node_id], states[0], Change((), states[1], SWEEPER, turn.why))
    return True
