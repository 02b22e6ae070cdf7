"""Shared transactions: what is reported while one runs goes together into the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from backend.domain.errors import Unavailable
from backend.domain.ports import Standing
from backend.store.settlement import Report

Commit = Callable[[Sequence[Report]], list[Standing]]
Waiting = tuple[Report, Future[Standing]]
MOST_FEEDS = 100


class SharedTransactions:
    """Commits reports of a process's executions, one transaction at a time.

    A transaction of its own for each of ten batches that end together costs three times as much CPU as one for all,
    and while they compete for the interpreter each takes as long as all of them.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """How many reports wait for a transaction."""
        with self._lock:
            return len(self._waiting)

    def submit(self, report: Report, commit: Commit) -> Standing:
        """The report's standing, once it is committed, alone or with others. Raises what its transaction raised."""
        future: Future[Standing] = Future()
        with self._lock:
            self._waiting.append((report, future))
        # Whoever gets the turn commits for all that wait; the others then find theirs done.
        while not future.done():
            with self._turn:
                if not future.done():
                    _commit(self._take(), commit)
        return future.result()

    def _take(self) -> list[Waiting]:
        """The next ones that may go together: a feed is told of once, and a transaction stays short."""
        taken: list[Waiting] = []
        told: set[str] = set()
        with self._lock:
            while self._waiting:
                report = self._waiting[0][0]
                if taken and (told & report.feed_ids or len(told) + len(report.feed_ids) > MOST_FEEDS):
                    break
                told |= report.feed_ids
                taken.append(self._waiting.pop(0))
        return taken


def _commit(taken: Sequence[Waiting], commit: Commit) -> None:
    try:
        standings = commit([report for report, _ in taken])
    except BaseException as error:
        # A job edge: one report that the database refuses must not take the others along, and nobody may wait for ever.
        if isinstance(error, Unavailable) or not isinstance(error, Exception) or len(taken) == 1:
            _fail(taken, error)
        else:
            for one in taken:
                _commit([one], commit)
        if not isinstance(error, Exception):
            raise
    else:
        for (_, future), standing in zip(taken, standings, strict=True):
            future.set_result(standing)


def _fail(taken: Sequence[Waiting], error: BaseException) -> None:
    for _, future in taken:
        future.set_exception(error)
