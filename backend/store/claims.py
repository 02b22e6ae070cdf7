"""Claiming: nodes take their own pending work, each piece once, several nodes in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from sqlalchemy import CompoundSelect, Integer, Row, Select, bindparam, select, union_all
from sqlalchemy.orm import Session

from backend.domain.errors import CascadeError, ConfigurationError, Unauthenticated
from backend.domain.identifiers import new_id
from backend.store import credentials, sync_logs, transitions
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.credentials import NodeIdentity
from backend.store.packages import Package, packages
from backend.store.sync_logs import SyncEntry
from backend.store.tables import Allocation, Node, core
from backend.store.transitions import Change

ALLOCATIONS, NODES = core(Allocation), core(Node)
HELD = ("claimed", "executing")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a node asks for. `said`: how a claim is logged, but for its node and what was taken.

    `polls`: it asks as old children do. `last`: when there is nothing, this was the node's empty claim.
    """

    api_key: str
    api_secret: str
    said: SyncEntry
    limit: int = 1
    claim_id: str | None = None
    polls: bool = False
    last: bool = True


@dataclass(frozen=True, slots=True)
class Claimant:
    """The node that asks, its queue, and how long a lease holds for it in seconds."""

    node_id: str
    queue: str
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """The node that asked and its work. `unreadable`: why work was left where it was, if nothing else was found."""

    node: NodeIdentity
    packages: tuple[Package, ...] = ()
    unreadable: ConfigurationError | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One group's claim id, for asks without one of their own. `repeated`: its transaction runs again, and may have taken."""

    id: str
    repeated: bool = False


@dataclass(slots=True, eq=False)
class _Taking:
    """One ask on its way; `repeated`: it gets what its claim id took before, `logged` together with that."""

    ask: Ask
    claimant: Claimant
    ids: list[str] = field(default_factory=list)
    repeated: bool = False
    logged: bool = False


def claim(
    session: Session,
    asks: Sequence[Ask],
    cipher: Cipher,
    claimant_of: Callable[[NodeIdentity], Claimant],
    turn: Turn | None = None,
) -> list[Claimed | CascadeError]:
    """For each ask up to `limit` of its node's oldest pending allocations; a refusal is a value here.

    Others' locked rows are passed over. With a `claim_id`, a repeated claim returns what the first one took, as far
    as it has not ended. Work whose secrets can't be decrypted stays pending. A group whose commit was not answered gets
    what it took then.
    """
    turn = turn or Turn(new_id())
    found = credentials.authenticate_many(session, [(one.api_key, one.api_secret) for one in asks])
    takings = [
        _Taking(ask, claimant_of(node)) if isinstance(node, NodeIdentity) else None
        for ask, node in zip(asks, found, strict=True)
    ]
    by_claim = _first_of_each([one for one in takings if one])
    _repeat(session, list(by_claim.values()))
    if turn.repeated:
        _deal_again(session, [one for one in by_claim.values() if not one.ask.claim_id], turn.id)
    _lock(session, [one for one in by_claim.values() if not one.repeated])
    taken = packages(session, cipher, sorted({one for taking in by_claim.values() for one in taking.ids}))
    _take(session, list(by_claim.values()), taken, turn.id)
    return [
        _answer(node, by_claim[_key(taking)].ids, taken)
        if taking and isinstance(node, NodeIdentity)
        else (node if isinstance(node, CascadeError) else Unauthenticated("dead_key"))
        for taking, node in zip(takings, found, strict=True)
    ]


def _key(taking: _Taking) -> object:
    return (taking.claimant.node_id, taking.ask.claim_id) if taking.ask.claim_id else taking


def _first_of_each(takings: Iterable[_Taking]) -> dict[object, _Taking]:
    # One claim id twice in a group is one claim: both get what the first takes.
    found: dict[object, _Taking] = {}
    for one in takings:
        found.setdefault(_key(one), one)
    return found


def _repeat(session: Session, takings: Sequence[_Taking]) -> None:
    named = {_key(one): one for one in takings if one.ask.claim_id}
    if not named:
        return
    node_ids = {one.claimant.node_id for one in named.values()}
    # Two requests with one claim id come one after the other, so that the second finds what the first took.
    session.execute(select(NODES.c.id).where(NODES.c.id.in_(node_ids)).order_by(NODES.c.id).with_for_update())
    query = (
        select(ALLOCATIONS.c.id, ALLOCATIONS.c.node_id, ALLOCATIONS.c.claim_id, ALLOCATIONS.c.state)
        .where(
            ALLOCATIONS.c.node_id.in_(node_ids),
            ALLOCATIONS.c.claim_id.in_({one.ask.claim_id for one in named.values()}),
        )
        .order_by(ALLOCATIONS.c.id)
    )
    for row in session.execute(query):
        before = named.get((row.node_id, row.claim_id))
        if before:
            before.repeated = True
            before.ids += [row.id] if row.state in HELD else []


def _deal_again(session: Session, takings: Sequence[_Taking], turn_id: str) -> None:
    """Deal out what the group took before its answer was lost; it was one transaction, so that was all or nothing."""
    node_ids = {one.claimant.node_id for one in takings}
    query = (
        select(ALLOCATIONS.c.id, ALLOCATIONS.c.node_id)
        .where(ALLOCATIONS.c.node_id.in_(node_ids), ALLOCATIONS.c.claim_id == turn_id)
        .order_by(ALLOCATIONS.c.id)
    )
    rows = session.execute(query).all()
    left = {node_id: [row.id for row in rows if row.node_id == node_id] for node_id in node_ids}
    for one in takings if rows else ():
        mine = left[one.claimant.node_id]
        one.ids, one.repeated, one.logged = mine[: one.ask.limit], True, True
        del mine[: one.ask.limit]


