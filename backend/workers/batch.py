"""How a batch runs inside phase 2: many items at once, reported as they end, stopped by deadline, stop or cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from backend.domain.ports import Standing
from backend.workers.kit import Stop

R = TypeVar("R")

TICK_SECONDS = 0.1
REPORT_SECONDS = 0.05
QUIET_SECONDS = 1.0


class Bell:
    """Rings when a future ends. `concurrent.futures.wait` would take part in every future again for each one that ends."""

    def __init__(self, futures: Iterable[Future[Any]]) -> None:
        self._rung = threading.Event()
        for future in futures:
            future.add_done_callback(lambda _: self._rung.set())

    def wait(self, _running: Collection[Future[Any]]) -> None:
        """Until one has ended since the last time, or for a tick."""
        self._rung.wait(TICK_SECONDS)
        self._rung.clear()


@dataclass(slots=True)
class Batch(Generic[R]):
    """Futures of one order by item id. `report` is called with results that waited long enough while others run.

    `futures` is emptied on the way.
    """

    futures: dict[Future[R], str]
    deadline: float
    stop: Stop
    report: Callable[[list[R]], Standing | None]
    report_seconds: float = REPORT_SECONDS
    is_cancelled: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[Collection[Future[R]]], object] | None = None
    abandon: Callable[[Iterable[Future[R]], float], object] = lambda _running, _until: None
    quiet_until: float = float("-inf")
    results: list[R] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Until every item has ended or was given up.

        Afterwards `results` holds what is not reported yet, `late` the started ids that met the deadline,
        `interrupted` the started ids that a stop or a cancel gave up, `left` the ids that never started.
        """
        running = set(self.futures)
        pause = self.pause or Bell(running).wait
        oldest: float | None = None
        while running:
            pause(running)
            done = {future for future in running if future.done()}
            running -= done
            self.results += [self._take(future) for future in done]
            now = self.clock()
            oldest = oldest if oldest is not None or not self.results else now
            if oldest is not None and running and now >= max(oldest + self.report_seconds, self.quiet_until):
                oldest = None
                if not self._report():
                    self._abandon(running, self.interrupted)
                    return
            if self.clock() >= self.deadline:
                self._abandon(running, self.late)
                return
            if self.is_cancelled():
                self._abandon(running, self.interrupted)
                return
            if self.stop.is_set():
                running = self._stop(running)

    def _take(self, future: Future[R]) -> R:
        # A future keeps its result: in a batch with one slow item all would be kept until that ends, stored or not.
        self.futures.pop(future)
        return future.result()

    def _report(self) -> bool:
        standing = self.report(self.results)
        if standing is None:
            # The database is away: nothing was recorded, so it all stays for later.
            self.quiet_until = self.clock() + QUIET_SECONDS
            return True
        self.results = []
        return standing is Standing.HELD

    def _stop(self, running: set[Future[R]]) -> set[Future[R]]:
        started = {future for future in running if not future.cancel()}
        self.left += [self.futures[future] for future in running - started]
        if started and self.stop.grace_is_over():
            self._abandon(started, self.interrupted)
            return set()
        return started

    def _abandon(self, running: set[Future[R]], started: list[str]) -> None:
        for future in running:
            if future.cancel():
                self.left.append(self.futures[future])
            elif future.done():
                # It ended while a report was under way: what is known must not become unknown.
                self.results.append(future.result())
            else:
                started.append(self.futures[future])
                # Who was cancelled is only slow: it may use the time that it had.
                self.abandon([future], self.deadline)
