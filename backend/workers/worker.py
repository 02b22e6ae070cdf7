"""The long-lived RQ worker of update and deliver work: one process, one queue, no fork per job."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
from redis.exceptions import RedisError
from rq import SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.timeouts import JobTimeoutException
from rq.worker import WorkerStatus

from backend.dispatch.broker import note_fault
from backend.dispatch.queues import SETTLE_SECONDS, WAKE_UP_SECONDS
from backend.domain.errors import CascadeError, Unavailable
from backend.workers.patient import LOOK_SECONDS, PatientWorker

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
# After Redis came back, looks go on for so long; else they come with the maintenance.
AFTERWARDS_SECONDS = 15.0
JOBS_BEFORE_RECYCLING = 2000


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


class WakeUpWorker(PatientWorker, SimpleWorker):
    """RQ's worker with a third of its round trips, a warm stop that reaches the lane, and an end on RQ's time-out.

    SimpleWorker spends 12 of its 20 round trips per job on bookkeeping (rq.md section 6). It waits for Redis as long
    as it takes and meanwhile serves what the database has: `serve` begins what waits there and returns when that has
    ended, `work_seconds` is the longest own limit of it.
    """

    def __init__(
        self,
        redis_url: str,
        queue_name: str,
        name: str,
        *,
        on_stop: Callable[[], None],
        limits: Limits,
        serve: Callable[[], object],
        work_seconds: float,
    ) -> None:
        super().__init__(redis_url, queue_name, name)
        self._on_stop = on_stop
        self._limits = limits
        self._serve_lane = serve
        self._serve_seconds = int(WAKE_UP_SECONDS + work_seconds + SETTLE_SECONDS)
        self._registry = worker_registration.WORKERS_BY_QUEUE_KEY % queue_name
        self._looks_until = 0.0
        self._jobs = 0

    def bootstrap(self, *args: Any, **options: Any) -> None:
        """See RQ; then heartbeats come from a thread, as a job may take minutes."""
        super().bootstrap(*args, **options)
        threading.Thread(target=self._keep_registered, name="heartbeat", daemon=True).start()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ's own ones are left out unless they are part of something: the thread sends them."""
        if pipeline is not None or timeout is not None:
            super().heartbeat(timeout, pipeline)

    def _keep_registered(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                if not self._is_registered():
                    log.warning("Redis forgot this worker; it registers again")
                    self._register_anew()
                super().heartbeat()
                # Left out between two jobs (`set_state`), but people watch whether workers are busy.
                self.connection.hset(self.key, "state", self._state)
            except RedisError as error:
                note_fault(log, error, "this worker could not send its heartbeat")

    def _is_registered(self) -> bool:
        # The hash alone proves nothing: the first job after a wipe brings parts of it back, but not the registration.
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.sismember(self._registry, self.key)
            pipeline.sismember(self.redis_workers_keys, self.key)
            pipeline.hexists(self.key, "birth")
            return all(pipeline.execute())

    def _register_anew(self) -> None:
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipeline)
            pipeline.execute()

    def _meanwhile(self, error: RedisError) -> None:
        """Between two tries to reach Redis: end when asked to, else do what the database has."""
        super()._meanwhile(error)
        if threading.current_thread() is threading.main_thread():
            self._looks_until = time.monotonic() + AFTERWARDS_SECONDS

    def _look(self) -> None:
        """Do what the database has for this queue, whether or not Redis knows it. Raises `StopRequested`."""
        # A stop may not cut through what the lane does, so it must find this worker busy.
        state, self._state = self._state, WorkerStatus.BUSY
        try:
            with self.death_penalty_class(self._serve_seconds, JobTimeoutException):
                self._serve_lane()
            self._end_when_due()
        except JobTimeoutException:
            log.error("work met RQ's time-out; this worker ends so that its lease runs out")  # noqa: TRY400
            self._stop_requested = True
        except CascadeError as error:
            log.log(logging.INFO if isinstance(error, Unavailable) else logging.ERROR, "%s", error)
        finally:
            self._state = state
            self._next_look = time.monotonic() + LOOK_SECONDS
        if self._stop_requested:
            raise StopRequested

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """See RQ; for a while after an outage more often, because of the look."""
        return bool(super().should_run_maintenance_tasks) or time.monotonic() < self._looks_until

    def run_maintenance_tasks(self) -> None:
        """RQ's own, and a look for work that Redis has lost; not at the start, when the queue is not read yet."""
        has_served = self.last_cleaned_at is not None
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        if has_served:
            self._look()

    def set_state(self, state: Any, pipeline: Any = None) -> None:
        """`idle` is kept in this process only: nobody needs it in Redis between two jobs."""
        if state == "idle" and pipeline is None:
            self._state = state
            return
        super().set_state(state, pipeline)

    def handle_warm_shutdown_request(self) -> None:
        """The first SIGTERM: begin nothing more, finish or hand back what runs."""
        self._ends_well = True
        self._on_stop()

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
        self._end_when_due()

    def _end_when_due(self) -> None:
        reason = self._limits.reason(self._jobs)
        # A warm stop leaves threads behind on purpose, and is under way already.
        if reason and not self._ends_well:
            log.warning("this worker is replaced by a fresh one: %s", reason)
            self._ends_well = not self._stop_requested
            self._stop_requested = True
