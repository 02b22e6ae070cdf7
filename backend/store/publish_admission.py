"""What the pump reads and places of publishing: whose tasks wait, what accounts and nodes allow, and the allocations made.

Every read is bounded by what has not ended and goes over an index, however much waits and whatever has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.nodes import NodeFacts
from backend.domain.pacing import pace_of
from backend.domain.publish_admission import (
    RATE_SECONDS,
    AccountFacts,
    Admission,
    Candidate,
    PublishNode,
    UserLoad,
)
from backend.domain.publish_waiting import publishing_nodes
from backend.domain.publishing import Health
from backend.store import account_errands, nodes, publish_pace, transitions
from backend.store.columns import by_index, now
from backend.store.planning import PUMP, Placed
from backend.store.tables import Allocation, Node, PublishAccount, PublishTask
from backend.store.transitions import Change

ADMISSION_INDEX = "ix_publish_tasks_admission"
IN_FLIGHT = ("queued", "running")
ACCOUNTS_AT_ONCE = 1000
ACCOUNT = (
    PublishAccount.id,
    PublishAccount.platform,
    PublishAccount.health,
    PublishAccount.is_active,
    PublishAccount.node_id,
    PublishAccount.min_gap_seconds,
    PublishAccount.daily_limit,
)


def anything_waits(session: Session) -> bool:
    """Whether there is a pending task or an account to be visited: three seeks in one statement."""
    return bool(session.scalar(select(or_(_pending(), account_errands.any_wanted()))))


def any_pending(session: Session) -> bool:
    """Whether any task waits for its turn."""
    return bool(session.scalar(select(_pending())))


def _pending() -> ColumnElement[bool]:
    return exists().where(PublishTask.state == "pending")


def waiting_accounts(session: Session, state: str) -> Iterator[list[str]]:
    """The accounts with tasks in the state, in parts: a seek in the index for each account, however many tasks it has."""
    last = ""
    while True:
        query = (
            select(PublishTask.account_id)
            .where(PublishTask.state == state, PublishTask.account_id > last)
            .distinct()
            .order_by(PublishTask.account_id)
            .limit(ACCOUNTS_AT_ONCE)
        )
        found = list(session.scalars(by_index(query, PublishTask, ADMISSION_INDEX)))
        if found:
            yield found
        if len(found) < ACCOUNTS_AT_ONCE:
            return
        last = found[-1]


def occupants(session: Session) -> dict[str, str]:
    """By account whose slot is taken, the node that has it: only what has not ended has one."""
    query = select(Allocation.active_account_id, Allocation.node_id).where(
        Allocation.active_account_id.is_not(None)
    )
    return {str(account): node for account, node in session.execute(query)}


def account_facts(session: Session, ids: Collection[str], taken: Collection[str]) -> dict[str, AccountFacts]:
    """What admission must know of these accounts; those that were deleted are left out."""
    rows = session.execute(select(*ACCOUNT).where(PublishAccount.id.in_(sorted(ids)))).all()
    paces = {row.id: pace_of(row.platform, row.min_gap_seconds, row.daily_limit) for row in rows}
    used = publish_pace.usage(session, paces)
    return {
        row.id: AccountFacts(
            id=row.id,
            platform=row.platform,
            health=Health(row.health),
            is_active=row.is_active,
            occupied=row.id in taken,
            node_id=row.node_id,
            free_at=used[row.id].free_at,
        )
        for row in rows
    }


def candidates(session: Session, account_ids: Collection[str]) -> list[Candidate]:
    """Of each of the accounts and each of its users the one task that comes next, if its time has come.

    An account does one thing at a time, so whatever stands behind it cannot begin now.
    """
    if not account_ids:
        return []
    order = (PublishTask.submitted_at.is_(None), PublishTask.priority.desc(), PublishTask.id)
    place = func.row_number().over(partition_by=(PublishTask.account_id, PublishTask.user_id), order_by=order)
    ranked = (
        by_index(
            select(
                PublishTask.id,
                PublishTask.user_id,
                PublishTask.account_id,
                PublishTask.priority,
                PublishTask.submitted_at,
                place.label("place"),
            ),
            PublishTask,
            ADMISSION_INDEX,
        )
        .where(PublishTask.state == "pending", PublishTask.account_id.in_(sorted(account_ids)), is_due())
        .subquery()
    )
    query = select(ranked).where(ranked.c.place == 1)
    return [
        Candidate(row.id, row.user_id, row.account_id, row.priority, row.submitted_at is not None)
        for row in session.execute(query)
    ]


def is_due() -> ColumnElement[bool]:
    """Whether the task's time has come."""
    return or_(PublishTask.not_before.is_(None), PublishTask.not_before <= now())


