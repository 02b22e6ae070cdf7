"""What phase 2 is given: plug-ins, the HTTP client, slots, deadlines and the stop event. No database, no Redis."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backend.domain.orders import Freeze, Outcome, WorkOrder
from backend.domain.ports import HttpClient, Notifier, Source, Standing

T = TypeVar("T")


class Stop:
    """The stop event of a warm shutdown; running work gets `grace` seconds from its setting on."""

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._event = threading.Event()
        self._clock = clock
        self._grace = grace
        self._deadline: float | None = None

    def set(self) -> None:
        """Begin nothing more; what runs may go on for the grace."""
        if self._deadline is None:
            self._deadline = self._clock() + self._grace
        self._event.set()

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def grace_is_over(self) -> bool:
        """Whether what still runs must be handed back now."""
        return self._deadline is not None and self._clock() >= self._deadline


class Slots:
    """Counts what runs in this process; one slot is one item, whatever batch it came with."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._used = 0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """How many items could start now."""
        with self._changed:
            return max(0, self.size - self._used)

    def take(self, count: int) -> None:
        """Count items in; an order larger than the free slots may overdraw, its items then wait in line."""
        with self._changed:
            self._used += count

    def release(self, count: int = 1) -> None:
        """Count items out and wake whoever waits for a change."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()

    def announce(self) -> None:
        """Wake whoever waits for a change."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until something changed, or so many seconds."""
        with self._changed:
            self._changed.wait(seconds)


@dataclass(frozen=True, slots=True)
class Kit:
    """The tools of phase 2, shared by all executions of a process."""

    sources: Mapping[str, Source]
    notifiers: Mapping[str, Notifier]
    http: HttpClient
    pool: ThreadPoolExecutor
    slots: Slots
    stop: Stop
    recognised: frozenset[str] = field(default_factory=lambda: frozenset({"webhook"}))

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Run one item's work in the pool, guarded like its execution; its slot is free again when it ends."""
        context = contextvars.copy_context()
        future = self.pool.submit(context.run, task, *arguments)
        future.add_done_callback(lambda _: self.slots.release())
        return future


class Reporter:
    """How phase 2 reports what is final so far; says whether the work should go on."""

    def __init__(self, order: WorkOrder, checkpoint: Callable[[Outcome | Freeze], Standing]) -> None:
        self.order = order
        self._checkpoint = checkpoint
        self.standing = Standing.HELD

    def report(self, progress: Outcome | Freeze) -> Standing:
        """One short transaction. Raises `Unavailable`."""
        self.standing = self._checkpoint(progress)
        return self.standing
