"""Heartbeats of remote nodes: many known by their pairs and written in one short transaction. Counters, never rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Forbidden, Unauthenticated
from backend.store import credentials
from backend.store.children import Holder, renew
from backend.store.claims import HELD
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.tables import Allocation, Node, core

NODES = core(Node)


@dataclass(frozen=True, slots=True)
class SentBeat:
    """What a node said: its pair, what it says of itself (only what it did say), and what it works on."""

    api_key: str
    api_secret: str
    values: tuple[tuple[str, str | int | list[str]], ...] = ()
    running: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeardBeat:
    """The node that was heard, and which of what it works on is not its work any more, or was cancelled."""

    node: NodeIdentity
    stale: tuple[str, ...] = ()


def hear(
    session: Session, beats: Sequence[SentBeat], lease_seconds: float
) -> list[HeardBeat | Forbidden | Unauthenticated]:
    """Write the beats; for each one what its sender is answered, a refusal being a value here.

    What a third-party node (one without an instance) names as running has its lease renewed by that.
    """
    found = credentials.authenticate_many(session, [(one.api_key, one.api_secret) for one in beats])
    heard = [(one, node) for one, node in zip(beats, found, strict=True) if isinstance(node, NodeIdentity)]
    _write(session, heard)
    stale = {id(one): _look_after(session, one, node, lease_seconds) for one, node in heard if one.running}
    return [
        HeardBeat(node, stale.get(id(one), ()))
        if isinstance(node, NodeIdentity)
        else node or Unauthenticated("dead_key")
        for one, node in zip(beats, found, strict=True)
    ]


def _write(session: Session, heard: Sequence[tuple[SentBeat, NodeIdentity]]) -> None:
    said: dict[str, dict[str, str | int | list[str]]] = {}
    for one, node in heard:
        said.setdefault(node.id, {}).update(one.values)
    times = Counter(node.id for _, node in heard)
    silent = sorted(node_id for node_id, values in said.items() if not values and times[node_id] == 1)
    if silent:
        _update(session, NODES.c.id.in_(silent), 1, {})
    for node_id in sorted(said.keys() - set(silent)):
        _update(session, NODES.c.id == node_id, times[node_id], said[node_id])


def _update(session: Session, which: Any, times: int, values: Mapping[str, str | int | list[str]]) -> None:
    statement = update(NODES).where(which)
    session.execute(statement.values(presence_at=now(), beat_count=NODES.c.beat_count + times, **values))


def _look_after(
    session: Session, beat: SentBeat, node: NodeIdentity, lease_seconds: float
) -> tuple[str, ...]:
    speaks_instance = node.instance or any(name == "instance" and value for name, value in beat.values)
    if not speaks_instance:
        renew(session, Holder(node.id, "", lease_seconds), beat.running)
    query = select(Allocation.id).where(
        Allocation.id.in_(beat.running),
        Allocation.node_id == node.id,
        Allocation.state.in_(HELD),
        ~Allocation.cancel_requested,
    )
    held = set(session.scalars(query))
    return tuple(one for one in beat.running if one not in held)


def count_empty_claims(session: Session, node_ids: Sequence[str]) -> None:
    """These nodes asked for work and there was none: signs of life like beats. A node that asked twice is named twice."""
    by_times: dict[int, list[str]] = {}
    for node_id, times in Counter(node_ids).items():
        by_times.setdefault(times, []).append(node_id)
    for times, ids in sorted(by_times.items()):
        statement = update(NODES).where(NODES.c.id.in_(sorted(ids)))
        session.execute(statement.values(presence_at=now(), empty_claims=NODES.c.empty_claims + times))
