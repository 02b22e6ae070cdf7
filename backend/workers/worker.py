"""The long-lived RQ worker of update and deliver work: one process, one queue, no fork per job."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from backend.dispatch.queues import queue

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

WORKER_SECONDS = 60
HEARTBEAT_SECONDS = 15.0
SUSPENSION_SECONDS = 1.0
MAINTENANCE_SECONDS = 30
JOBS_BEFORE_RECYCLING = 2000
MEGABYTES_BEFORE_RECYCLING = 512
WEDGED = 70


class WakeUpWorker(SimpleWorker):
    """RQ's worker with a third of its round trips, a warm stop that reaches the lane, and an end on RQ's time-out.

    SimpleWorker spends 12 of its 20 round trips per job on bookkeeping (rq.md section 6).
    """

    def __init__(self, redis: Redis, queue_name: str, name: str, on_stop: Callable[[], None]) -> None:
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
        self._next_heartbeat = 0.0
        self._next_look = 0.0
        self.wedged = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Skipped when the last one is fresh; registers anew when Redis forgot this worker."""
        if pipeline is None and timeout is None and time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        if pipeline is None and not self.connection.exists(self.key):
            self.register_birth()  # type: ignore[no-untyped-call]
        super().heartbeat(timeout, pipeline)

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
        self._on_stop()

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        """RQ's time-out means that this process is stuck somewhere: it must end, or it would hold its work."""
        if exc_info and isinstance(exc_info[0], type) and issubclass(exc_info[0], JobTimeoutException):
            log.error("job %s met RQ's time-out; this worker ends so that its lease runs out", job.id)
            self.wedged = True
            self._stop_requested = True
        super().handle_exception(job, *exc_info)

    def execute_job(self, job: Any, queue: Any) -> None:
        """Run the job; a process that grew too large is replaced by a fresh one."""
        super().execute_job(job, queue)
        megabytes = psutil.Process(os.getpid()).memory_info().rss / 1_048_576
        if megabytes > MEGABYTES_BEFORE_RECYCLING:
            log.info("this worker uses %.0f MB and is replaced", megabytes)
            self._stop_requested = True

    def serve(self) -> int:
        """Work until a warm stop, recycling or a time-out; the process's exit code."""
        self.work(logging_level="WARNING", max_jobs=JOBS_BEFORE_RECYCLING)
        return WEDGED if self.wedged else 0
