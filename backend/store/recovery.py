"""The beat's repairs in the store: expired leases, gone nodes, waits that are over, and the pulse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select, true, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from backend.domain.messages import render
from backend.domain.orders import Failure
from backend.domain.planner import LARGEST_BATCH
from backend.domain.retry import MAXIMUM_WAIT_SECONDS
from backend.store import transitions
from backend.store.columns import now
from backend.store.deliveries import REPEATABLE_KIND
from backend.store.settlement import error_entry
from backend.store.tables import Allocation, Beat, Delivery, Feed, Host, Pulse, WorkItem
from backend.store.transitions import Change

SWEEPER = "sweeper"
BATCH = 200
PENDING_OF_A_NODE = 5000
GAP_SECONDS = 20.0
DRAIN_SECONDS = 30.0
BEAT_LIFE_SECONDS = 15.0
DEATHS_ALLOWED = 3
DELIVER_ATTEMPTS = 3


def stamp_pulse(session: Session, instance: str, lease_seconds: float) -> None:
    """Say that renewals can arrive. After a gap, no lease is recovered for one lease plus the outbox's drain time."""
    _upsert(session, Pulse, {"id": 1}, {})
    late = session.scalar(select(Pulse.id).where(Pulse.alive_at < now(-GAP_SECONDS)))
    values: dict[str, Any] = {"alive_at": now()}
    if late is not None:
        values["recover_after"] = now(lease_seconds + DRAIN_SECONDS)
    session.execute(update(Pulse).values(**values))
    _upsert(session, Beat, {"instance": instance}, {"alive_at": now()})


def _upsert(session: Session, table: type[Pulse | Beat], key: dict[str, Any], values: dict[str, Any]) -> None:
    names = list(values) or list(key)
    if session.get_bind().dialect.name == "sqlite":
        lite = sqlite.insert(table).values(**key, **values)
        session.execute(
            lite.on_conflict_do_update(
                index_elements=list(key), set_={name: lite.excluded[name] for name in names}
            )
        )
        return
    server = mysql.insert(table).values(**key, **values)
    session.execute(server.on_duplicate_key_update({name: server.inserted[name] for name in names}))


def forget_beat(session: Session, instance: str) -> None:
    """A beat that stops says so; beats that vanished an hour ago are forgotten too."""
    session.execute(delete(Beat).where((Beat.instance == instance) | (Beat.alive_at < now(-3600))))


def live_beats(session: Session) -> int:
    """How many beat processes were seen alive in the last 15 s."""
    return session.scalar(select(func.count()).where(Beat.alive_at > now(-BEAT_LIFE_SECONDS))) or 0


@dataclass(frozen=True, slots=True)
class Expired:
    """An allocation whose lease is over."""

    allocation_id: str
    kind: str
    attempt: int
    item_count: int


def expired_leases(session: Session) -> list[Expired]:
    """Claimed and executing allocations whose lease is over, unless renewals could not arrive lately."""
    query = (
        select(Allocation.id, Allocation.kind, Allocation.attempt, Allocation.item_count)
        .where(Allocation.state.in_(("claimed", "executing")), Allocation.lease_until < now(), _may_recover())
        .order_by(Allocation.lease_until)
        .limit(BATCH)
    )
    return [Expired(*row) for row in session.execute(query)]


def _may_recover() -> ColumnElement[bool]:
    # A pulse that is itself late has not noticed a gap yet: nothing is recovered until it has.
    return exists().where(Pulse.recover_after <= now(), Pulse.alive_at > now(-GAP_SECONDS))


def recover(session: Session, expired: Expired, delivery_attempts: int) -> bool:
    """Recover one allocation whose lease is still over; False when somebody was faster or its worker came back.

    False also when renewals could not arrive since it was read: a sweeper may have been frozen or cut off in between.
    """
    if not session.scalar(select(_may_recover())):
        return False
    if _end_cancelled(session, expired):
        return True
    if expired.kind == "update":
        return _recover_update(session, expired)
    return _recover_deliver(session, expired, delivery_attempts)


def _end_cancelled(session: Session, expired: Expired) -> bool:
    """Work that was asked to stop is not tried again; its items and deliveries ended when it was asked."""
    change = Change(
        ("claimed", "executing"), "cancelled", SWEEPER, "cancelled on request; its worker is gone"
    )
    guards = (*_still_expired(expired), Allocation.cancel_requested.is_(True))
    values = {"lease_until": None, "ended_at": now(), "updated_at": now()}
    return bool(transitions.move(session, Allocation, [expired.allocation_id], change, *guards, **values))


