"""What our own remote nodes do over HTTP with their work: the phases of `store.phases`, of nobody's work but their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.domain.orders import Outcome
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.store import allocations, phases, staging
from backend.store.columns import now
from backend.store.phases import Terms
from backend.store.tables import Allocation, PublishTask, core

ALLOCATIONS, TASKS = core(Allocation), core(PublishTask)


def checkpoint(session: Session, terms: Terms, node_id: str, lease: Lease, progress: Checkpoint) -> Standing:
    """See `phases.checkpoint`; what is another node's counts as superseded."""
    if isinstance(progress, Outcome):
        own = _own_part(session, node_id, progress)
        return Standing.SUPERSEDED if own is None else phases.checkpoint(session, terms, lease, own)
    if not _own(session, node_id, [lease.allocation_id]):
        return Standing.SUPERSEDED
    return phases.checkpoint(session, terms, lease, progress)


def settle(session: Session, terms: Terms, node_id: str, outcome: Outcome) -> Standing:
    """See `phases.settle`; what is another node's counts as superseded. Staged chunks go, whatever came of them."""
    own = _own_part(session, node_id, outcome)
    standing = Standing.SUPERSEDED if own is None else phases.settle(session, terms, own)
    staging.drop(session, node_id, outcome.execution)
    return standing


def is_settled(session: Session, node_id: str, lease: Lease) -> bool:
    """Whether this execution has settled the allocation before, and only its answer was lost."""
    query = select(ALLOCATIONS.c.settled_by).where(
        ALLOCATIONS.c.id == lease.allocation_id, ALLOCATIONS.c.node_id == node_id
    )
    return session.scalar(query) == lease.execution


def renew(session: Session, node_id: str, leases: Sequence[Lease], seconds: float) -> dict[str, Standing]:
    """See `Ledger.renew`. A lease without an execution is of claimed work that has not begun: its allocation names it."""
    own = _own(session, node_id, [one.allocation_id for one in leases])
    begun = [one for one in leases if one.execution and one.allocation_id in own]
    claimed = [one for one in leases if not one.execution and one.allocation_id in own]
    standings = {one.execution or one.allocation_id: Standing.SUPERSEDED for one in leases}
    if begun:
        standings |= allocations.renew(session, begun, seconds)
    if claimed:
        standings |= _renew_claimed(session, node_id, claimed, seconds)
    return standings


def progress_keys(session: Session, node_id: str, said: Mapping[str, str]) -> dict[str, str]:
    """What was said of the node's own allocations, by what people watch: the publish task, or the account."""
    query = (
        select(ALLOCATIONS.c.id, func.coalesce(TASKS.c.id, ALLOCATIONS.c.account_id))
        .outerjoin(TASKS, TASKS.c.allocation_id == ALLOCATIONS.c.id)
        .where(ALLOCATIONS.c.id.in_(sorted(said)), ALLOCATIONS.c.node_id == node_id)
    )
    return {watched: said[one] for one, watched in session.execute(query) if watched}


def _renew_claimed(
    session: Session, node_id: str, leases: Sequence[Lease], seconds: float
) -> dict[str, Standing]:
    ids = sorted(one.allocation_id for one in leases)
    guards = (
        ALLOCATIONS.c.id.in_(ids),
        ALLOCATIONS.c.node_id == node_id,
        ALLOCATIONS.c.state == "claimed",
    )
    session.execute(update(ALLOCATIONS).where(*guards).values(lease_until=now(seconds)))
    query = select(ALLOCATIONS.c.id, ALLOCATIONS.c.attempt, ALLOCATIONS.c.cancel_requested).where(*guards)
    rows = {row.id: row for row in session.execute(query)}
    found: dict[str, Standing] = {}
    for one in leases:
        row = rows.get(one.allocation_id)
        if row is None or row.attempt != one.attempt:
            found[one.allocation_id] = Standing.SUPERSEDED
        else:
            found[one.allocation_id] = Standing.CANCELLED if row.cancel_requested else Standing.HELD
    return found


def is_own(session: Session, node_id: str, allocation_id: str) -> bool:
    """Whether the allocation is this node's, whatever its state."""
    return bool(_own(session, node_id, [allocation_id]))


def _own_part(session: Session, node_id: str, outcome: Outcome) -> Outcome | None:
    """The outcome without what tells of feeds that are not its allocation's; nothing for work that is not this node's."""
    query = select(ALLOCATIONS.c.kind, ALLOCATIONS.c.feed_ids).where(
        ALLOCATIONS.c.id == outcome.allocation_id, ALLOCATIONS.c.node_id == node_id
    )
    row = session.execute(query).first()
    if row is None or row.kind != outcome.kind:
        return None
    feeds = set(row.feed_ids)
    return replace(outcome, items=tuple(one for one in outcome.items if one.feed_id in feeds))


def _own(session: Session, node_id: str, ids: Collection[str]) -> set[str]:
    query = select(ALLOCATIONS.c.id).where(
        ALLOCATIONS.c.id.in_(sorted(ids)), ALLOCATIONS.c.node_id == node_id
    )
    return set(session.scalars(query))
