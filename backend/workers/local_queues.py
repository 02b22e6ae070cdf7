"""A remote node's own queues in its own Redis: wake-ups for what the journal knows. Redis may lose everything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import note_fault
from backend.domain.errors import CascadeError
from backend.domain.wire import Piece
from backend.workers.journal import CLAIMED, Journal

log = logging.getLogger(__name__)

MEND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LocalQueues:
    """Enqueues claimed work. `work_seconds` is the longest own limit of it."""

    redis: Redis
    journal: Journal
    work_seconds: float

    def offer(self, pieces: Sequence[Piece]) -> None:
        """Enqueue these; what Redis does not take now, `mend` enqueues later."""
        try:
            queues.enqueue_many(self.redis, pieces, self.work_seconds)
        except RedisError as error:
            note_fault(log, error, "claimed work is enqueued when Redis is back")

    def mend(self) -> int:
        """Enqueue what waits in the journal and not in its queue; how many. Enqueuing twice is harmless.

        Raises `Unavailable` for the journal.
        """
        waiting = [entry for entry in self.journal.entries() if entry.stage == CLAIMED]
        try:
            known = {
                job
                for name in {one.queue for one in waiting}
                for job in queues.waiting_jobs(self.redis, name)
            }
            missing = [one for one in waiting if queues.job_id(one.allocation_id, one.attempt) not in known]
            return queues.enqueue_many(self.redis, missing, self.work_seconds) if missing else 0
        except RedisError as error:
            note_fault(log, error, "claimed work is enqueued when Redis is back")
            return 0

    def keep_mended(self, stop: threading.Event) -> None:
        """At once, and every few seconds until `stop` is set."""
        while True:
            try:
                self.mend()
            except CascadeError as error:
                log.warning("%s", error)
            if stop.wait(MEND_SECONDS):
                return
