"""Claims of our own remote nodes: as much pending work as fits into their slots, of the kinds that they can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError, Unauthenticated
from backend.domain.protocol import Speaker, given_kinds
from backend.domain.wire import Piece
from backend.store import credentials, starts, sync_logs, transitions
from backend.store.claims import HELD
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.starts import Start
from backend.store.sync_logs import SyncEntry
from backend.store.tables import Allocation, Node, PublishAccount, core
from backend.store.transitions import Change

ALLOCATIONS, NODES, ACCOUNTS = core(Allocation), core(Node), core(PublishAccount)
ON_PLATFORMS = ("publish", "account")
PIECE = (
    ALLOCATIONS.c.id,
    ALLOCATIONS.c.attempt,
    ALLOCATIONS.c.kind,
    ALLOCATIONS.c.queue,
    ALLOCATIONS.c.item_count,
    ALLOCATIONS.c.alone,
)
MOST_PIECES = 200

QueuesOf = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a start of a node asks for. The same `claim_id` again gets the same work again. `said`: how it is logged."""

    claim_id: str
    start: Start
    slots: int
    speaker: Speaker
    said: SyncEntry
    api_key: str = ""
    api_secret: str = field(default="", repr=False)


def claim(
    session: Session, wish: Wish, queues_of: QueuesOf, lease_seconds: float
) -> tuple[NodeIdentity, list[Piece]] | CascadeError:
    """The node, and the work that it has now under this claim id; a refusal is a value. Others' locked rows are passed over.

    `queues_of` names the queues of a node's slug. Work is given oldest first as long as it fits; a node that holds nothing gets
    the oldest whatever its size: else what is larger than all of its slots would wait for ever.
    """
    node = credentials.authenticate(session, wish.api_key, wish.api_secret)
    if node is None:
        return Unauthenticated("dead_key")
    refused = starts.take_place(session, node, wish.start)
    if refused is not None:
        return refused
    # Two requests with one claim id come one after the other, so that the second finds what the first took.
    session.execute(select(NODES.c.id).where(NODES.c.id == node.id).with_for_update())
    before = _taken_before(session, node.id, wish.claim_id)
    if before is not None:
        return node, before
    return node, _take(session, node.id, wish, queues_of(node.slug), lease_seconds)


def _taken_before(session: Session, node_id: str, claim_id: str) -> list[Piece] | None:
    rows = session.execute(
        select(*PIECE, ALLOCATIONS.c.state)
        .where(ALLOCATIONS.c.node_id == node_id, ALLOCATIONS.c.claim_id == claim_id)
        .order_by(ALLOCATIONS.c.id)
    ).all()
    return [_piece(row) for row in rows if row.state in HELD] if rows else None


def _take(
    session: Session, node_id: str, wish: Wish, queues: Sequence[str], lease_seconds: float
) -> list[Piece]:
    kinds = given_kinds(wish.speaker)
    if not kinds or wish.slots < 1:
        return []
    chosen = _fitting(session, node_id, wish, _pending(session, wish, queues))
    change = Change(("pending",), "claimed", f"node {node_id}", "claimed")
    transitions.move_locked(
        session,
        Allocation,
        {one.id: change for one in chosen},
        claim_id=wish.claim_id,
        instance=wish.start.instance,
        polled=False,
        lease_until=now(lease_seconds),
        claimed_at=now(),
        updated_at=now(),
    )
    if chosen:
        sync_logs.record(session, _entry(wish, node_id, chosen))
    return [_piece(one) for one in chosen]


def _pending(session: Session, wish: Wish, queues: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for queue in queues:
        query = (
            select(*PIECE)
            .where(ALLOCATIONS.c.queue == queue, ALLOCATIONS.c.state == "pending", _can(wish.speaker))
            .order_by(ALLOCATIONS.c.id)
            .limit(min(wish.slots, MOST_PIECES))
            .with_for_update(skip_locked=True)
        )
        found += session.execute(query).all()
    return sorted(found, key=lambda row: row.id)


def _can(speaker: Speaker) -> ColumnElement[bool]:
    kinds = given_kinds(speaker)
    on_platform = exists().where(
        ACCOUNTS.c.id == ALLOCATIONS.c.account_id,
        ACCOUNTS.c.platform.in_(speaker.capabilities.publishers),
    )
    elsewhere = ALLOCATIONS.c.kind.in_(sorted(kinds - set(ON_PLATFORMS)))
    return or_(elsewhere, and_(ALLOCATIONS.c.kind.in_(sorted(kinds & set(ON_PLATFORMS))), on_platform))


def _fitting(session: Session, node_id: str, wish: Wish, rows: Sequence[Any]) -> list[Any]:
    chosen: list[Any] = []
    room = wish.slots
    for row in rows:
        size = max(1, row.item_count)
        if size <= room:
            chosen.append(row)
            room -= size
    if rows and not chosen and not _holds_any(session, node_id):
        return [rows[0]]
    return chosen


def _holds_any(session: Session, node_id: str) -> bool:
    held = exists().where(ALLOCATIONS.c.node_id == node_id, ALLOCATIONS.c.state.in_(HELD))
    return bool(session.scalar(select(held)))


def _entry(wish: Wish, node_id: str, chosen: Sequence[Any]) -> SyncEntry:
    return SyncEntry(
        node_id=node_id,
        operation=wish.said.operation,
        direction=wish.said.direction,
        data_count=sum(max(1, row.item_count) for row in chosen),
        duration_ms=wish.said.duration_ms,
        extra={**wish.said.extra, "allocation_ids": [row.id for row in chosen]},
        id=wish.said.id,
    )


def _piece(row: Any) -> Piece:
    return Piece(row.id, row.attempt, row.kind, row.queue, max(1, row.item_count), row.alone)
