"""The beat's repairs in the store: expired leases, gone nodes, waits that are over, and the pulse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.orders import Failure
from backend.store import doors, publish_losses, suspects, transitions
from backend.store.columns import by_index, now
from backend.store.deliveries import REPEATABLE_KIND
from backend.store.doors import GAP_SECONDS
from backend.store.session import count_on_commit
from backend.store.tables import Allocation, Beat, Delivery, Node, Pulse, WorkItem
from backend.store.transitions import Change

SWEEPER = "sweeper"
GONE = "its node is gone"
BATCH = 200
# The row of `pulse` that beats stamp; `doors` has the other one.
BEATS = 1
DRAIN_SECONDS = 30.0
BEAT_LIFE_SECONDS = 15.0
ATTEMPTS = 3
REPLANNED = ("update", "publish", "account")


def stamp_pulse(session: Session, instance: str, lease_seconds: float) -> None:
    """Say that renewals can arrive. After a gap, no lease is recovered for one lease plus the outbox's drain time."""
    _upsert(session, Pulse, {"id": BEATS}, {})
    late = session.scalar(select(Pulse.id).where(Pulse.id == BEATS, Pulse.alive_at < now(-GAP_SECONDS)))
    values: dict[str, Any] = {"alive_at": now()}
    if late is not None:
        values["recover_after"] = now(lease_seconds + DRAIN_SECONDS)
    session.execute(update(Pulse).where(Pulse.id == BEATS).values(**values))
    _upsert(session, Beat, {"instance": instance}, {"alive_at": now()})


def stamp_sweep(session: Session) -> None:
    """Say that somebody swept."""
    session.execute(update(Pulse).where(Pulse.id == BEATS).values(swept_at=now()))


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
    """An allocation whose lease is over. `alone`: nothing else ran beside it in its process.

    `cause` is what people read. `blames`: whoever held it may have died of it.
    """

    allocation_id: str
    kind: str
    attempt: int
    item_count: int
    alone: bool
    cause: str = "the worker stopped renewing its lease (it died or froze)"
    blames: bool = True

    def still_holds(self) -> tuple[ColumnElement[bool], ...]:
        """What must still be true when it is recovered."""
        return (Allocation.lease_until < now(), Allocation.attempt == self.attempt)

    def may_be_recovered(self, session: Session) -> bool:
        """Whether the lease was lost for want of renewals that could have arrived."""
        of_it = (Allocation.id == self.allocation_id, renewals_arrive(), doors.could_be_reached())
        return session.scalar(select(Allocation.id).where(*of_it)) is not None


def expired_leases(session: Session) -> list[Expired]:
    """Claimed and executing allocations whose lease is over, unless renewals could not arrive lately."""
    # A remote node that is cut off renews nothing, whatever it works on; of a worker's death it tells itself.
    cut_off = exists().where(Node.id == Allocation.node_id, Node.transport == "remote", Node.instance != "")
    query = (
        select(
            Allocation.id,
            Allocation.kind,
            Allocation.attempt,
            Allocation.item_count,
            Allocation.alone,
            ~cut_off,
        )
        .where(
            Allocation.state.in_(("claimed", "executing")),
            Allocation.lease_until < now(),
            renewals_arrive(),
            doors.could_be_reached(),
        )
        .order_by(Allocation.lease_until)
        .limit(BATCH)
    )
    return [Expired(*row[:5], blames=bool(row[5])) for row in session.execute(query)]


def renewals_arrive() -> ColumnElement[bool]:
    """Whether children and workers could tell us what they did: not within one lease and a drain after a gap."""
    # A pulse that is itself late has not noticed a gap yet: nothing is recovered until it has.
    return exists().where(Pulse.id == BEATS, Pulse.recover_after <= now(), Pulse.alive_at > now(-GAP_SECONDS))


def recover(session: Session, expired: Expired, delivery_attempts: int) -> bool:
    """Recover one allocation that is still lost; False when somebody was faster or its worker came back.

    False also when renewals could not arrive since it was read: a sweeper may have been frozen or cut off in between.
    """
    if not expired.may_be_recovered(session):
        return False
    recovered = _recover(session, expired, delivery_attempts)
    count_on_commit(session, metrics.RECOVERIES, int(recovered), kind=expired.kind)
    return recovered


def _recover(session: Session, expired: Expired, delivery_attempts: int) -> bool:
    if expired.kind == "publish":
        return publish_losses.recover(session, expired)
    if _end_cancelled(session, expired):
        return True
    if expired.kind == "update":
        return _recover_update(session, expired)
    if expired.kind == "account":
        return publish_losses.recover_errand(session, expired, spent=expired.attempt >= ATTEMPTS)
    return _recover_deliver(session, expired, delivery_attempts)


