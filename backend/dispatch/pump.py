"""The pump: read what waits, plan, commit, enqueue. It runs in the beats and inside dispatch-task only."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.dispatch import publish_pump
from backend.dispatch.broker import note_fault
from backend.dispatch.queues import DEFAULT_QUEUE, announce, enqueue_many, node_queue
from backend.domain import politeness
from backend.domain.admission import WINDOW_SECONDS, admit
from backend.domain.nodes import loads_of
from backend.domain.planner import batch_size, batches, plan
from backend.domain.politeness import NO_LIMITS, HostLimits
from backend.domain.publish_admission import PublishLimits
from backend.store import deliveries, hosts, nodes, planning
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.domain.planner import Candidate, NodeLoad
    from backend.store.deliveries import WaitingDelivery
    from backend.store.planning import Placed

log = logging.getLogger(__name__)

ITEMS_PER_TRANSACTION = 2000
MANY_ITEMS = 1000
DELIVERIES_PER_BATCH = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the pump must know of the settings: the longest own limit of any work, in seconds, how hosts are treated, and
    how much users and nodes may publish at a time.
    """

    work_seconds: float
    hosts: HostLimits = NO_LIMITS
    publishing: PublishLimits = field(default_factory=PublishLimits)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one transaction placed, and whether another one may find more of what has room."""

    placed: list[Placed]
    more: bool


NOTHING = Pass([], more=False)


def pump(engine: Engine, redis: Redis | None, limits: Limits) -> int:
    """Place everything that has room; how many allocations were made. Cheap when there is nothing to do."""
    made = 0
    for has_work, place in (
        (_has_items, partial(_place_items, limits=limits)),
        (_has_deliveries, _place_deliveries),
        (
            partial(publish_pump.has_work, limits=limits.publishing),
            partial(_place_publishing, limits=limits.publishing),
        ),
    ):
        while read(engine, has_work):
            one = transact(engine, place)
            made += len(one.placed)
            _tell(redis, one.placed, limits)
            if not one.more:
                break
    return made


def _tell(redis: Redis | None, placed: list[Placed], limits: Limits) -> None:
    """After the commit: jobs for attached nodes, a word to the long polls of remote ones."""
    if redis is None or not placed:
        return
    try:
        enqueue_many(redis, [one for one in placed if one.attached], limits.work_seconds)
        announce(redis, [one.queue for one in placed if not one.attached])
    except RedisError as error:
        # Committed work is not lost: workers and long polls look for it, and the sweeper enqueues what Redis does not know.
        note_fault(log, error, f"Redis did not take {len(placed)} allocations")


def _has_items(session: Session) -> bool:
    return bool(planning.waiting_kinds(session))


def _place_items(session: Session, limits: Limits) -> Pass:
    planning.take_pump_lock(session)
    known = nodes.facts(session)
    loads = loads_of(known, "update")
    items, more = _admitted_items(session, _limits(session, loads), limits.hosts.concurrency)
    if not items:
        return NOTHING
    sizes = {load.node_id: batch_size(load.max_capacity) for load in loads}
    queues = {one.id: node_queue(one.slug) for one in known}
    attached = {one.id for one in known if one.transport == "attached"}
    # Two items for each of a thousand nodes would be a thousand allocations: with this many, each gets a full one.
    at_once = sizes if len(items) >= MANY_ITEMS else {}
    made = batches(plan(items, loads, at_once), sizes)
    placed = planning.place_items(session, made, queues, attached)
    return Pass(placed, more=more and bool(placed))


def _admitted_items(
    session: Session, by_kind: dict[str, int], concurrency: int
) -> tuple[list[Candidate], bool]:
    """The oldest items that may be asked for now, and whether others may come behind them.

    Hosts that have their share or want to be left alone are passed over.
    """
    in_flight = hosts.in_flight(session) if concurrency else {}
    saturated = {name for name, count in in_flight.items() if count >= concurrency}
    waiting = planning.waiting_items(session, by_kind, saturated | hosts.held(session).keys())
    admitted = politeness.admit(waiting[:ITEMS_PER_TRANSACTION], in_flight, concurrency)
    # Less than a whole transaction is as much as has room, unless a host that is full by now stood in front of others.
    # Whoever makes room or work meanwhile wakes the beats: a look for it now would find nothing most of the time.
    return admitted, len(waiting) >= ITEMS_PER_TRANSACTION or len(admitted) < len(waiting)


def _limits(session: Session, loads: list[NodeLoad]) -> dict[str, int]:
    """By kind of feed, how many items are worth reading: as many as the nodes that collect it have room for."""
    rooms = {
        kind: sum(load.room for load in loads if kind in load.kinds)
        for kind in planning.waiting_kinds(session)
    }
    return {kind: min(room, ITEMS_PER_TRANSACTION) for kind, room in rooms.items() if room}


def _place_publishing(session: Session, limits: PublishLimits) -> Pass:
    # Each account gets one work at a time: another look would find nothing.
    return Pass(publish_pump.place(session, limits), more=False)


def _has_deliveries(session: Session) -> bool:
    return bool(deliveries.waiting(session, 1))


def _place_deliveries(session: Session) -> Pass:
    planning.take_pump_lock(session)
    parent = nodes.ensure_parent(session)
    room = parent.max_capacity - deliveries.assigned_count(session)
    if room <= 0:
        return NOTHING
    admitted = _admitted(session, room)
    placed = planning.place_deliveries(session, _groups(admitted), parent.id, DEFAULT_QUEUE)
    return Pass(placed, more=bool(placed))


def _groups(admitted: list[WaitingDelivery]) -> list[list[WaitingDelivery]]:
    """Batches; what its workers may have died of goes alone, as suspects among the items do."""
    others = [one for one in admitted if not one.suspect]
    starts = range(0, len(others), DELIVERIES_PER_BATCH)
    suspects = [[one] for one in admitted if one.suspect]
    return [*(others[start : start + DELIVERIES_PER_BATCH] for start in starts), *suspects]


def _admitted(session: Session, room: int) -> list[WaitingDelivery]:
    """What may be sent now; receivers at their limit are passed over, so that they never hide the others."""
    saturated: set[str] = set()
    while True:
        waiting = deliveries.waiting(session, ITEMS_PER_TRANSACTION, saturated)
        receivers = {one.receiver for one in waiting}
        recent = deliveries.recent_attempts(session, sorted(receivers), WINDOW_SECONDS)
        admitted = admit(waiting, recent, room)
        if admitted or not waiting:
            return admitted
        saturated |= receivers
