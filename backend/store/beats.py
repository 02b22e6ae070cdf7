"""Heartbeats of remote nodes: many known by their pairs and written in one short transaction. Counters, never rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError, Unauthenticated
from backend.store import credentials, own_beats
from backend.store.children import Holder, renew
from backend.store.claims import HELD
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.deaths import Orphan
from backend.store.own_beats import Told
from backend.store.tables import Allocation, Node, core

NODES = core(Node)


@dataclass(frozen=True, slots=True)
class SentBeat:
    """What a node said: its pair, what it says of itself (only what it did say), and what it works on.

    `told` is set where the beat came from one of our own nodes, which say which start of them it is.
    """

    api_key: str
    api_secret: str
    values: tuple[tuple[str, str | int | list[str]], ...] = ()
    running: tuple[str, ...] = ()
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class HeardBeat:
    """The node that was heard, and which of what it works on is not its work any more, or was cancelled.

    `left` is what an earlier start of it held and it does not know of.
    """

    node: NodeIdentity
    stale: tuple[str, ...] = ()
    left: tuple[Orphan, ...] = ()


def hear(session: Session, beats: Sequence[SentBeat], lease_seconds: float) -> list[HeardBeat | CascadeError]:
    """Write the beats; for each one what its sender is answered, a refusal being a value here.

    What a third-party node (one without an instance) names as running has its lease renewed by that.
    """
    found = credentials.authenticate_many(session, [(one.api_key, one.api_secret) for one in beats])
    heard = [(one, node) for one, node in zip(beats, found, strict=True) if isinstance(node, NodeIdentity)]
    _write(session, [(one, node) for one, node in heard if one.told is None])
    answers = {id(one): _answer(session, one, node, lease_seconds) for one, node in heard}
    return [
        answers[id(one)] if isinstance(node, NodeIdentity) else node or Unauthenticated("dead_key")
        for one, node in zip(beats, found, strict=True)
    ]


def _answer(
    session: Session, beat: SentBeat, node: NodeIdentity, lease_seconds: float
) -> HeardBeat | CascadeError:
    if beat.told is None:
        stale = _look_after(session, beat, node, lease_seconds) if beat.running else ()
        return HeardBeat(node, stale)
    taken = own_beats.hear(session, node, beat.told)
    return taken if isinstance(taken, CascadeError) else HeardBeat(node, taken.stale, taken.left)


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
    if not node.instance:
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
