"""What an engine's transactions have met: whether the database answers, and who still waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backend.domain.errors import Unavailable

PAUSE_SECONDS = 1.0
STALL_SECONDS = 4.0
TELL_SECONDS = 10.0


@dataclass(slots=True)
class Circuit:
    """Counts the transactions under way. One that `fails_fast` refuses others while the database is known to be away:

    after a transaction was given up, a single one looks each second whether it is back, and nobody else waits.
    """

    fails_fast: bool = False
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: dict[object, float] = field(default_factory=dict)
    _next_look: float | None = None
    _looking: object | None = None
    _told: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], None]]:
        """Inside runs one transaction; call what is yielded when the database was away. Raises `Unavailable`."""
        me, was_away = object(), threading.Event()
        self._enter(me)
        try:
            yield was_away.set
        finally:
            self._leave(me, away=was_away.is_set())

    @property
    def is_stuck(self) -> bool:
        """Whether the database is known to be away, or a transaction waits for longer than a good one takes."""
        with self._lock:
            oldest = min(self._started.values(), default=self.clock())
            return self._next_look is not None or self.clock() - oldest >= STALL_SECONDS

    def may_tell(self, why: str) -> bool:
        """Whether the log should hear of this condition: once in a while, not for each of many transactions."""
        with self._lock:
            if self.clock() - self._told.get(why, float("-inf")) < TELL_SECONDS:
                return False
            self._told[why] = self.clock()
            return True

    def _enter(self, me: object) -> None:
        with self._lock:
            if self.fails_fast and self._next_look is not None:
                if self._looking is not None or self.clock() < self._next_look:
                    raise Unavailable(part="The database")
                self._looking = me
            self._started[me] = self.clock()

    def _leave(self, me: object, *, away: bool) -> None:
        with self._lock:
            del self._started[me]
            if self._looking is me:
                self._looking = None
            # Any answer proves that it is back, a refusal too.
            self._next_look = self.clock() + PAUSE_SECONDS if away else None