def _still_expired(expired: Expired) -> tuple[Any, ...]:
    return (Allocation.lease_until < now(), Allocation.attempt == expired.attempt)


def _recover_update(session: Session, expired: Expired) -> bool:
    lost = Failure("lost", "the worker stopped renewing its lease (it died or froze)")
    moved = transitions.move(
        session,
        Allocation,
        [expired.allocation_id],
        Change(("claimed", "executing"), "failed", SWEEPER, "lost: its lease was not renewed"),
        *_still_expired(expired),
        error_code=lost.code,
        error_message=lost.message,
        lease_until=None,
        ended_at=now(),
        updated_at=now(),
    )
    if not moved:
        return False
    # The state is looked at here: as a condition, it lets the server walk and lock the items of others.
    rows = session.execute(
        select(WorkItem.id, WorkItem.state, WorkItem.deaths, WorkItem.attempts, WorkItem.errors)
        .where(WorkItem.allocation_id == expired.allocation_id)
        .order_by(WorkItem.id)
        .with_for_update()
    ).all()
    items = [row for row in rows if row.state == "assigned"]
    if len(items) == 1:
        _count_death(session, items[0], lost)
    else:
        _halve(session, [item.id for item in items])
    return True


def _count_death(session: Session, item: Any, lost: Failure) -> None:
    deaths = item.deaths + 1
    values: dict[str, Any] = {
        "deaths": deaths,
        "batch_limit": 1,
        "errors": [*item.errors, error_entry(lost, item.attempts + 1)],
    }
    if deaths < DEATHS_ALLOWED:
        change = Change(("assigned",), "waiting", SWEEPER, f"its worker died ({deaths} of {DEATHS_ALLOWED})")
        transitions.move(session, WorkItem, [item.id], change, **values, node_id=None, allocation_id=None)
        return
    message = f"worker died {deaths} times while this feed was its only work"
    change = Change(("assigned",), "failed", SWEEPER, message)
    values |= {"error_code": "worker_died", "error_message": message, "ended_at": now()}
    transitions.move(session, WorkItem, [item.id], change, **values)


