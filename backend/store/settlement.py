"""Phase 3 of update work: what an outcome brings, in one commit, and what late results may still change."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.domain.messages import render
from backend.domain.orders import Failure, FetchResult, ItemOutcome, Outcome
from backend.domain.ports import Standing
from backend.domain.retry import GiveUp, RetryIn, RetryPolicy
from backend.store import transitions
from backend.store.collecting import Collected, make_deliveries, store_articles
from backend.store.columns import now
from backend.store.tables import Allocation, Feed, WorkItem
from backend.store.transitions import Change

WORKER = "worker"


def settle_update(session: Session, outcome: Outcome, policy: RetryPolicy) -> Standing:
    """End an update allocation and apply its items. Repeatable: a second run after a lost answer changes nothing.

    When the allocation is no longer this execution's, items still take what is useful (see `apply_items`)
    and the answer is `SUPERSEDED`.
    """
    standing = _end_allocation(session, outcome)
    apply_items(session, outcome, policy)
    _hand_back(session, outcome)
    if standing is Standing.HELD:
        _fail_rest(session, outcome.allocation_id, policy)
        _count_articles(session, outcome.allocation_id)
    return standing


def checkpoint_update(session: Session, outcome: Outcome, policy: RetryPolicy) -> Standing:
    """Apply the items that are ready while others of the batch still run."""
    standing = standing_of(session, outcome.allocation_id, outcome.attempt, outcome.execution)
    apply_items(session, outcome, policy)
    return standing


def standing_of(session: Session, allocation_id: str, attempt: int, execution: str) -> Standing:
    """Whether the execution still holds its allocation, read with a lock."""
    row = session.execute(
        select(Allocation.state, Allocation.attempt, Allocation.execution, Allocation.cancel_requested)
        .where(Allocation.id == allocation_id)
        .with_for_update()
    ).first()
    if row is None or (row.state, row.attempt, row.execution) != ("executing", attempt, execution):
        return Standing.SUPERSEDED
    return Standing.CANCELLED if row.cancel_requested else Standing.HELD


def end(session: Session, outcome: Outcome, change: Change) -> Standing:
    """Compare-and-set the allocation to its end on (id, attempt, execution); `HELD` also when this execution did it before."""
    moved = transitions.move(
        session,
        Allocation,
        [outcome.allocation_id],
        change,
        Allocation.attempt == outcome.attempt,
        Allocation.execution == outcome.execution,
        settled_by=outcome.execution,
        lease_until=None,
        ended_at=now(),
        updated_at=now(),
    )
    if moved:
        return Standing.HELD
    locked = transitions.lock(session, Allocation, outcome.allocation_id)
    return Standing.HELD if locked is not None and locked[1] == outcome.execution else Standing.SUPERSEDED


def _end_allocation(session: Session, outcome: Outcome) -> Standing:
    if outcome.handed_back:
        reason = f"handed back: {len(outcome.handed_back)} of {_size(outcome)}"
        return end(session, outcome, Change(("executing",), "cancelled", WORKER, reason))
    return end(session, outcome, Change(("executing",), "completed", WORKER, "the work ran to its end"))


def _size(outcome: Outcome) -> int:
    return len(outcome.items) + len(outcome.receipts) + len(outcome.handed_back)


def apply_items(session: Session, outcome: Outcome, policy: RetryPolicy) -> None:
    """Store articles whenever they arrive; an item takes its result unless its next execution has begun.

    A failure counts only while the item is still this allocation's: reported again or late, it would take
    the item from the allocation that tries it next.
    """
    ordered = sorted(outcome.items, key=lambda one: one.item_id)
    rows = _lock_items(session, [one.item_id for one in ordered], outcome.execution)
    feeds = _existing_feeds(session, ordered)
    collected = [
        Collected(one.feed_id, one.result.articles) for one in ordered if one.result and one.feed_id in feeds
    ]
    new = store_articles(session, collected)
    make_deliveries(
        session, new, {one.feed_id: rows[one.item_id].run_id for one in ordered if one.item_id in rows}
    )
    for one in ordered:
        row = rows.get(one.item_id)
        if row is not None and one.result is not None:
            _succeed(session, one, len(new.get(one.feed_id, ())))
        elif row is not None and one.failure is not None and _is_held(row, outcome.allocation_id):
            _fail(session, row, one.failure, policy)
    _update_feeds(session, ordered)


def _is_held(row: Any, allocation_id: str) -> bool:
    return bool(row.state == "assigned" and row.allocation_id == allocation_id)


LOCKED_COLUMNS = (
    WorkItem.id,
    WorkItem.run_id,
    WorkItem.state,
    WorkItem.allocation_id,
    WorkItem.attempts,
    WorkItem.errors,
)


def _existing_feeds(session: Session, items: Iterable[ItemOutcome]) -> set[str]:
    # A feed may have been deleted while it was collected: its articles would belong to nothing.
    return set(session.scalars(select(Feed.id).where(Feed.id.in_({one.feed_id for one in items}))))


def _lock_items(session: Session, ids: Sequence[str], execution: str) -> dict[str, Any]:
    if not ids:
        return {}
    query = (
        select(*LOCKED_COLUMNS)
        .where(
            WorkItem.id.in_(ids), WorkItem.execution == execution, WorkItem.state.in_(("assigned", "waiting"))
        )
        .order_by(WorkItem.id)
        .with_for_update()
    )
    return {row.id: row for row in session.execute(query)}


def _fail_rest(session: Session, allocation_id: str, policy: RetryPolicy) -> None:
    """Items that the outcome does not name (their feed vanished while they were planned) must not stay assigned."""
    # With a condition on the state, the server may walk and lock the items of others: settles that meet deadlock.
    rows = session.execute(
        select(*LOCKED_COLUMNS)
        .where(WorkItem.allocation_id == allocation_id)
        .order_by(WorkItem.id)
        .with_for_update()
    ).all()
    failure = Failure("no_result", render("no_result", "en", {}))
    for row in rows:
        if row.state == "assigned":
            _fail(session, row, failure, policy)


def _succeed(session: Session, one: ItemOutcome, new_articles: int) -> None:
    articles = len(one.result.articles) if one.result else 0
    transitions.move(
        session,
        WorkItem,
        [one.item_id],
        Change(("assigned", "waiting"), "done", WORKER),
        attempts=WorkItem.attempts + 1,
        article_count=articles,
        new_article_count=new_articles,
        error_code="",
        error_message="",
        not_before=None,
        ended_at=now(),
    )


def _fail(session: Session, row: Any, failure: Failure, policy: RetryPolicy) -> None:
    attempt = row.attempts + 1
    values: dict[str, Any] = {
        "attempts": attempt,
        "errors": [*row.errors, error_entry(failure, attempt)],
        "error_code": failure.code,
        "error_message": failure.message,
    }
    decision = policy.decide(failure, attempt, random.random())  # noqa: S311
    match decision:
        case RetryIn(seconds):
            reason = f"attempt {attempt} of {policy.attempts} failed; the next one comes in {seconds:.0f} s"
            change = Change(("assigned",), "waiting", WORKER, reason)
            transitions.move(
                session,
                WorkItem,
                [row.id],
                change,
                **values,
                not_before=now(seconds),
                node_id=None,
                allocation_id=None,
            )
        case GiveUp():
            change = Change(("assigned",), "failed", WORKER, failure.message)
            transitions.move(session, WorkItem, [row.id], change, **values, ended_at=now())
        case _:
            assert_never(decision)


def error_entry(failure: Failure, attempt: int) -> dict[str, Any]:
    """One attempt's error as a work item keeps it."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"attempt": attempt, "at": at, "code": failure.code, "message": failure.message[:500]}


