"""The repairs of what the database holds: each finds candidates without locks, then mends them by key, repeating the condition.

Any number of processes may run them at once. `backend.dispatch.sweeper` runs all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from redis.exceptions import RedisError

from backend.dispatch import queues, scheduler
from backend.dispatch.dispatching import expand
from backend.domain.nodes import is_gone
from backend.store import nodes, offline, placed, recovery, releasing, runs, starting, ticks, transitions
from backend.store.session import read, transact
from backend.store.tables import Delivery, WorkItem

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.store.recovery import Expired, Stranded
    from backend.store.ticks import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

ROWS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What one repair found in a pass, and how much of it was changed; `name` is the code of its words."""

    name: str
    found: int
    mended: int


@dataclass(frozen=True, slots=True)
class Repair(Generic[T]):
    """One kind of repair. `find` changes nothing; `mend` says how much it changed."""

    name: str
    find: Callable[[], Sequence[T]]
    mend: Callable[[Sequence[T]], int]

    def run(self, *, dry: bool = False) -> Finding:
        """Find and mend; `dry`: only find. Raises `Unavailable` and, where Redis is needed, `RedisError`."""
        found = self.find()
        return Finding(self.name, len(found), 0 if dry or not found else self.mend(found))


def expired_leases(
    engine: Engine, delivery_attempts: int, redis: Redis | None = None, work_seconds: float = 0.0
) -> Repair[Expired]:
    """Work whose lease is over; what goes back into its queue is put there at once when there is a Redis."""

    def mend(found: Sequence[Expired]) -> int:
        recovered = [one for one in found if _recover(engine, one, delivery_attempts)]
        again = [one.allocation_id for one in recovered if one.kind != "update"]
        pending = read(engine, lambda session: placed.still_pending(session, again)) if again else []
        if redis is not None and pending:
            _enqueue_again(redis, pending, work_seconds)
        return len(recovered)

    return Repair("sweep_expired", lambda: read(engine, recovery.expired_leases), mend)


def _recover(engine: Engine, expired: Expired, delivery_attempts: int) -> bool:
    recovered = transact(engine, lambda session: recovery.recover(session, expired, delivery_attempts))
    if recovered:
        log.warning(
            "recovered %s allocation %s, attempt %d: its lease was not renewed",
            expired.kind,
            expired.allocation_id,
            expired.attempt,
        )
    return recovered


def _enqueue_again(redis: Redis, pending: Sequence[placed.Pending], work_seconds: float) -> None:
    try:
        queues.enqueue_many(redis, pending, work_seconds)
    except RedisError as error:
        log.info("the queues are away (%s); what was recovered is enqueued later", type(error).__name__)


def gone_nodes(engine: Engine) -> Repair[Stranded]:
    """Pending work of nodes that are gone: it goes back to the planner."""

    def find() -> list[Stranded]:
        gone = [node.id for node in read(engine, nodes.facts) if node.node_type == 1 and is_gone(node)]
        return read(engine, lambda session: recovery.stranded(session, gone)) if gone else []

    def mend(found: Sequence[Stranded]) -> int:
        return sum(
            transact(engine, lambda session, ids=ids: recovery.replan_some(session, ids))  # type: ignore[misc]
            for ids in _by_items(found)
        )

    return Repair("sweep_gone", find, mend)


def _by_items(found: Sequence[Stranded]) -> Iterator[list[str]]:
    """Groups of allocations that together have no more items than a transaction may change, or one allocation alone."""
    group: list[str] = []
    items = 0
    for one in found:
        if group and items + one.item_count > ROWS_AT_ONCE:
            yield group
            group, items = [], 0
        group.append(one.allocation_id)
        items += one.item_count
    if group:
        yield group


def turned_nodes(engine: Engine) -> Repair[offline.Turned]:
    """Nodes that went offline or came back: stored, and written into their history."""
    return in_one(engine, "sweep_turned", offline.turned, offline.record_turns)


def due_items(engine: Engine) -> Repair[str]:
    """Backed-off work items whose time has come."""
    find, mend = partial(releasing.due, table=WorkItem), partial(_release, WorkItem)
    return in_one(engine, "sweep_due_items", find, mend)


def due_deliveries(engine: Engine) -> Repair[str]:
    """Backed-off deliveries whose time has come."""
    find, mend = partial(releasing.due, table=Delivery), partial(_release, Delivery)
    return in_one(engine, "sweep_due_deliveries", find, mend)


def _release(table: releasing.Waiting, session: Session, ids: Sequence[str]) -> int:
    return releasing.release(session, table, ids)


def held_items(engine: Engine) -> Repair[releasing.Held]:
    """Waiting items of hosts that must be left alone for longer than a run waits."""
    return in_one(engine, "sweep_held", releasing.held, releasing.give_up)


def in_one(
    engine: Engine,
    name: str,
    find: Callable[[Session], Sequence[T]],
    mend: Callable[[Session, Sequence[T]], int],
) -> Repair[T]:
    """A repair that mends all that it found in one transaction."""
    return Repair(
        name,
        lambda: read(engine, find),
        lambda found: transact(engine, lambda session: mend(session, found)),
    )


def ended_runs(engine: Engine) -> Repair[str]:
    """Runs whose items have all ended."""
    return Repair(
        "sweep_runs",
        lambda: read(engine, runs.ended),
        lambda found: sum(close_run(engine, run_id) for run_id in found),
    )


def close_run(engine: Engine, run_id: str) -> bool:
    """Close one run if its items have all ended."""
    return transact(engine, lambda session: transitions.close_run_if_ended(session, run_id, "sweeper"))


def cut_expansions(engine: Engine) -> Repair[str]:
    """Runs whose dispatcher died while it made their items."""

    def mend(found: Sequence[str]) -> int:
        for run_id in found:
            expand(engine, run_id)
        return len(found)

    return Repair("sweep_expansions", lambda: read(engine, runs.expanding), mend)


def queued_runs(engine: Engine) -> Repair[tuple[str, str]]:
    """Runs that waited for another one of their task to end."""
    return Repair(
        "sweep_queued",
        lambda: read(engine, starting.ready_runs),
        lambda found: scheduler.start_runs(engine, found),
    )


def unplanned_schedules(engine: Engine, clock: Clock = ticks.clock) -> Repair[str]:
    """Message tasks with a schedule and without a next time."""
    return Repair(
        "sweep_schedules",
        lambda: read(engine, lambda session: ticks.planless(session, "")),
        lambda _found: scheduler.plan_missing(engine, clock),
    )


def recover_expired(engine: Engine, delivery_attempts: int) -> int:
    """Recover work whose lease is over; how many allocations."""
    return expired_leases(engine, delivery_attempts).run().mended


def replan_gone(engine: Engine) -> int:
    """Give the pending work of nodes that are gone back to the planner; how many allocations."""
    return gone_nodes(engine).run().mended


def release_due(engine: Engine) -> int:
    """Let backed-off items and deliveries whose time has come go on; how many."""
    return due_items(engine).run().mended + due_deliveries(engine).run().mended


def give_up_held(engine: Engine) -> int:
    """End the waiting items of hosts that must be left alone for longer than a run waits; how many."""
    return held_items(engine).run().mended


def close_runs(engine: Engine) -> int:
    """Close runs whose items have all ended; how many."""
    return ended_runs(engine).run().mended


def continue_expansions(engine: Engine) -> int:
    """Finish making the items of runs whose dispatcher died on the way; how many runs."""
    return cut_expansions(engine).run().mended