def _lock(session: Session, takings: Sequence[_Taking]) -> None:
    """Lock pending rows of each queue and deal them out, oldest first."""
    wanted: dict[str, int] = {}
    for one in takings:
        wanted[one.claimant.queue] = wanted.get(one.claimant.queue, 0) + one.ask.limit
    locked = _lock_oldest(session, wanted)
    for one in takings:
        rows = locked[one.claimant.queue]
        one.ids = rows[: one.ask.limit]
        del rows[: one.ask.limit]


def _lock_oldest(session: Session, wanted: Mapping[str, int]) -> dict[str, list[str]]:
    """Up to so many of each queue's pending rows, locked; rows that others have locked are passed over."""
    locked: dict[str, list[str]] = {queue: [] for queue in wanted}
    seen = Counter(wanted)
    if len(wanted) > 1:
        # One look and one lock for all queues; what others took in between is made good below.
        candidates = _look(session, wanted)
        seen = Counter(row.queue for row in candidates)
        query = select(ALLOCATIONS.c.id, ALLOCATIONS.c.queue).where(
            ALLOCATIONS.c.id.in_([row.id for row in candidates]), ALLOCATIONS.c.state == "pending"
        )
        if candidates:
            for row in session.execute(query.order_by(ALLOCATIONS.c.id).with_for_update(skip_locked=True)):
                locked[row.queue].append(row.id)
    for queue in sorted(queue for queue in wanted if len(locked[queue]) < seen[queue]):
        again = _oldest().with_for_update(skip_locked=True)
        rows = session.execute(again, {"queue": queue, "count": wanted[queue]})
        locked[queue] = [row.id for row in rows]
    return locked


def _look(session: Session, wanted: Mapping[str, int]) -> Sequence[Row[tuple[str, str]]]:
    values: dict[str, str | int] = {}
    for number, (queue, count) in enumerate(wanted.items()):
        values |= {f"queue{number}": queue, f"count{number}": count}
    return session.execute(_looks(len(wanted)), values).all()


@cache
def _looks(queues: int) -> CompoundSelect[tuple[str, str]]:
    # Making the statement costs more than running it.
    parts = [_oldest(str(number)).subquery() for number in range(queues)]
    return union_all(*(select(one.c.id, one.c.queue) for one in parts))


@cache
def _oldest(number: str = "") -> Select[tuple[str, str]]:
    return (
        select(ALLOCATIONS.c.id, ALLOCATIONS.c.queue)
        .where(ALLOCATIONS.c.queue == bindparam(f"queue{number}"), ALLOCATIONS.c.state == "pending")
        .order_by(ALLOCATIONS.c.id)
        .limit(bindparam(f"count{number}", type_=Integer))
    )


def _take(
    session: Session,
    takings: Sequence[_Taking],
    found: Mapping[str, Package | ConfigurationError],
    turn_id: str,
) -> None:
    alike: dict[tuple[str, bool, float], dict[str, Change]] = {}
    entries: list[SyncEntry] = []
    for one in takings:
        readable = [taken for taken in one.ids if isinstance(found.get(taken), Package)]
        if not one.repeated:
            key = (one.ask.claim_id or turn_id, one.ask.polls, one.claimant.lease_seconds)
            change = Change(("pending",), "claimed", f"node {one.claimant.node_id}", "claimed")
            alike.setdefault(key, {}).update(dict.fromkeys(readable, change))
        if readable and not one.logged:
            entries.append(_entry(one, readable, found))
    for (claim_id, polls, lease_seconds), changes in alike.items():
        values = {"claim_id": claim_id, "polled": polls, "lease_until": now(lease_seconds)}
        transitions.move_locked(session, Allocation, changes, claimed_at=now(), updated_at=now(), **values)
    sync_logs.record_all(session, entries)


def _entry(
    taking: _Taking, ids: Sequence[str], found: Mapping[str, Package | ConfigurationError]
) -> SyncEntry:
    feeds = sum(len(one.feeds) for one in map(found.get, ids) if isinstance(one, Package))
    return replace(
        taking.ask.said,
        node_id=taking.claimant.node_id,
        data_count=feeds,
        extra={**taking.ask.said.extra, "allocation_ids": list(ids)},
    )


def _answer(
    node: NodeIdentity, ids: Sequence[str], found: Mapping[str, Package | ConfigurationError]
) -> Claimed:
    answers = [found[one] for one in ids if one in found]
    unreadable = next((one for one in answers if isinstance(one, ConfigurationError)), None)
    return Claimed(node, tuple(one for one in answers if isinstance(one, Package)), unreadable)


def has_pending(session: Session, queues: Sequence[str]) -> set[str]:
    """Those of the queues that have something to claim."""
    query = (
        select(ALLOCATIONS.c.queue)
        .where(ALLOCATIONS.c.queue.in_(queues), ALLOCATIONS.c.state == "pending")
        .group_by(ALLOCATIONS.c.queue)
    )
    return set(session.scalars(query))
