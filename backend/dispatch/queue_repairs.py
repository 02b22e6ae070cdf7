"""The repairs of what Redis holds: pending work that it lost, jobs that nobody wants, and what RQ never tidies up.

Each pass looks at a bounded part. What may only look wrong for a moment must look wrong in two passes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.dispatch import queues, registries
from backend.dispatch.repairs import Repair
from backend.domain.nodes import NodeFacts, availability
from backend.store import nodes, placed
from backend.store.session import read

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.store.placed import Pending

log = logging.getLogger(__name__)

LOST_AFTER_SECONDS = 30.0
LOOKED_FOR_IN_THE_MIDDLE = 200
PAGE = 200
PAGES = 10
STUCK = 200
SCANNED = 500

Job = tuple[str, str]
"""The names of a queue and of a job in it."""


@dataclass(slots=True)
class LostFinder:
    """Finds pending work that Redis lost: absent from its queue's list in two passes, whatever RQ's registries say."""

    suspects: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = LOST_AFTER_SECONDS

    def find(self, engine: Engine, redis: Redis) -> list[Pending]:
        """What is missing for the second time. Raises `RedisError`."""
        serving = [node.id for node in read(engine, nodes.facts) if _is_served(node)]
        pending = read(engine, lambda session: placed.pending_for(session, self.seconds, serving))
        missing = _missing(redis, pending)
        lost = [one for one in missing if (one.allocation_id, one.attempt) in self.suspects]
        self.suspects = {(one.allocation_id, one.attempt) for one in missing}
        return lost

    def repair(self, engine: Engine, redis: Redis, work_seconds: float) -> int:
        """Enqueue again what is missing for the second time; how many. Raises `RedisError`."""
        return self.as_repair(engine, redis, work_seconds).run().mended

    def as_repair(self, engine: Engine, redis: Redis, work_seconds: float) -> Repair[Pending]:
        """The same, for a pass."""

        def mend(lost: Sequence[Pending]) -> int:
            # They have waited longest. The newest is put in front first, so that the oldest ends in front of all.
            queues.enqueue_many(redis, lost[::-1], work_seconds, at_front=True)
            log.warning("enqueued %d allocations again that Redis had lost", len(lost))
            return len(lost)

        return Repair("sweep_lost", lambda: self.find(engine, redis), mend)


def _is_served(node: NodeFacts) -> bool:
    return node.transport == "attached" and availability(node).online and node.workers_alive > 0


def _missing(redis: Redis, pending: Sequence[Pending]) -> list[Pending]:
    by_queue: dict[str, dict[str, Pending]] = {}
    for one in pending:
        by_queue.setdefault(one.queue, {})[queues.job_id(one.allocation_id, one.attempt)] = one
    return [
        jobs[job_id]
        for name, jobs in by_queue.items()
        for job_id in registries.missing(redis, name, list(jobs), LOOKED_FOR_IN_THE_MIDDLE)
    ]


@dataclass(slots=True)
class Tidier:
    """Keeps RQ's part of Redis small. Remembers how far it looked: each pass goes on where the last one ended."""

    engine: Engine
    redis: Redis
    seen_between: set[Job] = field(default_factory=set)
    starts: dict[str, int] = field(default_factory=dict)
    next_queue: str = ""
    cursor: int = 0

    @property
    def repairs(self) -> list[Repair[str] | Repair[Job]]:
        """All of them, in the order of a pass."""
        return [
            Repair("sweep_stuck", self.stuck, self._by_queue(registries.forget_intermediate)),
            Repair("sweep_unwanted", self.unwanted, self._by_queue(registries.remove)),
            Repair("sweep_leftovers", self.leftovers, lambda ids: registries.let_expire(self.redis, ids)),
            Repair("sweep_deserted", lambda: self._queues()[1], self._delete),
            Repair(
                "sweep_registries",
                lambda: list(registries.overfull(self.redis, self._queues()[0])),
                lambda keys: registries.shorten(self.redis, keys),
            ),
            Repair(
                "sweep_ghosts",
                lambda: registries.ghosts(self.redis),
                lambda keys: registries.forget_workers(self.redis, keys, self._queues()[0]),
            ),
        ]

    def _queues(self) -> tuple[list[str], list[str]]:
        """Our queues, and those of nodes that were deleted."""
        # Redis first: a node is stored before anything is enqueued for it.
        ours = [name for name in registries.known_queues(self.redis) if queues.NAME.match(name)]
        slugs = read(self.engine, placed.all_slugs)
        standing = [name for name in ours if name == queues.DEFAULT_QUEUE or name.split(":")[1] in slugs]
        return standing, sorted(set(ours) - set(standing))

    def _by_queue(self, change: Callable[[Redis, str, list[str]], int]) -> Callable[[Sequence[Job]], int]:
        def mend(jobs: Sequence[Job]) -> int:
            names = sorted({name for name, _ in jobs})
            return sum(change(self.redis, name, [one for of, one in jobs if of == name]) for name in names)

        return mend

    def stuck(self) -> list[Job]:
        """Jobs that a worker took and never started, seen for the second time: it died in between."""
        seen = {
            (name, job_id)
            for name in self._queues()[0]
            for job_id in registries.intermediate(self.redis, name, STUCK)
        }
        stuck = sorted(seen & self.seen_between)
        self.seen_between = seen
        return stuck

    def unwanted(self) -> list[Job]:
        """Jobs in the queues' lists whose allocation is not pending with this attempt."""
        found = self._some_jobs()
        attempts = {attempt for _, job_id in found if (attempt := registries.attempt_of(job_id))}
        wanted = read(self.engine, lambda session: placed.wanted(session, attempts, running=False))
        return [(name, one) for name, one in found if _is_not_among(one, wanted)]

    def _some_jobs(self) -> list[Job]:
        """A page of each of some queues."""
        lengths = queues.lengths(self.redis, self._queues()[0])
        filled = sorted(name for name, length in lengths.items() if length)
        turn = [name for name in filled if name >= self.next_queue] + [
            name for name in filled if name < self.next_queue
        ]
        self.next_queue = turn[PAGES] if len(turn) > PAGES else ""
        found: list[Job] = []
        for name in turn[:PAGES]:
            start = self.starts.pop(name, 0)
            found += [(name, one) for one in registries.page(self.redis, name, start, PAGE)]
            if start + PAGE < lengths[name]:
                self.starts[name] = start + PAGE
        return found

    def leftovers(self) -> list[str]:
        """Jobs that are kept for ever although their allocation has ended or has another attempt."""
        self.cursor, ids = registries.lasting_jobs(self.redis, self.cursor, SCANNED)
        attempts = {attempt for one in ids if (attempt := registries.attempt_of(one))}
        if not attempts:
            return []
        wanted = read(self.engine, lambda session: placed.wanted(session, attempts, running=True))
        return [one for one in ids if _is_not_among(one, wanted)]

    def _delete(self, names: Sequence[str]) -> int:
        for name in names:
            log.warning(
                "removed the queue %s with %d jobs: its node was deleted",
                name,
                registries.delete_queue(self.redis, name),
            )
        return len(names)


def _is_not_among(job_id: str, wanted: set[tuple[str, int]]) -> bool:
    attempt = registries.attempt_of(job_id)
    # Somebody else's job is none of our business.
    return attempt is not None and attempt not in wanted