def _hand_back(session: Session, outcome: Outcome) -> None:
    transitions.move(
        session,
        WorkItem,
        sorted(outcome.handed_back),
        Change(("assigned",), "waiting", WORKER, "handed back by its worker"),
        WorkItem.allocation_id == outcome.allocation_id,
        node_id=None,
        allocation_id=None,
    )


def _update_feeds(session: Session, items: Iterable[ItemOutcome]) -> None:
    for one in sorted(items, key=lambda item: item.feed_id):
        values = _feed_values(one.result) if one.result else _feed_error(one.failure)
        session.execute(update(Feed).where(Feed.id == one.feed_id).values(**values))


def _feed_values(result: FetchResult) -> dict[str, Any]:
    values: dict[str, Any] = {"collected_at": now(), "error_code": "", "error_message": ""}
    if not result.not_modified:
        values |= {"etag": result.etag[:512], "last_modified": result.last_modified[:128]}
    return values


def _feed_error(failure: Failure | None) -> dict[str, Any]:
    return {"error_code": failure.code, "error_message": failure.message} if failure else {}


def _count_articles(session: Session, allocation_id: str) -> None:
    sums = session.execute(
        select(
            func.coalesce(func.sum(WorkItem.article_count), 0),
            func.coalesce(func.sum(WorkItem.new_article_count), 0),
        ).where(WorkItem.allocation_id == allocation_id)
    ).one()
    session.execute(
        update(Allocation)
        .where(Allocation.id == allocation_id)
        .values(article_count=sums[0], new_article_count=sums[1])
    )
