"""Whether work flows through the queues: last real settles, live workers, and canaries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Update, and_, case, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.nodes import ONLINE_SECONDS, PRESENCE_SECONDS
from backend.domain.signs import DEFAULT_QUEUE, QueueSign
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Allocation, Node, QueueHealth, core

HEALTH = core(QueueHealth)
PUBLISH = "publish"
# Longer without a sign of its workers is a break; afterwards they get their time anew.
BREAK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ServedQueue:
    """A node's queue, and how many live workers it has. Only an attached node's is in the parent's Redis.

    `proved`: canaries prove that work flows through it. Publish workers start when there is work and end after it: a canary a
    minute would keep one running for nothing. What waits there for too long, or for nobody, is an alarm all the same.
    """

    name: str
    consumers: int
    attached: bool
    active: bool = True
    proved: bool = True


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary on its way: its queue, its token, and the token of the one that it replaces."""

    queue: str
    token: str
    replaced: str | None = None


def served_queues(session: Session) -> list[ServedQueue]:
    """The queues of all nodes, with their live workers as presence tells; nodes that are switched off have none."""
    current = _current(session)
    query = select(Node).order_by(Node.node_type, Node.slug)
    return [one for row in session.scalars(query) for one in _served(row, current)]


def _served(row: Node, current: datetime) -> list[ServedQueue]:
    attached = row.transport == "attached"
    name = f"node:{row.slug}" if row.node_type else DEFAULT_QUEUE
    limit = PRESENCE_SECONDS if attached else ONLINE_SECONDS
    present = (
        row.is_active and row.presence_at is not None and (current - row.presence_at).total_seconds() < limit
    )
    consumers = (row.workers_alive if attached else 1) if present else 0
    found = [ServedQueue(name, consumers, attached, row.is_active)]
    if row.node_type and (attached or PUBLISH in row.kinds):
        # The node's own process serves both: it starts a worker for each publish that waits.
        found.append(ServedQueue(f"{name}:publish", consumers, attached, row.is_active, proved=False))
    return found


def note_served(session: Session, served: Sequence[ServedQueue]) -> None:
    """Write down which queues have live workers; one statement for all of them."""
    known = set(session.scalars(select(QueueHealth.queue)))
    insert_missing(session, QueueHealth, [{"queue": one.name} for one in served if one.name not in known])
    broken = or_(HEALTH.c.served_at.is_(None), HEALTH.c.served_at < now(-BREAK_SECONDS))
    names = [one.name for one in served if one.consumers]
    # In this order: MySQL's later assignments see the earlier ones.
    session.execute(
        update(HEALTH)
        .where(HEALTH.c.queue.in_(names))
        .ordered_values(
            ("served_since", case((broken, now()), else_=HEALTH.c.served_since)), ("served_at", now())
        )
    )


def queue_signs(session: Session, served: Sequence[ServedQueue], watched_seconds: float) -> list[QueueSign]:
    """What alarms are decided from, by queue. Nothing lasts longer than somebody has watched."""
    current = _current(session)
    oldest = (
        select(Allocation.updated_at)
        .where(Allocation.queue == QueueHealth.queue, Allocation.state == "pending")
        .order_by(Allocation.id)
        .limit(1)
        .scalar_subquery()
    )
    rows, waiting = {}, {}
    for row, since in session.execute(select(QueueHealth, oldest)):
        rows[row.queue], waiting[row.queue] = row, since
    return [
        _sign(one, rows.get(one.name, QueueHealth()), waiting.get(one.name), current, watched_seconds)
        for one in served
    ]


def _sign(
    served: ServedQueue, row: QueueHealth, oldest: datetime | None, current: datetime, watched: float
) -> QueueSign:
    def age(*moments: datetime | None) -> float | None:
        known = [moment for moment in moments if moment is not None]
        return (current - max(known)).total_seconds() if known else None

    def lasting(seconds: float | None) -> float:
        return watched if seconds is None else min(watched, seconds)

    proofs = (row.settled_at, row.canary_settled_at)
    awaited = age(row.canary_since, row.served_since, *proofs) if row.canary and row.canary_since else None
    return QueueSign(
        name=served.name,
        consumers=served.consumers,
        unserved_seconds=0.0 if served.consumers else lasting(age(row.served_at)),
        oldest_pending_seconds=None if oldest is None else lasting(age(oldest)),
        awaited_seconds=None if awaited is None else lasting(awaited),
        settled_seconds=age(row.settled_at),
        proved_seconds=age(*proofs),
    )


def _current(session: Session) -> datetime:
    return session.execute(select(now())).scalar_one()


def send_canaries(
    session: Session, names: Collection[str], token: str, canary_seconds: float
) -> list[Canary]:
    """Give the token to those of the queues that have been idle for so long; one statement for all of them.

    A canary that is not back by then is replaced: the old one is then late, and changes nothing any more.
    """
    idle = and_(
        *(
            or_(column.is_(None), column <= now(-canary_seconds))
            for column in (HEALTH.c.settled_at, HEALTH.c.canary_settled_at, HEALTH.c.canary_sent_at)
        ),
        HEALTH.c.queue.in_(names),
    )
    found = session.execute(select(HEALTH.c.queue, HEALTH.c.canary).where(idle).with_for_update()).all()
    # One that was not replaced for so long could not be sent meanwhile: the wait begins anew.
    unsent = or_(
        HEALTH.c.canary.is_(None), HEALTH.c.canary_sent_at < now(-2 * canary_seconds - BREAK_SECONDS)
    )
    session.execute(
        update(HEALTH)
        .where(HEALTH.c.queue.in_([row.queue for row in found]))
        .ordered_values(
            ("canary_since", case((unsent, now()), else_=HEALTH.c.canary_since)),
            ("canary", token),
            ("canary_sent_at", now()),
            ("canary_begun_at", None),
        )
    )
    return [Canary(row.queue, token, row.canary) for row in found]


def forget_canaries(session: Session, token: str) -> None:
    """They could not be sent: nobody waits for them."""
    statement = update(HEALTH).where(HEALTH.c.canary == token)
    session.execute(statement.values(canary=None, canary_since=None))


def begin_canary(session: Session, queue: str, token: str) -> bool:
    """A worker of the queue begins it; `False` when it is late, or a duplicate."""
    return _moved(
        session,
        update(HEALTH)
        .where(HEALTH.c.queue == queue, HEALTH.c.canary == token, HEALTH.c.canary_begun_at.is_(None))
        .values(canary_begun_at=now()),
    )


def settle_canary(session: Session, queue: str, token: str) -> bool:
    """A worker of the queue settles what it began; `False` when it is late."""
    return _moved(
        session,
        update(HEALTH)
        .where(HEALTH.c.queue == queue, HEALTH.c.canary == token, HEALTH.c.canary_begun_at.is_not(None))
        .values(canary=None, canary_since=None, canary_settled_at=now()),
    )


def note_settle(session: Session, queue: str) -> bool:
    """Real work of the queue was settled just now."""
    return _moved(session, update(HEALTH).where(HEALTH.c.queue == queue).values(settled_at=now()))


def _moved(session: Session, statement: Update) -> bool:
    return bool(cast("CursorResult[Any]", session.execute(statement)).rowcount)