def _end_cancelled(session: Session, expired: Expired) -> bool:
    """Work that was asked to stop is not tried again; its items and deliveries ended when it was asked."""
    change = Change(
        ("claimed", "executing"), "cancelled", SWEEPER, "cancelled on request; its worker is gone"
    )
    guards = (*expired.still_holds(), Allocation.cancel_requested.is_(True))
    values = {"active_account_id": None, "lease_until": None, "ended_at": now(), "updated_at": now()}
    return bool(transitions.move(session, Allocation, [expired.allocation_id], change, *guards, **values))


def _recover_update(session: Session, expired: Expired) -> bool:
    lost = Failure("lost", expired.cause)
    moved = transitions.move(
        session,
        Allocation,
        [expired.allocation_id],
        Change(("claimed", "executing"), "failed", SWEEPER, f"lost: {expired.cause}"),
        *expired.still_holds(),
        error_code=lost.code,
        error_message=lost.message,
        lease_until=None,
        ended_at=now(),
        updated_at=now(),
    )
    if not moved:
        return False
    suspects.come_again(
        session, expired.allocation_id, lost, SWEEPER, alone=expired.alone, blames=expired.blames
    )
    return True


def _recover_deliver(session: Session, expired: Expired, delivery_attempts: int) -> bool:
    moved = _again_or_end(session, expired)
    if moved == "failed":
        _release_deliveries(session, expired, delivery_attempts)
    return bool(moved)


def _again_or_end(session: Session, expired: Expired) -> str:
    """Back to `pending` as the next attempt, or `failed` when attempts are spent; '' when somebody was faster."""
    spent = expired.attempt >= ATTEMPTS
    target = "failed" if spent else "pending"
    moved = transitions.move(
        session,
        Allocation,
        [expired.allocation_id],
        Change(("claimed", "executing"), target, SWEEPER, f"lost: {expired.cause}"),
        *expired.still_holds(),
        attempt=Allocation.attempt if spent else Allocation.attempt + 1,
        execution=None,
        lease_until=None,
        updated_at=now(),
        **({"error_code": "lost", "ended_at": now()} if spent else {}),
    )
    return target if moved else ""


def _release_deliveries(session: Session, expired: Expired, delivery_attempts: int) -> None:
    of_allocation = (Delivery.allocation_id == expired.allocation_id, Delivery.state == "assigned")
    lock = select(Delivery.id, Delivery.in_flight).where(*of_allocation).order_by(Delivery.id)
    locked = session.execute(lock.with_for_update()).all()
    if expired.blames:
        # What kills its worker before it is marked as being sent was tried too: else it would be tried for ever.
        unsent = [row.id for row in locked if not row.in_flight]
        session.execute(
            update(Delivery).where(Delivery.id.in_(unsent)).values(attempts=Delivery.attempts + 1)
        )
    columns = (Delivery.id, Delivery.attempts, Delivery.in_flight, Delivery.receiver_kind)
    rows = session.execute(select(*columns).where(Delivery.id.in_([row.id for row in locked]))).all()
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


@dataclass(frozen=True, slots=True)
class Stranded:
    """A pending allocation of a node that is gone."""

    allocation_id: str
    item_count: int


def stranded(session: Session, node_ids: Sequence[str]) -> list[Stranded]:
    """Pending work of the nodes: of each the oldest."""
    return [Stranded(*row) for node_id in node_ids for row in session.execute(_stranded_of(node_id))]


def _stranded_of(node_id: str) -> Select[str, int]:
    query = (
        select(Allocation.id, Allocation.item_count)
        .where(Allocation.node_id == node_id, Allocation.state == "pending", Allocation.kind.in_(REPLANNED))
        .order_by(Allocation.id)
        .limit(BATCH)
    )
    return by_index(query, Allocation, "ix_allocations_node_id_state")


def replan_some(session: Session, ids: Sequence[str], actor: str = SWEEPER, why: str = GONE) -> int:
    """Give what these allocations carry back to the planner, as far as they are still pending; how many ended."""
    ended = 0
    rows = session.execute(select(Allocation.id, Allocation.kind).where(Allocation.id.in_(ids)))
    kinds = {row.id: row.kind for row in rows}
    for one in sorted(ids):
        change = Change(("pending",), "cancelled", actor, f"replanned: {why}")
        values = {"active_account_id": None, "ended_at": now(), "updated_at": now()}
        if transitions.move(session, Allocation, [one], change, **values):
            ended += 1
            if kinds.get(one) != "update":
                publish_losses.replan(session, one, actor, why)
                continue
            # The state is looked at in the move: as a condition here, it lets the server walk the items of others.
            items = session.scalars(
                select(WorkItem.id).where(WorkItem.allocation_id == one).order_by(WorkItem.id)
            ).all()
            back = Change(("assigned",), "waiting", actor, why)
            transitions.move(session, WorkItem, items, back, node_id=None, allocation_id=None)
    return ended


def replan(session: Session, node_id: str, actor: str = SWEEPER, why: str = GONE) -> int:
    """Give pending work of a node that is gone back to the planner; how many allocations ended."""
    found = stranded(session, [node_id])
    return replan_some(session, [one.allocation_id for one in found], actor, why)
