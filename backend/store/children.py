"""What children do with the work they hold: start it, end it, report about it. An adapter over the same transitions.

A WeRSS child names an allocation and never an attempt. It is fenced all the same: whoever holds the allocation's
row renews its lease by naming it, recovery ends the allocation and plans a new one, and so only the node that holds
it can end it, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.children import ChildResult, HeldItem, child_failure, item_outcomes
from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import new_id
from backend.domain.orders import Failure, FetchResult, ItemOutcome, Outcome
from backend.domain.retry import RetryPolicy
from backend.store import allocations, settlement
from backend.store.allocations import Taker
from backend.store.claims import HELD
from backend.store.columns import now
from backend.store.tables import Allocation, WorkItem
from backend.store.transitions import Change

# What a report makes of its allocation: cancelled, where a person had asked for that meanwhile.
ENDED_BY_REPORT = ("completed", "cancelled")


@dataclass(frozen=True, slots=True)
class Holder:
    """The node that calls, its start (empty for WeRSS children), and how long a lease holds for it, in seconds."""

    node_id: str
    instance: str
    lease_seconds: float


def look_up(session: Session, holder: Holder, allocation_id: str, attempt: int | None = None) -> Any:
    """The node's own allocation, locked, its lease renewed while it is held.

    Raises `NotFound` when it is not the node's, and `Conflict` when another attempt has taken its place.
    """
    row = session.execute(
        select(
            Allocation.id,
            Allocation.node_id,
            Allocation.run_id,
            Allocation.task_id,
            Allocation.kind,
            Allocation.state,
            Allocation.reason,
            Allocation.attempt,
            Allocation.execution,
            Allocation.settled_by,
            Allocation.feed_ids,
        )
        .where(Allocation.id == allocation_id)
        .with_for_update()
    ).first()
    if row is None or row.node_id != holder.node_id or row.kind != "update":
        raise NotFound(noun="allocation", id=allocation_id)
    if attempt is not None and attempt != row.attempt:
        raise Conflict("stale_attempt", attempt=attempt, current=row.attempt)
    renew(session, holder, [allocation_id])
    return row


def renew(session: Session, holder: Holder, allocation_ids: Sequence[str]) -> None:
    """Renew the leases of those that the node holds; the others stay as they are."""
    session.execute(
        update(Allocation)
        .where(
            Allocation.id.in_(allocation_ids),
            Allocation.node_id == holder.node_id,
            Allocation.state.in_(HELD),
        )
        .values(lease_until=now(holder.lease_seconds)),
        execution_options={"synchronize_session": False},
    )


@dataclass(frozen=True, slots=True)
class Stands:
    """How an allocation stands: its state, and whether a person asked to cancel what runs of it."""

    state: str
    cancel_requested: bool


def stands(session: Session, allocation_id: str) -> Stands:
    """How the allocation stands in this transaction."""
    row = session.execute(
        select(Allocation.state, Allocation.cancel_requested).where(Allocation.id == allocation_id)
    ).one()
    return Stands(row.state, row.cancel_requested)


def start(session: Session, holder: Holder, allocation_id: str, attempt: int | None = None) -> None:
    """The child begins work; said again it only renews the lease. Raises `NotFound` and `Conflict`."""
    _execution_of(session, holder, look_up(session, holder, allocation_id, attempt))


def complete(
    session: Session,
    holder: Holder,
    allocation_id: str,
    results: Sequence[ChildResult],
    policy: RetryPolicy,
    attempt: int | None = None,
) -> bool:
    """End the allocation with a result for each feed; False when this node did so before. Raises as `start`.

    Feeds that no result names count as failed.
    """
    row = look_up(session, holder, allocation_id, attempt)
    if row.state in ENDED_BY_REPORT and row.settled_by:
        return False
    execution = _execution_of(session, holder, row)
    items = item_outcomes(_held_items(session, allocation_id), results)
    settlement.settle_update(session, _outcome(row, execution, items), policy)
    return True


def complete_whole(
    session: Session, holder: Holder, allocation_id: str, policy: RetryPolicy, attempt: int | None = None
) -> bool:
    """End the allocation with success for every feed, as `task-status completed` says; otherwise as `complete`."""
    row = look_up(session, holder, allocation_id, attempt)
    if row.state in ENDED_BY_REPORT and row.settled_by:
        return False
    execution = _execution_of(session, holder, row)
    done = FetchResult(not_modified=True)
    items = [
        ItemOutcome(one.item_id, one.feed_id, result=done) for one in _held_items(session, allocation_id)
    ]
    settlement.settle_update(session, _outcome(row, execution, items), policy)
    return True


def fail(
    session: Session,
    holder: Holder,
    allocation_id: str,
    detail: str,
    policy: RetryPolicy,
    attempt: int | None = None,
) -> bool:
    """The child gives the whole allocation up; False when it did so before. Raises as `start`.

    Its open feeds have failed an attempt each.
    """
    row = look_up(session, holder, allocation_id, attempt)
    if row.state in {"failed", "cancelled"} and row.settled_by:
        return False
    execution = _execution_of(session, holder, row)
    failure = child_failure(detail)
    items = [
        ItemOutcome(one.item_id, one.feed_id, failure=failure) for one in _held_items(session, allocation_id)
    ]
    outcome = _outcome(row, execution, items)
    change = Change(("executing",), "failed", f"node {holder.node_id}", failure.message)
    settlement.end(session, outcome, change, **_error(failure))
    settlement.apply_items(session, outcome, policy)
    settlement.count_articles(session, allocation_id)
    return True


def _error(failure: Failure) -> dict[str, str]:
    return {"error_code": failure.code, "error_message": failure.message}


def settle_named(
    session: Session, holder: Holder, task_id: str, results: Sequence[ChildResult], policy: RetryPolicy
) -> int:
    """Settle the items that the results name, in what the node got of this task by polling; how many feeds were settled.

    A feed's result settles one item, the oldest. An allocation whose items have all ended is completed.
    """
    query = (
        select(Allocation.id)
        .where(
            Allocation.node_id == holder.node_id,
            Allocation.state.in_(HELD),
            Allocation.task_id == task_id,
            Allocation.polled,
        )
        .order_by(Allocation.id)
    )
    left = {one.feed_id: one for one in results}
    for allocation_id in session.scalars(query).all():
        row = look_up(session, holder, allocation_id)
        if row.state in HELD:
            _settle_some(session, holder, row, left, policy)
    return len(results) - len(left)


def _settle_some(
    session: Session, holder: Holder, row: Any, left: dict[str, ChildResult], policy: RetryPolicy
) -> None:
    held = _held_items(session, row.id)
    named = [left.pop(one.feed_id) for one in held if one.feed_id in left]
    if named:
        execution = _execution_of(session, holder, row)
        outcome = _outcome(row, execution, item_outcomes(held, named))
        if len(outcome.items) == len(held):
            settlement.settle_update(session, outcome, policy)
        else:
            settlement.apply_items(session, outcome, policy)


def _held_items(session: Session, allocation_id: str) -> list[HeldItem]:
    # The state is looked at here: as a condition, it lets the server walk and lock the items of others.
    rows = session.execute(
        select(WorkItem.id, WorkItem.feed_id, WorkItem.state)
        .where(WorkItem.allocation_id == allocation_id)
        .order_by(WorkItem.id)
        .with_for_update()
    ).all()
    return [HeldItem(row.id, row.feed_id) for row in rows if row.state == "assigned"]


def _execution_of(session: Session, holder: Holder, row: Any) -> str:
    """The execution under which the child works, begun here when it has not said that it began."""
    if row.state == "executing":
        return str(row.execution)
    taker = Taker(holder.node_id, holder.instance, holder.lease_seconds)
    execution = new_id()
    begun = (
        allocations.begin(session, row.id, row.attempt, execution, taker) if row.state == "claimed" else None
    )
    if begun is None:
        raise Conflict("allocation_not_held", id=row.id, state=row.state, reason=row.reason)
    return execution


def _outcome(row: Any, execution: str, items: Sequence[ItemOutcome]) -> Outcome:
    return Outcome(row.id, row.attempt, execution, "update", tuple(items))
