"""Long polls for work: who waits, what wakes them, and who has hung up.

Waiters hold no database connection. One Redis listener serves all waiters of a process; a lost wake-up, or Redis
being away, costs a second, because the waiters take turns in looking into the database once a second.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from backend.dispatch import queues
from backend.dispatch.broker import note_fault
from backend.domain.errors import Unavailable
from backend.store import claims
from backend.store.session import read

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
POLL_SECONDS = 1.0
RECONNECT_SECONDS = 2.0
HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class WorkWaits:
    """The long polls of one process. `limit` is how many may wait at once; the listener starts with the first one."""

    def __init__(self, engine: Engine, redis: Redis | None, limit: int) -> None:
        self._engine = engine
        self._redis = redis
        self._limit = limit
        self._lock = threading.Lock()
        self._needed = threading.Condition(self._lock)
        self._polling = threading.Lock()
        self._polled_at = 0.0
        self._events: dict[str, list[threading.Event]] = {}
        self._count = 0
        self._listener: threading.Thread | None = None
        self.listening = False
        self.stopping: Callable[[], bool] = lambda: False

    @property
    def count(self) -> int:
        """How many wait right now."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether every place is taken right now."""
        return self._count >= self._limit

    @contextmanager
    def place(self, *queues: str) -> Iterator[threading.Event | None]:
        """A place to wait in for work of the queues: the event that is set when there may be some, `None` when all are taken."""
        event = self._enter(queues)
        try:
            yield event
        finally:
            if event is not None:
                self._leave(queues, event)

    def _enter(self, queues: Sequence[str]) -> threading.Event | None:
        with self._needed:
            if self.full:
                return None
            event = threading.Event()
            self._count += 1
            for queue in queues:
                self._events.setdefault(queue, []).append(event)
            self._start_listener()
            self._needed.notify()
            return event

    def _leave(self, queues: Sequence[str], event: threading.Event) -> None:
        with self._lock:
            self._count -= 1
            for queue in queues:
                self._events[queue].remove(event)
                if not self._events[queue]:
                    del self._events[queue]

    def wait(self, event: threading.Event, deadline: float, hung_up: Callable[[], bool]) -> bool:
        """Until there may be work: True. False at the deadline (monotonic), when the child hung up, or when the process stops."""
        while (left := deadline - time.monotonic()) > 0 and not hung_up() and not self.stopping():
            if event.wait(min(LOOK_SECONDS, left)):
                event.clear()
                return True
            self._poll()
        return False

    def _poll(self) -> None:
        """One look for all waiters, by whoever comes first when a second is over."""
        if not self._polling.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._polled_at >= POLL_SECONDS:
                self._polled_at = time.monotonic()
                with self._lock:
                    waited_for = sorted(self._events)
                self._wake(
                    read(self._engine, lambda session: claims.has_pending(session, waited_for), attempts=1)
                )
        except Unavailable as error:
            log.debug("nobody could look for work: %s", error)
        finally:
            self._polling.release()

    def _wake(self, names: Collection[str]) -> None:
        with self._lock:
            for name in names:
                for event in self._events.get(name, ()):
                    event.set()

    def _wake_all(self) -> None:
        with self._lock:
            names = list(self._events)
        self._wake(names)

    def _start_listener(self) -> None:
        if self._listener is None and self._redis is not None:
            self._listener = threading.Thread(
                target=self._listen, args=(self._redis,), name="work-listener", daemon=True
            )
            self._listener.start()

    def _listen(self, redis: Redis) -> None:
        while True:
            with self._needed:
                self._needed.wait_for(lambda: self._count > 0)
            try:
                self._hear(redis)
            except RedisError as error:
                note_fault(log, error, "long polls look into the database")
                time.sleep(RECONNECT_SECONDS)

    def _hear(self, redis: Redis) -> None:
        """Pass on what is announced as long as somebody waits. Raises `RedisError`."""
        self.listening = True
        try:
            with queues.announcements(redis) as heard:
                # What was announced before this subscription reached nobody here.
                self._wake_all()
                while self._count > 0:
                    self._wake(queues.next_announcement(heard, POLL_SECONDS))
        finally:
            self.listening = False


def hang_up_of(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """A look at the request's own socket: has its client hung up? Never, where the server does not show the socket."""
    socket = environ.get("gunicorn.socket")
    if socket is None:
        return lambda: False
    looker = select.poll()
    looker.register(socket.fileno(), HUNG_UP)
    return lambda: bool(looker.poll(0))
