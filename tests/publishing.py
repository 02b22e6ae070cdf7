"""Builders of what tests of publishing start from: users' tasks, accounts, and work of theirs that is under way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, insert, select

from backend.domain.identifiers import new_id
from backend.store import transitions
from backend.store.session import read, transact
from backend.store.tables import Allocation, PublishAccount, PublishTask


def make_account(engine: Engine, name: str = "ana", **values: Any) -> str:
    """An account that is healthy and keeps no pace; its id."""
    row = {
        "id": new_id(),
        "platform": "webhook",
        "name": name,
        "credentials": "",
        "user_id": "ana",
        "health": "ok",
        "min_gap_seconds": 0,
        "daily_limit": 0,
    } | values
    transact(engine, lambda session: session.execute(insert(PublishAccount).values(**row)))
    return str(row["id"])


def make_tasks(
    engine: Engine, account_id: str, count: int = 1, *, user: str = "ana", start: str = "", **values: Any
) -> list[str]:
    """Publish tasks of one user, the oldest first; their ids."""
    rows = [
        {
            "id": new_id(),
            "user_id": user,
            "account_id": account_id,
            "platform": "webhook",
            "title": f"article {number}",
            "content": "text",
        }
        | values
        for number in range(count)
    ]
    transact(
        engine, lambda session: transitions.create(session, PublishTask, rows, user, "waits", start=start)
    )
    return [str(row["id"]) for row in rows]


def slots(engine: Engine) -> dict[str, str]:
    """By account whose slot is taken, the kind of work that has it."""
    query = select(Allocation.active_account_id, Allocation.kind).where(
        Allocation.active_account_id.is_not(None)
    )
    return {str(row[0]): row[1] for row in read(engine, lambda session: session.execute(query).all())}


def placed_tasks(engine: Engine) -> list[str]:
    """The tasks that were given to a node, in the order in which they stand in its queue."""
    query = (
        select(PublishTask.id)
        .join(Allocation, Allocation.id == PublishTask.allocation_id)
        .where(Allocation.state == "pending")
        .order_by(Allocation.id)
    )
    return list(read(engine, lambda session: session.scalars(query).all()))


def free(engine: Engine, *, task_state: str = "success") -> None:
    """Let all work that is under way end: slots get free, tasks end."""

    def end(session: Any) -> None:
        allocations = list(session.scalars(select(Allocation.id).where(Allocation.state == "pending")))
        tasks = list(session.scalars(select(PublishTask.id).where(PublishTask.state == "queued")))
        begin = transitions.Change(("pending",), "executing", "test")
        transitions.move(session, Allocation, allocations, begin)
        over = transitions.Change(("executing",), "completed", "test")
        transitions.move(session, Allocation, allocations, over, active_account_id=None)
        transitions.move(session, PublishTask, tasks, transitions.Change(("queued",), "running", "test"))
        transitions.move(session, PublishTask, tasks, transitions.Change(("running",), task_state, "test"))

    transact(engine, end)
