"""The beat's repairs: one small function each. Any number of beats may run them at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.dispatch import queues
from backend.dispatch.dispatching import expand
from backend.domain.nodes import NodeFacts, availability, is_gone
from backend.store import alerts, hosts, nodes, recovery, requests, runs, sync_logs, transitions
from backend.store.session import read, transact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis
    from sqlalchemy import Engine

    from backend.store.recovery import Expired, Pending

log = logging.getLogger(__name__)

LOST_AFTER_SECONDS = 30.0
FORGET_ROUNDS = 20
FORGET_BATCH = 500


def recover_expired(engine: Engine, delivery_attempts: int) -> int:
    """Recover work whose lease is over; each allocation in a transaction of its own, repeating the lease condition."""
    return sum(_recover(engine, one, delivery_attempts) for one in read(engine, recovery.expired_leases))


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


def release_due(engine: Engine) -> int:
    """Let backed-off items and deliveries whose time has come go on."""
    return transact(engine, recovery.release_due)


def give_up_held(engine: Engine) -> int:
    """End the waiting items of hosts that must be left alone for longer than a run waits; how many."""
    return transact(engine, recovery.give_up_held)


def close_runs(engine: Engine) -> int:
    """Close runs whose items have all ended."""
    return sum(close_run(engine, run_id) for run_id in read(engine, runs.ended))


def close_run(engine: Engine, run_id: str) -> bool:
    """Close one run if its items have all ended."""
    return transact(engine, lambda session: transitions.close_run_if_ended(session, run_id, "sweeper"))


def continue_expansions(engine: Engine) -> int:
    """Finish making the items of runs whose dispatcher died on the way."""
    unfinished = read(engine, runs.expanding)
    for run_id in unfinished:
        expand(engine, run_id)
    return len(unfinished)


def replan_gone(engine: Engine) -> int:
    """Give the pending work of nodes that are gone back to the planner."""
    gone = [node.id for node in read(engine, nodes.facts) if node.node_type == 1 and is_gone(node)]
    ended = sum(_replan(engine, node_id) for node_id in gone)
    if ended:
        log.warning("replanned %d allocations of nodes that are gone", ended)
    return ended


def _replan(engine: Engine, node_id: str) -> int:
    return transact(engine, lambda session: recovery.replan(session, node_id))


def forget_requests(engine: Engine) -> int:
    """Forget idempotent requests that are a day old, in short transactions; returns how many."""
    forgotten = 0
    while found := transact(engine, lambda session: requests.forget_old(session, FORGET_BATCH)):
        forgotten += found
    return forgotten


def forget_reports(engine: Engine, days: float) -> int:
    """Forget sync logs and children's results that are so old, a bounded part of them at a time; returns how many."""
    forgotten = 0
    for _ in range(FORGET_ROUNDS):
        found = transact(engine, lambda session: sync_logs.prune(session, days))
        forgotten += found
        if not found:
            break
    return forgotten


def forget_holds(engine: Engine) -> int:
    """Forget the wishes of hosts that are over, a bounded part of them at a time; returns how many."""
    return transact(engine, hosts.forget_past)


def forget_alerts(engine: Engine) -> int:
    """Forget alerts that were closed long ago, a bounded part of them at a time; returns how many."""
    return transact(engine, alerts.prune)


@dataclass(slots=True)
class LostFinder:
    """Finds pending work that Redis lost: absent from its queue's list in two passes, whatever RQ's registries say."""

    suspects: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = LOST_AFTER_SECONDS

    def repair(self, engine: Engine, redis: Redis, work_seconds: float) -> int:
        """Enqueue again what is missing for the second time. Raises `RedisError`."""
        serving = [node.id for node in read(engine, nodes.facts) if _is_served(node)]
        pending = read(engine, lambda session: recovery.pending_for(session, self.seconds, serving))
        missing = _missing(redis, pending)
        lost = [one for one in missing if (one.allocation_id, one.attempt) in self.suspects]
        self.suspects = {(one.allocation_id, one.attempt) for one in missing}
        if lost:
            queues.enqueue_many(redis, lost, work_seconds)
            log.warning("enqueued %d allocations again that Redis had lost", len(lost))
        return len(lost)


def _is_served(node: NodeFacts) -> bool:
    return node.transport == "attached" and availability(node).online


def _missing(redis: Redis, pending: Iterable[Pending]) -> list[Pending]:
    present: dict[str, set[str]] = {}
    missing = []
    for one in pending:
        if one.queue not in present:
            present[one.queue] = set(queues.waiting_jobs(redis, one.queue))
        if queues.job_id(one.allocation_id, one.attempt) not in present[one.queue]:
            missing.append(one)
    return missing
