"""Every change of a state column: guarded compare-and-sets whose row counts are read.

This module is the only writer of state columns. `move` and `move_locked` are the ways through; the rest of the store
composes it. Lock order: pump, allocation, items by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, insert, select, update
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.states import LIFE_CYCLES
from backend.store.columns import now
from backend.store.session import count_on_commit
from backend.store.tables import Allocation, Delivery, History, PublishTask, Run, Tick, WorkItem, core

Noun = type[Allocation] | type[WorkItem] | type[Delivery] | type[Run] | type[Tick] | type[PublishTask]

NOUNS: dict[Noun, str] = {
    Allocation: "allocation",
    WorkItem: "work_item",
    Delivery: "delivery",
    Run: "run",
    Tick: "tick",
    PublishTask: "publish_task",
}
RECORDED: frozenset[Noun] = frozenset({Allocation, Run, PublishTask})
REASON_LENGTH = 500


class IllegalMoveError(AssertionError):
    """The program asked for a move that the life cycle does not have: a bug, never a race."""


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of move: from any of the states to one, by whom and why."""

    sources: tuple[str, ...]
    target: str
    actor: str
    reason: str = ""


def move(
    session: Session,
    table: Noun,
    ids: Sequence[str],
    change: Change,
    *guards: ColumnElement[bool],
    **values: Any,
) -> int:
    """Move rows that are in one of the change's states and pass the guards; returns how many moved.

    Rows in any other state stay as they are: the caller reads the count. Moves of allocations, runs and
    publish tasks are recorded in the history, in the same transaction.
    """
    _check(table, change)
    if not ids:
        return 0
    if table in RECORDED:
        return sum(_move_recorded(session, table, one, change, guards, values) for one in ids)
    return _update(
        session,
        table,
        [core(table).c.id.in_(ids), core(table).c.state.in_(change.sources), *guards],
        change,
        values,
    )


def move_locked(session: Session, table: Noun, changes: Mapping[str, Change], **values: Any) -> None:
    """Move rows that the transaction has locked and found in their state, by id, in one statement.

    The changes are alike but for who makes them. Raises `IllegalMoveError` when a row was not there after all.
    """
    if not changes:
        return
    change = next(iter(changes.values()))
    _check(table, change)
    (source,) = change.sources
    where = [core(table).c.id.in_(changes.keys()), core(table).c.state == source]
    if _update(session, table, where, change, values) != len(changes):
        raise IllegalMoveError(f"{NOUNS[table]}: rows that were locked as {source} were in another state")
    if table in RECORDED:
        rows = [_history(NOUNS[table], one, source, change) for one, change in changes.items()]
        session.execute(insert(core(History)), rows)


def _check(table: Noun, change: Change) -> None:
    cycle = LIFE_CYCLES[NOUNS[table]]
    for source in change.sources:
        if not cycle.allows(source, change.target):
            raise IllegalMoveError(f"{cycle.noun}: {source} -> {change.target}")


def _move_recorded(
    session: Session,
    table: Noun,
    one: str,
    change: Change,
    guards: Iterable[ColumnElement[bool]],
    values: dict[str, Any],
) -> int:
    # One guarded UPDATE for each possible from-state, so that the history knows which one it was.
    for source in change.sources:
        if _update(
            session, table, [core(table).c.id == one, core(table).c.state == source, *guards], change, values
        ):
            record(session, NOUNS[table], [one], source, change)
            return 1
    return 0


def _update(
    session: Session, table: Noun, where: list[ColumnElement[bool]], change: Change, values: dict[str, Any]
) -> int:
    statement = (
        update(core(table))
        .where(*where)
        .values(state=change.target, reason=change.reason[:REASON_LENGTH], **values)
    )
    moved = cast("CursorResult[Any]", session.execute(statement)).rowcount
    count_on_commit(session, metrics.MOVES, moved, noun=NOUNS[table], state=change.target)
    return moved


def record(session: Session, noun: str, ids: Sequence[str], source: str, change: Change) -> None:
    """Write one history row for each subject; an empty `source` is its making."""
    if ids:
        session.execute(insert(core(History)), [_history(noun, one, source, change) for one in ids])


def _history(noun: str, one: str, source: str, change: Change) -> dict[str, str]:
    return {
        "noun": noun,
        "subject_id": one,
        "actor": change.actor[:100],
        "from_state": source,
        "to_state": change.target,
        "reason": change.reason[:REASON_LENGTH],
    }


def lock(session: Session, table: Noun, one: str) -> tuple[str, str | None] | None:
    """The row's state and, for allocations, who settled it, read with a lock: a plain read decides nothing."""
    settled_by = table.settled_by if table is Allocation else None
    columns = [table.state] if settled_by is None else [table.state, settled_by]
    row = session.execute(select(*columns).where(table.id == one).with_for_update()).first()
    return None if row is None else (row[0], row[1] if len(row) > 1 else None)


def create(
    session: Session,
    table: Noun,
    rows: Sequence[dict[str, Any]],
    actor: str,
    reason: str = "",
    *,
    start: str = "",
) -> None:
    """Insert rows in the first state of their life cycle, or in another one that it may start in.

    The recorded nouns get their first history row.
    """
    if not rows:
        return
    cycle = LIFE_CYCLES[NOUNS[table]]
    state = start or cycle.initial
    if state not in cycle.starts:
        raise IllegalMoveError(f"{cycle.noun}: nothing -> {state}")
    reason = reason[:REASON_LENGTH]
    session.execute(insert(core(table)), [{**row, "state": state, "reason": reason} for row in rows])
    count_on_commit(session, metrics.MOVES, len(rows), noun=NOUNS[table], state=state)
    if table in RECORDED:
        ids = [str(row["id"]) for row in rows]
        record(session, NOUNS[table], ids, "", Change((), state, actor, reason))


def close_run_if_ended(session: Session, run_id: str, actor: str) -> bool:
    """Close a running run whose items have all ended; safe to call as often as wanted."""
    # The lock is a statement of its own: the look at the items must come after whoever retries some has committed.
    locked = lock(session, Run, run_id)
    if locked is None or locked[0] != "running":
        return False
    open_items = (
        select(WorkItem.id)
        .where(WorkItem.run_id == run_id, WorkItem.state.in_(("waiting", "assigned")))
        .exists()
    )
    change = Change(("running",), "completed", actor, "all items ended")
    return bool(move(session, Run, [run_id], change, ~open_items, ended_at=now()))
