"""The forking RQ worker of publish and account work: each job in a process of its own, a horse, which can be killed."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import StopRequested
from rq.worker import WorkerStatus

from backend.dispatch.broker import note_fault
from backend.workers.deaths import Death, cause_of
from backend.workers.forking import fork_child
from backend.workers.kit import Stop
from backend.workers.lane import Lane
from backend.workers.patient import LOOK_SECONDS, PatientWorker
from backend.workers.vitals import Vitals

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
# A watcher that was itself frozen has seen nothing meanwhile.
SEEN_SECONDS = 1.0
STACK_SECONDS = 1.0
MONITORING_SECONDS = 5
# How a horse that was sent by a look ends when it found work; 0 when it found none.
FOUND = 3
# Beyond the work's own limit and its settle: then nothing in the horse keeps time any more.
OVERTIME_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Stable:
    """What a horse worker and its horses are made of.

    `saddle` builds in the horse what connects, for its start and its stop, and makes it what RQ's job finds. `work_seconds` is the
    longest own limit of the work.
    """

    vitals: Vitals
    saddle: Callable[[str, Stop], Lane]
    tell: Callable[[Death], None]
    silent_seconds: float
    idle_seconds: float
    grace_seconds: float
    work_seconds: float


class HorseWorker(PatientWorker, Worker):
    """RQ's forking worker: watches its horse, tells of its death at once, and ends when nothing comes for a while.

    It starts no thread but the one of its vitals, so that it may fork at any time; RQ's commands by pub/sub are therefore not
    heard: who cancels tells the ledger.
    """

    def __init__(self, redis_url: str, queue_name: str, name: str, stable: Stable) -> None:
        super().__init__(redis_url, queue_name, name, job_monitoring_interval=MONITORING_SECONDS)
        self._stable = stable
        self._horse = Vitals()
        self._silence = self._looked = self._forked = 0.0
        self._stamps = 0
        self._verdict = ""
        self._told_stop = False
        self._idle_since = time.monotonic()

    def subscribe(self) -> None:
        """Nothing: a thread beside forks."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""

    # --- forking ---

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        """See RQ; the horse ends with this worker."""
        self._horse_pid = self._fork(lambda _lane: self._perform(job, queue))

    def _fork(self, ride: Callable[[Lane], int]) -> int:
        self._horse.renew()
        self._stable.vitals.note_horse(self._horse.worker)
        self._verdict, self._told_stop = "", False
        self._silence, self._stamps = 0.0, 0
        self._looked = self._forked = time.monotonic()
        # Not to be warned but gone: else it would work on while others take what it held.
        return fork_child(lambda: self._ride(ride), signal.SIGKILL)

    def _ride(self, ride: Callable[[Lane], int]) -> int:
        """In the horse."""
        os.setpgrp()
        self._is_horse = True
        # Its end must not wait for Redis, whose word on it is not the truth anyway.
        self._patience.meanwhile = _give_up
        stop = Stop(self._stable.grace_seconds)
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        self._horse.keep_stamping()
        lane = self._stable.saddle(self._horse.worker, stop)
        code = ride(lane)
        if lane.served and not lane.unsettled:
            self._horse.say_farewell()
        return code

    def _perform(self, job: Any, queue: Any) -> int:
        self.perform_job(job, queue, self.execution)  # type: ignore[arg-type]
        return os.EX_OK

    # --- watching ---

    def execute_job(self, job: Any, queue: Any) -> None:
        """See RQ. Before the fork already a stop must find this worker busy."""
        with self._busy():
            super().execute_job(job, queue)
        self._idle_since = time.monotonic()
        if not self._horse.said_farewell():
            # It may have died before it had begun anything: then its job is gone, and what it was for still waits.
            self._look()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        state, self._state = self._state, WorkerStatus.BUSY
        try:
            yield
        finally:
            self._state = state

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Until it has ended; meanwhile it is told of a stop, and killed when it stands still."""
        while True:
            try:
                pid, status, usage = os.wait4(self._horse_pid, os.WNOHANG)
            except ChildProcessError:
                self._note_end(None)
                return None, None, None
            if pid:
                self._note_end(status)
                return pid, status, usage
            self._watch()
            self._pass_on_stop()
            time.sleep(WATCH_SECONDS)

    def _watch(self) -> None:
        now, stamps, limit = time.monotonic(), self._horse.stamps(), self._stable.silent_seconds
        passed = min(now - self._looked, SEEN_SECONDS)
        self._silence = 0.0 if stamps != self._stamps else self._silence + passed
        self._stamps, self._looked = stamps, now
        if self._silence >= limit and not self._verdict:
            self._verdict = f"no sign of life for {limit:g} s, and was killed"
            log.error("the process of a job stands still: %s; its stacks follow", self._verdict)
            os.kill(self._horse_pid, signal.SIGABRT)
        elif self._silence >= limit + STACK_SECONDS:
            self.kill_horse()
        elif now - self._forked >= self._stable.work_seconds + OVERTIME_SECONDS:
            self._verdict = "it worked on after all its limits, and was killed"
            self.kill_horse()

    def _pass_on_stop(self) -> None:
        if self._stop_requested and not self._told_stop:
            self._told_stop = True
            os.kill(self._horse_pid, signal.SIGTERM)

    def _note_end(self, status: int | None) -> None:
        if not self._horse.said_farewell():
            code = None if status is None else os.waitstatus_to_exitcode(status)
            cause = self._verdict or ("it is gone" if code is None else cause_of(code))
            log.error("the process of a job ended before its work: %s", cause)
            self._stable.tell(Death(self._horse.worker, cause, blames=not self._stop_requested))
        self._stable.vitals.note_horse("")

    def maintain_heartbeats(self, job: Any, execution: Any) -> None:
        """See RQ; the horse is watched whether or not Redis hears of it."""
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError as error:
            note_fault(log, error, "this worker could not send its heartbeat")

    # --- idling, stopping, and doing without Redis ---

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """See RQ; nothing means that this worker was idle for long enough."""
        found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        self._ends_well = self._ends_well or found is None
        return found

    def handle_warm_shutdown_request(self) -> None:
        """The first SIGTERM: begin nothing more; the horse hears of it where it is waited for."""
        self._ends_well = True

    def _meanwhile(self, error: RedisError) -> None:
        if self._horse_pid:
            raise error
        if time.monotonic() - self._idle_since >= self._stable.idle_seconds:
            self._ends_well = True
            raise StopRequested
        super()._meanwhile(error)

    def run_maintenance_tasks(self) -> None:
        """RQ's own, and a look for work that Redis has lost: at the start too, because a worker may have died with it."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        self._look()

    def _look(self) -> None:
        """Send a horse for what waits in the database. Raises `StopRequested`: during a stop nothing more is begun."""
        if self._stop_requested:
            raise StopRequested
        with self._busy():
            self._horse_pid = self._fork(lambda lane: FOUND if lane.serve() else os.EX_OK)
            _, status, _ = self.wait_for_horse()
            self._horse_pid = 0
        if status is not None and os.waitstatus_to_exitcode(status) == FOUND:
            self._idle_since = time.monotonic()
            self._next_look = 0.0
        else:
            self._next_look = time.monotonic() + LOOK_SECONDS
        if self._stop_requested:
            raise StopRequested

    def _serve_queue(self) -> None:
        self.work(logging_level="WARNING", max_idle_time=max(1, round(self._stable.idle_seconds)))


def _give_up(error: RedisError) -> None:
    raise error
