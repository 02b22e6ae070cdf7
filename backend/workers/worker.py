"""The long-lived RQ worker of update and deliver work: one process, one queue, no fork per job."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import SimpleWorker, worker_registration
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from backend.dispatch.queues import queue

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

# RQ waits 15 s less for a job: after a wipe of Redis an idle worker is registered again within 20 s.
WORKER_SECONDS = 35
HEARTBEAT_SECONDS = 15.0
SUSPENSION_SECONDS = 1.0
MAINTENANCE_SECONDS = 30
JOBS_BEFORE_RECYCLING = 2000
BROKEN = 70


@dataclass(frozen=True, slots=True)
class Limits:
    """When a worker is replaced by a fresh one. `abandoned` says how many threads it left behind that still run."""

    megabytes: float
    abandoned: Callable[[], int] = lambda: 0
    jobs: int = JOBS_BEFORE_RECYCLING

    def reason(self, jobs: int) -> str:
        """Why the process must be replaced now; empty while it may go on."""
        left = self.abandoned()
        if left:
            return f"{left} of its items never ended although their time is over"
        megabytes = psutil.Process(os.getpid()).memory_info().rss / 1_048_576
        if megabytes > self.megabytes:
            return f"it uses {megabytes:.0f} MB, more than {self.megabytes:g} (CASCADE_WORKER_MEGABYTES)"
        return f"it has done {jobs} jobs" if jobs >= self.jobs else ""


class WakeUpWorker(SimpleWorker):
    """RQ's worker with a third of its round trips, a warm stop that reaches the lane, and an end on RQ's time-out.

    SimpleWorker spends 12 of its 20 round trips per job on bookkeeping (rq.md section 6).
    """

    def __init__(
        self, redis: Redis, queue_name: str, name: str, on_stop: Callable[[], None], limits: Limits
    ) -> None:
        super().__init__(
            [queue(redis, queue_name)],
            name=name,
            connection=redis,
            worker_ttl=WORKER_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
            log_job_description=False,
            serializer=JSONSerializer,
        )
        self._on_stop = on_stop
        self._limits = limits
        self._registry = worker_registration.WORKERS_BY_QUEUE_KEY % queue_name
        self._next_heartbeat = 0.0
        self._next_look = 0.0
        self._jobs = 0
        self._ends_well = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Skipped when the last one is fresh; registers anew when Redis forgot this worker."""
        if pipeline is None and timeout is None and time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        # The worker's own hash proves nothing: the first job after a wipe brings it back, but not its registration.
        if pipeline is None and not self.connection.sismember(self._registry, self.key):
            self._register_anew()
        super().heartbeat(timeout, pipeline)
        if pipeline is None:
            # Left out between two jobs (`set_state`), but people watch whether workers are busy.
            self.connection.hset(self.key, "state", self._state)

    def _register_anew(self) -> None:
        log.warning("Redis forgot this worker; it registers again")
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipeline)
            pipeline.execute()

    def set_state(self, state: Any, pipeline: Any = None) -> None:
        """`idle` is kept in this process only: nobody needs it in Redis between two jobs."""
        if state == "idle" and pipeline is None:
            self._state = state
            return
        super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Look for `rq suspend` once a second at most."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + SUSPENSION_SECONDS
        super().check_for_suspension(burst)

    def handle_warm_shutdown_request(self) -> None:
        """The first SIGTERM: begin nothing more, finish or hand back what runs."""
        self._ends_well = True
        self._on_stop()

    def set_shutdown_requested_date(self) -> None:
        """Nothing: nobody reads it, and in a signal handler a silent Redis would hold up the stop."""

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        """RQ's time-out means that this process is stuck somewhere: it must end, or it would hold its work."""
        if exc_info and isinstance(exc_info[0], type) and issubclass(exc_info[0], JobTimeoutException):
            log.error("job %s met RQ's time-out; this worker ends so that its lease runs out", job.id)
            self._stop_requested = True
        super().handle_exception(job, *exc_info)

    def execute_job(self, job: Any, queue: Any) -> None:
        """Run the job; a process that grew too large, served long enough or holds hanging threads is replaced."""
        super().execute_job(job, queue)
        self._jobs += 1
        reason = self._limits.reason(self._jobs)
        if reason:
            log.warning("this worker is replaced by a fresh one: %s", reason)
            self._ends_well = self._ends_well or not self._stop_requested
            self._stop_requested = True

    def teardown(self) -> None:
        """Sign off, unless Redis is away: then this worker is forgotten by its age."""
        self.connection.set_retry(Retry(NoBackoff(), 0))
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except RedisError as error:
            log.info("this worker could not sign off: %s", type(error).__name__)

    def serve(self) -> int:
        """Work until a warm stop or recycling (0), or until something broke, RQ's time-out too (70)."""
        self.work(logging_level="WARNING")
        return 0 if self._ends_well else BROKEN