def _halve(session: Session, ids: Sequence[str]) -> None:
    # A death counts against the batch, not its items: the suspects come again in halves, until one is alone.
    change = Change(("assigned",), "waiting", SWEEPER, "the worker of its batch died")
    limit = min(max(1, len(ids) // 2), LARGEST_BATCH)
    transitions.move(session, WorkItem, ids, change, batch_limit=limit, node_id=None, allocation_id=None)


def _recover_deliver(session: Session, expired: Expired, delivery_attempts: int) -> bool:
    spent = expired.attempt >= DELIVER_ATTEMPTS
    target = "failed" if spent else "pending"
    moved = transitions.move(
        session,
        Allocation,
        [expired.allocation_id],
        Change(("claimed", "executing"), target, SWEEPER, "lost: its lease was not renewed"),
        *_still_expired(expired),
        attempt=Allocation.attempt if spent else Allocation.attempt + 1,
        execution=None,
        lease_until=None,
        updated_at=now(),
        **({"error_code": "lost", "ended_at": now()} if spent else {}),
    )
    if moved and spent:
        _release_deliveries(session, expired.allocation_id, delivery_attempts)
    return bool(moved)


def _release_deliveries(session: Session, allocation_id: str, delivery_attempts: int) -> None:
    rows = session.execute(
        select(Delivery.id, Delivery.attempts, Delivery.in_flight, Delivery.receiver_kind)
        .where(Delivery.allocation_id == allocation_id, Delivery.state == "assigned")
        .order_by(Delivery.id)
        .with_for_update()
    ).all()
    rest = [row.id for row in rows if row.attempts < delivery_attempts]
    change = Change(("assigned",), "waiting", SWEEPER, "the worker of its batch died")
    transitions.move(session, Delivery, rest, change, allocation_id=None)
    spent = [row for row in rows if row.attempts >= delivery_attempts]
    # What a receiver that can't recognise a repeat may have got has not failed: nobody knows.
    doubtful = [row.id for row in spent if row.in_flight and row.receiver_kind != REPEATABLE_KIND]
    message = f"worker died while sending, {delivery_attempts} attempts are spent"
    for ids, target, code in (
        (doubtful, "unconfirmed", "answer_lost"),
        ([row.id for row in spent if row.id not in doubtful], "failed", "worker_died"),
    ):
        values = {"in_flight": False, "error_code": code, "error_message": message, "ended_at": now()}
        transitions.move(session, Delivery, ids, Change(("assigned",), target, SWEEPER, message), **values)


def release_due(session: Session) -> int:
    """Work items and deliveries whose `not_before` has come wait for nothing but their turn again."""
    released = 0
    for table in (WorkItem, Delivery):
        ids = session.scalars(
            select(table.id)
            .where(table.state == "waiting", table.not_before <= now())
            .order_by(table.not_before)
            .limit(BATCH)
        ).all()
        if ids:
            session.execute(
                update(table)
                .where(table.id.in_(sorted(ids)), table.state == "waiting", table.not_before <= now())
                .values(not_before=None, reason="waits for its next attempt")
            )
        released += len(ids)
    return released


def give_up_held(session: Session) -> int:
    """End waiting items of hosts that are to be left alone for longer than a run waits; how many.

    Schedules leave their feeds out until then.
    """
    held = select(WorkItem.id, WorkItem.feed_id, Host.name, Host.held_until).join(
        Host, Host.name == WorkItem.host
    )
    rows = session.execute(
        held.where(WorkItem.state == "waiting", Host.held_until > now(MAXIMUM_WAIT_SECONDS))
        .order_by(WorkItem.id)
        .limit(BATCH)
    ).all()
    ended = 0
    for name, until in sorted({(row.name, row.held_until) for row in rows}):
        message = render("host_held", "en", {"host": name, "moment": f"{until:%Y-%m-%d %H:%M:%S} UTC"})
        of_host = [row for row in rows if row.name == name]
        change = Change(("waiting",), "failed", SWEEPER, message)
        values = {"error_code": "host_held", "error_message": message, "not_before": None, "ended_at": now()}
        ended += transitions.move(session, WorkItem, [row.id for row in of_host], change, **values)
        session.execute(
            update(Feed)
            .where(
                Feed.id.in_(sorted(row.feed_id for row in of_host)),
                func.coalesce(Feed.next_check_at < until, true()),
            )
            .values(next_check_at=until),
            execution_options={"synchronize_session": False},
        )
    return ended


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending allocation that should be in its queue."""

    allocation_id: str
    attempt: int
    queue: str
    kind: str


def pending_for(session: Session, seconds: float, node_ids: Sequence[str]) -> list[Pending]:
    """Allocations of the nodes that have been pending for so long: of each node the oldest ones."""
    return [one for node_id in node_ids for one in _pending_of(session, seconds, node_id)]


def _pending_of(session: Session, seconds: float, node_id: str) -> list[Pending]:
    # Node by node: the index then brings the oldest ones first, and one node's many never hide another's few.
    query = (
        select(Allocation.id, Allocation.attempt, Allocation.queue, Allocation.kind)
        .where(
            Allocation.node_id == node_id,
            Allocation.state == "pending",
            Allocation.updated_at < now(-seconds),
        )
        .order_by(Allocation.id)
        .limit(PENDING_OF_A_NODE)
    )
    return [Pending(*row) for row in session.execute(query)]


def replan(session: Session, node_id: str, actor: str = SWEEPER, why: str = "its node is gone") -> int:
    """Give pending update work of a node that is gone back to the planner; how many allocations ended."""
    ids = session.scalars(
        select(Allocation.id)
        .where(Allocation.node_id == node_id, Allocation.state == "pending", Allocation.kind == "update")
        .order_by(Allocation.id)
        .limit(BATCH)
    ).all()
    ended = 0
    for one in ids:
        change = Change(("pending",), "cancelled", actor, f"replanned: {why}")
        if transitions.move(session, Allocation, [one], change, ended_at=now(), updated_at=now()):
            ended += 1
            items = session.scalars(
                select(WorkItem.id)
                .where(WorkItem.allocation_id == one, WorkItem.state == "assigned")
                .order_by(WorkItem.id)
            ).all()
            back = Change(("assigned",), "waiting", actor, why)
            transitions.move(session, WorkItem, items, back, node_id=None, allocation_id=None)
    return ended
