"""Phase 3 of update work: what an outcome brings, in one commit, and what late results may still change."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.messages import render
from backend.domain.orders import Failure, ItemOutcome, Outcome, Postponement
from backend.domain.ports import Standing
from backend.domain.retry import GiveUp, RetryIn, RetryPolicy, decide_item
from backend.store import hosts, transitions
from backend.store.collecting import Collected, make_deliveries, store_articles
from backend.store.columns import now
from backend.store.feed_health import lock_feeds, note_ends
from backend.store.session import count_on_commit
from backend.store.tables import Allocation, WorkItem, core
from backend.store.transitions import Change

WORKER = "worker"
ALLOCATIONS, ITEMS = core(Allocation), core(WorkItem)


@dataclass(frozen=True, slots=True)
class Report:
    """What an execution tells of its update work: a final outcome ends its allocation, any other is a checkpoint."""

    outcome: Outcome
    final: bool

    @property
    def feed_ids(self) -> set[str]:
        """The feeds that it tells of."""
        return {one.feed_id for one in self.outcome.items}


def settle_update(session: Session, outcome: Outcome, policy: RetryPolicy) -> Standing:
    """End an update allocation and apply its items; see `apply_reports`."""
    return apply_reports(session, [Report(outcome, final=True)], policy)[0]


def apply_reports(session: Session, reports: Sequence[Report], policy: RetryPolicy) -> list[Standing]:
    """Apply reports of several executions in one transaction, as if each had one of its own; their standings, in order.

    Repeatable: a second run after a lost answer changes nothing. When an allocation is no longer its execution's,
    items still take what is useful (see `apply_items`) and the answer is `SUPERSEDED`. No two may tell of one feed.
    """
    in_lock_order = sorted(reports, key=lambda report: report.outcome.allocation_id)
    standings = {report.outcome.execution: _standing(session, report) for report in in_lock_order}
    _apply(session, [report.outcome for report in in_lock_order], policy)
    ended = [report.outcome for report in in_lock_order if report.final]
    for outcome in ended:
        _hand_back(session, outcome)
    held = [one.allocation_id for one in ended if standings[one.execution] is Standing.HELD]
    _fail_rest(session, held, policy)
    count_articles(session, *held)
    return [standings[report.outcome.execution] for report in reports]


def _standing(session: Session, report: Report) -> Standing:
    outcome = report.outcome
    if report.final:
        return _end_allocation(session, outcome)
    return standing_of(session, outcome.allocation_id, outcome.attempt, outcome.execution)


def standing_of(session: Session, allocation_id: str, attempt: int, execution: str) -> Standing:
    """Whether the execution still holds its allocation, read with a lock."""
    row = session.execute(
        select(
            ALLOCATIONS.c.state,
            ALLOCATIONS.c.attempt,
            ALLOCATIONS.c.execution,
            ALLOCATIONS.c.cancel_requested,
        )
        .where(ALLOCATIONS.c.id == allocation_id)
        .with_for_update()
    ).first()
    if row is None or (row.state, row.attempt, row.execution) != ("executing", attempt, execution):
        return Standing.SUPERSEDED
    return Standing.CANCELLED if row.cancel_requested else Standing.HELD


def end(session: Session, outcome: Outcome, change: Change, **values: Any) -> Standing:
    """Compare-and-set the allocation to its end on (id, attempt, execution); `HELD` also when this execution did it before.

    An allocation that a person asked to stop ends `cancelled`, however far its work came.
    """
    stopped = Change(change.sources, "cancelled", change.actor, "cancelled on request")
    if _end_as(session, outcome, change, ~ALLOCATIONS.c.cancel_requested, **values) or _end_as(
        session, outcome, stopped, ALLOCATIONS.c.cancel_requested.is_(True)
    ):
        return Standing.HELD
    locked = transitions.lock(session, Allocation, outcome.allocation_id)
    if locked is not None and locked[1] == outcome.execution:
        return Standing.HELD
    count_on_commit(session, metrics.REFUSED, kind=outcome.kind)
    return Standing.SUPERSEDED


def _end_as(
    session: Session, outcome: Outcome, change: Change, *guards: ColumnElement[bool], **values: Any
) -> int:
    return transitions.move(
        session,
        Allocation,
        [outcome.allocation_id],
        change,
        ALLOCATIONS.c.attempt == outcome.attempt,
        ALLOCATIONS.c.execution == outcome.execution,
        *guards,
        settled_by=outcome.execution,
        lease_until=None,
        ended_at=now(),
        updated_at=now(),
        **values,
    )


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
    _apply(session, [outcome], policy)


def _apply(session: Session, outcomes: Sequence[Outcome], policy: RetryPolicy) -> None:
    told = sorted(
        ((outcome, one) for outcome in outcomes for one in outcome.items), key=lambda pair: pair[1].item_id
    )
    ordered = [one for _, one in told]
    rows = _lock_items(session, {one.item_id: outcome.execution for outcome, one in told})
    feeds = lock_feeds(session, ordered)
    collected = [
        Collected(one.feed_id, one.result.articles) for one in ordered if one.result and one.feed_id in feeds
    ]
    new = store_articles(session, collected)
    make_deliveries(
        session, new, {one.feed_id: rows[one.item_id].run_id for one in ordered if one.item_id in rows}
    )
    _succeed(session, [one for one in ordered if one.item_id in rows and one.result is not None], new)
    ended: set[str] = set()
    for outcome, one in told:
        row = rows.get(one.item_id)
        if row is not None and _is_held(row, outcome.allocation_id):
            ended |= _end_attempt(session, row, one, policy)
    hosts.hold(session, hosts.wishes(ordered, {item_id: row.host for item_id, row in rows.items()}))
    note_ends(session, ordered, feeds, ended)


def _end_attempt(session: Session, row: Any, one: ItemOutcome, policy: RetryPolicy) -> set[str]:
    """What follows an item that brought nothing; names it when that was its last attempt."""
    if one.postponement is not None:
        _postpone(session, row, one.postponement)
    elif one.failure is not None and _fail(session, row, one.failure, policy):
        return {one.item_id}
    return set()


def _postpone(session: Session, row: Any, postponement: Postponement) -> None:
    reason = f"{postponement.host} is left alone for {postponement.seconds:.0f} s"
    transitions.move(
        session,
        WorkItem,
        [row.id],
        Change(("assigned",), "waiting", WORKER, reason),
        not_before=now(postponement.seconds),
        node_id=None,
        allocation_id=None,
    )


def _is_held(row: Any, allocation_id: str) -> bool:
    return bool(row.state == "assigned" and row.allocation_id == allocation_id)


LOCKED_COLUMNS = (
    ITEMS.c.id,
    ITEMS.c.run_id,
    ITEMS.c.state,
    ITEMS.c.allocation_id,
    ITEMS.c.execution,
    ITEMS.c.attempts,
    ITEMS.c.errors,
    ITEMS.c.host,
)


def _lock_items(session: Session, executions: Mapping[str, str]) -> dict[str, Any]:
    """The open items among those given, by id, whose last execution is the one given."""
    if not executions:
        return {}
    query = (
        select(*LOCKED_COLUMNS)
        .where(
            ITEMS.c.id.in_(list(executions)),
            ITEMS.c.execution.in_(sorted(set(executions.values()))),
            ITEMS.c.state.in_(("assigned", "waiting")),
        )
        .order_by(ITEMS.c.id)
        .with_for_update()
    )
    return {row.id: row for row in session.execute(query) if row.execution == executions[row.id]}


def _fail_rest(session: Session, allocation_ids: Sequence[str], policy: RetryPolicy) -> None:
    """Items that no outcome names (their feed vanished while they were planned) must not stay assigned."""
    if not allocation_ids:
        return
    # With a condition on the state, the server may walk and lock the items of others: settles that meet deadlock.
    rows = session.execute(
        select(*LOCKED_COLUMNS)
        .where(ITEMS.c.allocation_id.in_(allocation_ids))
        .order_by(ITEMS.c.id)
        .with_for_update()
    ).all()
    failure = Failure("no_result", render("no_result", "en", {}))
    for row in rows:
        if row.state == "assigned":
            _fail(session, row, failure, policy)


def _succeed(session: Session, items: Sequence[ItemOutcome], new: Mapping[str, Sequence[str]]) -> None:
    """End items well; those that brought the same numbers in one statement, because a statement costs far more than a row."""
    by_counts: dict[tuple[int, int], list[str]] = {}
    for one in items:
        found = max(len(one.result.articles), one.result.reported_count) if one.result else 0
        by_counts.setdefault((found, len(new.get(one.feed_id, ()))), []).append(one.item_id)
    for (found, fresh), ids in by_counts.items():
        done = transitions.move(
            session,
            WorkItem,
            ids,
            Change(("assigned", "waiting"), "done", WORKER),
            attempts=ITEMS.c.attempts + 1,
            article_count=found,
            # Added: a child has uploaded its articles before it reports.
            new_article_count=ITEMS.c.new_article_count + fresh,
            error_code="",
            error_message="",
            not_before=None,
            ended_at=now(),
        )
        count_on_commit(session, metrics.ATTEMPTS, done, kind="update", outcome="done", code="")


def _fail(session: Session, row: Any, failure: Failure, policy: RetryPolicy) -> bool:
    """Count the failed attempt; whether it was the last one."""
    attempt = row.attempts + 1
    values: dict[str, Any] = {
        "attempts": attempt,
        "errors": [*row.errors, error_entry(failure, attempt)],
        "error_code": failure.code,
        "error_message": failure.message,
    }
    count_on_commit(session, metrics.ATTEMPTS, kind="update", outcome="failed", code=failure.code)
    decision = decide_item(policy, failure, attempt, random.random())  # noqa: S311
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
            return False
        case GiveUp():
            change = Change(("assigned",), "failed", WORKER, failure.message)
            transitions.move(session, WorkItem, [row.id], change, **values, ended_at=now())
            return True
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


def count_articles(session: Session, *allocation_ids: str) -> None:
    """Write the sums of its items into each allocation."""
    if not allocation_ids:
        return
    counts = (ITEMS.c.article_count, ITEMS.c.new_article_count)
    sums = session.execute(
        select(ITEMS.c.allocation_id, *(func.coalesce(func.sum(count), 0) for count in counts))
        .where(ITEMS.c.allocation_id.in_(allocation_ids))
        .group_by(ITEMS.c.allocation_id)
    ).all()
    for allocation_id, found, fresh in sums:
        session.execute(
            update(ALLOCATIONS)
            .where(ALLOCATIONS.c.id == allocation_id)
            .values(article_count=found, new_article_count=fresh)
        )
