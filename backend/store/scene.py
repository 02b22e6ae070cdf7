"""The facts behind reasons: what waits and what it waits for, read in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.admission import WINDOW_SECONDS
from backend.domain.errors import NotFound
from backend.domain.publish_admission import PublishLimits
from backend.domain.waiting import (
    AllocationFacts,
    Backoff,
    Scene,
    SendingFacts,
    why_allocation_waits,
    why_delivery_waits,
    why_item_waits,
    why_run_waits,
)
from backend.domain.why import Why
from backend.store import hosts, nodes, publish_waiting
from backend.store.columns import now
from backend.store.deliveries import assigned_count, recent_attempts
from backend.store.recovery import live_beats
from backend.store.tables import Allocation, Delivery, PublishTask, Pulse, Run, WorkItem

OPEN = ("waiting", "assigned")
CARRIED = ("queued", "running")


def scene(session: Session) -> Scene:
    """What all reasons depend on, as it stands now."""
    current = session.execute(select(now())).scalar_one()
    recover_after = session.scalar(select(Pulse.recover_after).where(Pulse.id == 1))
    return Scene(current, live_beats(session), tuple(nodes.facts(session)), recover_after)


def facts_of(row: Allocation) -> AllocationFacts:
    """What an allocation's reason is made of."""
    return AllocationFacts(
        row.kind, row.state, row.node_id, row.cancel_requested, row.started_at, row.lease_until
    )


def backoff_of(row: WorkItem | Delivery) -> Backoff:
    """When the row may be tried again, and its last error."""
    return Backoff(row.not_before, row.attempts, row.error_code, row.error_message)


def sending_facts_of(session: Session, kinds: Mapping[str, str], at: Scene) -> dict[str, SendingFacts]:
    """By receiver, of those that are given with their kinds, what its deliveries compete for."""
    if not kinds:
        return {}
    recent = recent_attempts(session, sorted(kinds), WINDOW_SECONDS)
    assigned = assigned_count(session)
    parent = next((node for node in at.nodes if node.node_type == 0), None)
    capacity = parent.max_capacity if parent else nodes.PARENT_CAPACITY
    return {one: SendingFacts(kind, recent.get(one, 0), assigned, capacity) for one, kind in kinds.items()}


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one thing has not ended; for what has ended, how it did."""

    noun: str
    id: str
    state: str
    why: Why
    expected_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks why a publish task waits, an `owner` only of the own ones, and the limits that may make it wait."""

    limits: PublishLimits = field(default_factory=PublishLimits)
    owner: str | None = None


def explain(session: Session, one: str, asker: Asker | None = None) -> Explained:
    """Why the run, work item, allocation, delivery or publish task of that id waits. Raises `NotFound`."""
    for noun, look in (
        ("run", _explain_run),
        ("item", _explain_item),
        ("allocation", _explain_allocation),
        ("delivery", _explain_delivery),
    ):
        found = look(session, one)
        if found is not None:
            return Explained(noun, one, *found)
    publish = _explain_publish(session, one, asker or Asker())
    if publish is not None:
        return publish
    raise NotFound(noun="run, item, allocation, delivery or publish task", id=one)


def _explain_publish(session: Session, one: str, asker: Asker) -> Explained | None:
    row = session.get(PublishTask, one)
    if row is None or (asker.owner is not None and row.user_id != asker.owner):
        return None
    at = scene(session)
    wait = publish_waiting.waits(session, [one], asker.limits, at).get(one)
    if wait is not None:
        return Explained("publish_task", one, row.state, wait.why, wait.expected_at)
    carried = session.get(Allocation, row.allocation_id) if row.allocation_id else None
    # What has ended keeps its allocation, which says how that one ended; the task says more.
    why = why_allocation_waits(facts_of(carried), at) if carried and row.state in CARRIED else None
    said = why or _ended(row.state, row.error_message or row.reason)
    return Explained("publish_task", one, row.state, said)


def _ended(state: str, detail: str) -> Why:
    return Why("why_ended", {"status": state, "detail": detail})


def _explain_allocation(session: Session, one: str) -> tuple[str, Why] | None:
    row = session.get(Allocation, one)
    if row is None:
        return None
    why = why_allocation_waits(facts_of(row), scene(session))
    return row.state, why or _ended(row.state, row.error_message or row.reason)


def _explain_item(session: Session, one: str) -> tuple[str, Why] | None:
    row = session.get(WorkItem, one)
    return None if row is None else (row.state, why_of_item(session, row, scene(session)))


def why_of_item(session: Session, row: WorkItem, at: Scene) -> Why:
    """Why the item waits for a node, or for the allocation that has it; how it ended."""
    if row.state == "waiting":
        return why_item_waits(backoff_of(row), row.feed_kind, at, hosts.facts(session, row.host))
    return _assigned(session, row, at) or _ended(row.state, row.error_message or row.reason)


def _explain_delivery(session: Session, one: str) -> tuple[str, Why] | None:
    row = session.get(Delivery, one)
    if row is None:
        return None
    at = scene(session)
    if row.state == "waiting":
        sending = sending_facts_of(session, {row.receiver: row.receiver_kind}, at)[row.receiver]
        return row.state, why_delivery_waits(backoff_of(row), sending, at)
    return row.state, _assigned(session, row, at) or _ended(row.state, row.error_message or row.reason)


def _assigned(session: Session, row: WorkItem | Delivery, at: Scene) -> Why | None:
    held = session.get(Allocation, row.allocation_id) if row.state == "assigned" else None
    return None if held is None else why_allocation_waits(facts_of(held), at)


def _explain_run(session: Session, one: str) -> tuple[str, Why] | None:
    run = session.get(Run, one)
    if run is None:
        return None
    query = select(WorkItem.state, func.count()).where(WorkItem.run_id == one).group_by(WorkItem.state)
    counts = {str(row[0]): int(row[1]) for row in session.execute(query)}
    pending = sum(counts.get(state, 0) for state in OPEN)
    why = why_run_waits(run.state, pending, sum(counts.values()), _oldest_reason(session, one))
    return run.state, why or _ended(run.state, run.reason)


def _oldest_reason(session: Session, run_id: str) -> Why | None:
    query = select(WorkItem).where(WorkItem.run_id == run_id, WorkItem.state.in_(OPEN))
    # Waiting before assigned: what nobody works on is what a person wants to know about.
    row = session.scalars(query.order_by(WorkItem.state.desc(), WorkItem.id).limit(1)).first()
    return None if row is None else why_of_item(session, row, scene(session))
