"""What phase 2 is given: plug-ins, the HTTP client, slots, deadlines and the stop event. No database, no Redis."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backend.domain.orders import WorkOrder
from backend.domain.ports import Checkpoint, HttpClient, Notifier, Publisher, Source, Standing
from backend.workers.hosts import HostGate

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
    """Counts what runs in this process; one slot is one item, whatever batch it came with.

    An order reserves a slot for each of its items; an item that starts keeps its slot until it ends, even when its
    order is over before; what never starts is given back with the order.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        self._clock = clock
        self._running = 0
        self._reserved: dict[str, int] = {}
        self._abandoned: dict[Future[Any], float] = {}
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """How many items could start now."""
        with self._changed:
            return max(0, self.size - self._running - sum(self._reserved.values()))

    def reserve(self, execution: str, count: int) -> None:
        """For the items of an execution; more than are free may be reserved, the items then wait in line."""
        with self._changed:
            self._reserved[execution] = count

    def start(self, execution: str) -> None:
        """One of the execution's items starts."""
        with self._changed:
            self._reserved[execution] = max(0, self._reserved.get(execution, 0) - 1)
            self._running += 1

    def end(self) -> None:
        """An item ended. It wakes nobody: whoever waits looks often enough, and would be woken a hundred times in a burst."""
        with self._changed:
            self._running -= 1

    def give_back(self, execution: str) -> None:
        """Nothing more of the execution will start."""
        with self._changed:
            self._reserved.pop(execution, None)
            self._changed.notify_all()

    @property
    def abandoned(self) -> int:
        """How many items run on although their time is over: a thread can't be killed, only left behind."""
        with self._changed:
            self._abandoned = {one: until for one, until in self._abandoned.items() if not one.done()}
            return sum(1 for until in self._abandoned.values() if self._clock() >= until)

    def abandon(self, futures: Iterable[Future[Any]], until: float) -> None:
        """Nobody waits for these any more, and by `until` they should have ended: while one runs after that, this
        process begins nothing new."""
        with self._changed:
            self._abandoned.update(dict.fromkeys(futures, until))

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
    """The tools of phase 2, shared by all executions of a process.

    `tell` shows how far a publish task or an account is, by its id. `call_seconds`: so soon after the ledger agreed, the call that
    publishes must begin. `options` are what the operator set for platforms.
    """

    sources: Mapping[str, Source]
    notifiers: Mapping[str, Notifier]
    http: HttpClient
    pool: ThreadPoolExecutor
    slots: Slots
    stop: Stop
    hosts: HostGate
    publishers: Mapping[str, Publisher] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    tell: Callable[[str, str], None] = lambda _id, _words: None
    call_seconds: float = 10.0

    def submit(self, order: WorkOrder, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Run one item of the order in the pool, guarded like its execution; its slot is free again when it ends."""
        context = contextvars.copy_context()
        future = self.pool.submit(context.run, task, *arguments)
        self.slots.start(order.execution)
        future.add_done_callback(lambda _: self.slots.end())
        return future


class Reporter:
    """How phase 2 reports what is final so far; says whether the work should go on."""

    def __init__(
        self,
        order: WorkOrder,
        checkpoint: Callable[[Checkpoint], Standing],
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.order = order
        self._checkpoint = checkpoint
        self.is_cancelled = is_cancelled
        self.standing = Standing.HELD

    def report(self, progress: Checkpoint) -> Standing:
        """One short transaction. Raises `Unavailable`."""
        self.standing = self._checkpoint(progress)
        return self.standing
