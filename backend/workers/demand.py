"""How many jobs wait for the workers that run on demand: the presence looks, the supervisor starts them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.dispatch import queues
from backend.domain.errors import CascadeError
from backend.workers.presence import SharedCount
from backend.workers.signals import signals_for

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# While Redis is away, so often into the database (or what else knows what is pending).
BLIND_SECONDS = 2.0


@dataclass(slots=True)
class Demand:
    """`waiting` asks Redis, `None` while it does not answer; `pending` knows it without Redis; `told` is what the supervisor reads."""

    waiting: Callable[[], int | None]
    pending: Callable[[], int]
    told: SharedCount
    clock: Callable[[], float] = time.monotonic
    next_blind: float = float("-inf")
    pause: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Look from a thread of this process: the presence's own steps may wait long for the database."""
        threading.Thread(target=self._run, name="demand", daemon=True).start()

    def _run(self) -> None:
        while not self.pause.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Ask, and tell."""
        waiting = self.waiting()
        if waiting is not None:
            self.told.set(waiting)
        elif self.clock() >= self.next_blind:
            self.next_blind = self.clock() + BLIND_SECONDS
            try:
                self.told.set(self.pending())
            except CascadeError as error:
                log.debug("nobody knows what waits: %s", error)


def watch_demand(redis_url: str, queue: str, told: SharedCount, pending: Callable[[], int]) -> None:
    """Keep looking at the queue; nothing to do for a node process that serves none on demand."""
    if queue:
        signals = signals_for(redis_url, queue)
        Demand(lambda: signals.ask(lambda redis: queues.length(redis, queue), None), pending, told).start()
