"""A lane: one worker process's slots on its one queue. A job is a wake-up; the lane takes what fits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.domain.errors import CascadeError, Unavailable
from backend.domain.identifiers import new_id
from backend.domain.orders import WorkOrder
from backend.domain.planner import LARGEST_BATCH
from backend.domain.ports import Ledger
from backend.workers.execution import Executor

log = logging.getLogger(__name__)

WAKE_UP_SECONDS = 60.0
LOOK_SECONDS = 0.02
BLIND_LOOK_SECONDS = 1.0
OUTAGE_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Lane:
    """Begins orders and runs each in a thread of its own. `backlog` counts the queue's waiting jobs;
    `withdraw` takes a begun allocation's own wake-up out of the queue. A `single` one begins one order and no more.
    `unsettled` counts those whose end is neither in the database nor in the outbox; `served`: it came back from what it was last asked.
    """

    queue: str
    ledger: Ledger
    executor: Executor
    backlog: Callable[[], int]
    withdraw: Callable[[WorkOrder], None]
    clock: Callable[[], float] = time.monotonic
    active: set[threading.Thread] = field(default_factory=set)
    last_look: float = float("-inf")
    refused: int = 0
    taken_alone: bool = False
    single: bool = False
    unsettled: int = 0
    served: bool = True

    def serve(self, allocation_id: str | None = None, attempt: int = 1) -> int:
        """Begin the named allocation (or none), then what else fits, for at most a minute; how many were begun.

        Returns when everything that was begun has settled. Raises `Unavailable` when the first begin can't be made in
        that time.
        """
        self.served = False
        until = self.clock() + WAKE_UP_SECONDS
        begun = 0
        if allocation_id is not None:
            begun += self._start(self._begin(allocation_id, attempt, until))
        while True:
            # Before the look: what did not fit while these ran must be looked for once they have ended.
            self.active = {thread for thread in self.active if thread.is_alive()}
            self.taken_alone = self.taken_alone and bool(self.active)
            may_begin = self._may_begin(until) and not (self.single and begun)
            begun_now = may_begin and self._worth_a_look() and self._begin_next()
            begun += begun_now
            if begun_now:
                continue
            if not self.active:
                self.served = True
                return begun
            self.executor.kit.slots.wait(LOOK_SECONDS)

    def _begin(self, allocation_id: str, attempt: int, until: float) -> WorkOrder | None:
        """Begin, as soon as the database can: a wake-up that fails at once would leave its work to the sweeper."""
        execution = new_id()
        while True:
            try:
                # The same execution each time: the commit may have come through although nobody heard of it.
                return self.ledger.begin(allocation_id, attempt, execution)
            except Unavailable as error:
                if self.clock() >= until or self.executor.kit.stop.is_set():
                    raise
                log.warning("allocation %s is begun later: %s", allocation_id, error)
                self.executor.kit.slots.wait(OUTAGE_LOOK_SECONDS)

    def _may_begin(self, until: float) -> bool:
        kit = self.executor.kit
        if kit.stop.is_set() or self.taken_alone or kit.slots.abandoned:
            return False
        return kit.slots.free > 0 and self.clock() < until

    def _worth_a_look(self) -> bool:
        """Whether a look into the database may find work: the queue holds some that could fit, or nobody looked for a second."""
        if self.clock() - self.last_look >= BLIND_LOOK_SECONDS:
            return True
        # What was refused beside others, a suspect for one, may be begun now that nothing runs.
        may_fit = self.executor.kit.slots.free > self.refused or not self.active
        return may_fit and self.backlog() > 0

    def _begin_next(self) -> bool:
        is_blind = self.clock() - self.last_look >= BLIND_LOOK_SECONDS
        self.last_look = self.clock()
        free = self.executor.kit.slots.free
        # Many workers share a node's slots: work that is larger than those of any of them must begin somewhere.
        room = free if self.active else max(free, LARGEST_BATCH)
        try:
            order = self.ledger.begin_next(self.queue, new_id(), room, idle=not self.active)
        except CascadeError as error:
            log.warning("nothing more is begun for now: %s", error)
            self.refused = free
            return False
        if order is not None:
            self.withdraw(order)
            if is_blind:
                # Redis may know nothing of what else waits: one a second would leave most slots empty.
                self.last_look = float("-inf")
        # Work that waits although there is room is larger than the room: look again when that has grown.
        self.refused = free if order is None and self.backlog() > 0 else 0
        return self._start(order)

    def _start(self, order: WorkOrder | None) -> bool:
        if order is None:
            return False
        self.taken_alone = order.alone
        self.executor.kit.slots.reserve(order.execution, len(order.feeds) + len(order.deliveries))
        thread = threading.Thread(
            target=self._execute, args=(order,), name=f"allocation {order.allocation_id}", daemon=True
        )
        self.active.add(thread)
        thread.start()
        return True

    def _execute(self, order: WorkOrder) -> None:
        try:
            self.executor.execute(order)
        except Exception:
            # A job edge: its lease runs out and the sweeper recovers it; the lane goes on with the rest.
            log.exception("allocation %s could not be settled", order.allocation_id)
            self.unsettled += 1
        finally:
            self.executor.kit.slots.announce()