def user_loads(session: Session, user_ids: Collection[str]) -> dict[str, UserLoad]:
    """What these users have in flight, and when tasks of theirs were admitted."""
    if not user_ids:
        return {}
    of_users = PublishTask.user_id.in_(sorted(user_ids))
    flying = (
        select(PublishTask.user_id, func.count())
        .where(of_users, PublishTask.state.in_(IN_FLIGHT))
        .group_by(PublishTask.user_id)
    )
    served = (
        select(PublishTask.user_id, func.max(PublishTask.admitted_at))
        .where(of_users)
        .group_by(PublishTask.user_id)
    )
    in_flight: dict[str, int] = {row[0]: row[1] for row in session.execute(flying)}
    last: dict[str, datetime | None] = {row[0]: row[1] for row in session.execute(served)}
    recent: dict[str, list[datetime]] = {}
    lately = select(PublishTask.user_id, PublishTask.admitted_at).where(
        of_users, PublishTask.admitted_at > now(-RATE_SECONDS)
    )
    for user, moment in session.execute(lately.order_by(PublishTask.admitted_at)):
        if moment is not None:
            recent.setdefault(user, []).append(moment)
    return {
        user: UserLoad(in_flight.get(user, 0), tuple(recent.get(user, ())), last.get(user))
        for user in user_ids
    }


def publish_nodes(
    session: Session, taken: Iterable[str], slots: int, known: Sequence[NodeFacts] | None = None
) -> list[PublishNode]:
    """The nodes that may be given publish and account work now; `taken` names the node of each work that has not ended."""
    in_flight: dict[str, int] = {}
    for node_id in taken:
        in_flight[node_id] = in_flight.get(node_id, 0) + 1
    facts = nodes.facts(session) if known is None else known
    return publishing_nodes(facts, in_flight, slots)


def place(session: Session, admissions: Sequence[Admission], errands: Mapping[str, str]) -> list[Placed]:
    """Make an allocation of each admission, with the account's slot; tasks that stopped waiting meanwhile are left out.

    `errands` says what the admissions that are no tasks are for, by their id.
    """
    known = {row.id: row for row in session.execute(select(Node.id, Node.slug, Node.transport))}
    placed: list[Placed] = []
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in admissions:
        node = known[one.node_id]
        row = _allocation(one, f"node:{node.slug}:publish", errands.get(one.id))
        if row["kind"] == "account" or _take(session, one, row["id"]):
            rows.setdefault(row["kind"], []).append(row)
            attached = node.transport == "attached"
            placed.append(Placed(row["queue"], row["id"], 1, row["kind"], attached))
    for made in rows.values():
        transitions.create(session, Allocation, made, PUMP, "waits for a worker of its node")
    return placed


def _allocation(one: Admission, queue: str, errand: str | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": "account" if errand else "publish",
        "queue": queue,
        "node_id": one.node_id,
        "item_count": 1,
        "task_id": None if errand else one.id,
        "account_id": one.account_id,
        "active_account_id": one.account_id,
        "errand": errand,
    }


def _take(session: Session, one: Admission, allocation_id: str) -> bool:
    """Give the task to the allocation; not when it was cancelled, or its account fell ill, a moment ago."""
    change = Change(("pending",), "queued", PUMP, "waits for a worker of its node")
    values: dict[str, Any] = {"allocation_id": allocation_id, "reason_code": "publish_queued"}
    if not one.confirms:
        values["admitted_at"] = now()
    same = PublishTask.submitted_at.is_not(None) if one.confirms else PublishTask.submitted_at.is_(None)
    return bool(transitions.move(session, PublishTask, [one.id], change, and_(same), **values))
