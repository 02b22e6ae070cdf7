"""What our RQ workers have in common: they outlive Redis, stop warm, and sign off."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from types import FrameType
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from backend.dispatch.broker import RedisPatience, connect
from backend.dispatch.queues import queue

log = logging.getLogger(__name__)

# RQ waits 15 s less for a job.
WORKER_SECONDS = 18
# Beyond RQ's own wait; then a silent connection counts as lost, and the worker looks into the database.
SILENCE_SECONDS = 3
SUSPENSION_SECONDS = 1.0
MAINTENANCE_SECONDS = 20
# Without Redis so often.
LOOK_SECONDS = 2.0
FAREWELL_SECONDS = 1.0
BROKEN = 70


class PatientWorker(BaseWorker):
    """A worker of one queue that waits for Redis as long as it takes, and meanwhile serves what the database has."""

    def __init__(self, redis_url: str, queue_name: str, name: str, **options: Any) -> None:
        self._patience = RedisPatience(-1)
        self._patience.meanwhile = self._meanwhile
        redis = connect(redis_url, patience=self._patience)
        super().__init__(
            [queue(redis, queue_name)],
            name=name,
            connection=redis,
            worker_ttl=WORKER_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
            log_job_description=False,
            serializer=JSONSerializer,
            # RQ would ask Redis for this machine's address here, before anything can be done without Redis.
            prepare_for_work=False,
            **options,
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._next_suspension = 0.0
        self._next_look = 0.0
        self._ends_well = False
        self._ended = threading.Event()

    @property
    def connection_timeout(self) -> int:
        """RQ's wait for a job and a little more."""
        return self.dequeue_timeout + SILENCE_SECONDS

    def _meanwhile(self, error: RedisError) -> None:
        """Between two tries to reach Redis: end when asked to, else do what the database has."""
        if self._ended.is_set():
            raise error
        if threading.current_thread() is not threading.main_thread():
            return
        if self._stop_requested:
            raise StopRequested
        if time.monotonic() >= self._next_look:
            self._look()

    def _look(self) -> None:
        """Do what the database has for this queue, whether or not Redis knows it. Raises `StopRequested`."""
        raise NotImplementedError

    def check_for_suspension(self, burst: bool) -> None:
        """Look for `rq suspend` once a second at most."""
        if time.monotonic() < self._next_suspension:
            return
        self._next_suspension = time.monotonic() + SUSPENSION_SECONDS
        super().check_for_suspension(burst)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Nothing: a second SIGTERM adds nothing to the first, whose grace ends by itself; SIGKILL ends it at once."""

    def set_shutdown_requested_date(self) -> None:
        """Nothing: nobody reads it, and in a signal handler a silent Redis would hold up the stop."""

    def teardown(self) -> None:
        """Sign off, unless Redis is away: then this worker is forgotten by its age."""
        self._ended.set()
        self.connection.set_retry(Retry(NoBackoff(), 0))
        pool = self.connection.connection_pool
        # Their answers were waited for much longer than a stop may take.
        pool.disconnect(inuse_connections=False)
        pool.connection_kwargs.update(
            socket_timeout=FAREWELL_SECONDS, socket_connect_timeout=FAREWELL_SECONDS
        )
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except RedisError as error:
            log.info("this worker could not sign off: %s", type(error).__name__)

    def serve(self) -> int:
        """Work until a stop or an end by itself (0), or until something broke, RQ's time-out too (70)."""
        # RQ would install them only once it has reached Redis.
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        try:
            self._serve_queue()
        except StopRequested:
            log.info("this worker stops before it has reached Redis")
        return 0 if self._ends_well else BROKEN

    def _serve_queue(self) -> None:
        self.work(logging_level="WARNING")
