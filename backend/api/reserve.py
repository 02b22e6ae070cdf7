"""Keeps one thread of each process free of work, so that `/livez` is answered while all the others wait for the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Flask, g, request

from backend.domain.errors import Unavailable
from backend.store.circuit import STALL_SECONDS

ALIVE = "health.livez"
LOOK_SECONDS = 0.05
# Where others still come to their end, room is made at once.
QUIET_SECONDS = 1.0
# Longer than a stall takes to show; who waits for other reasons than the database then takes the last thread.
PATIENT_SECONDS = STALL_SECONDS + 0.5
# With fewer threads than this there is none to spare.
FEWEST_THREADS = 3


@dataclass(slots=True)
class Reserve:
    """Lets so many requests in; the next one waits for room, and is refused when the database is what holds the others up."""

    limit: int
    is_stuck: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _inside: int = 0
    _left_at: float = float("-inf")
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def enter(self) -> None:
        """Take room. Raises `Unavailable`."""
        end = self.clock() + PATIENT_SECONDS
        with self._changed:
            while self._inside >= self.limit and self.clock() < end:
                if self.is_stuck() and self.clock() - self._left_at >= QUIET_SECONDS:
                    raise Unavailable("parent_stuck")
                self._changed.wait(LOOK_SECONDS)
            self._inside += 1

    def leave(self) -> None:
        """Give it back."""
        with self._changed:
            self._inside -= 1
            self._left_at = self.clock()
            self._changed.notify()


def keep_reserve(app: Flask, threads: int, is_stuck: Callable[[], bool]) -> None:
    """Hold one of the threads back in every process of the application."""
    reserve = Reserve(threads - 1 if threads >= FEWEST_THREADS else threads, is_stuck)

    def enter() -> None:
        if request.endpoint != ALIVE:
            reserve.enter()
            g.has_room = True

    def leave(_error: BaseException | None) -> None:
        if g.pop("has_room", False):
            reserve.leave()

    app.before_request(enter)
    app.teardown_request(leave)
