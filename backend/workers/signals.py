"""What a lane tells Redis and asks it beside RQ: never worth waiting for, because the database is the truth."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import connect
from backend.domain.orders import WorkOrder
from backend.store.planning import Placed

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.5
MUTE_SECONDS = 3.0


@dataclass(slots=True)
class Signals:
    """Wake-ups, backlog and withdrawals of one queue. After a failure Redis is left alone for some seconds."""

    redis: Redis
    queue: str
    clock: Callable[[], float] = time.monotonic
    muted_until: float = float("-inf")

    def wake(self) -> None:
        """Tell a beat that there may be something to plan."""
        self.ask(queues.wake, None)

    def backlog(self) -> int:
        """How many jobs wait in the queue; 0 when nobody knows."""
        return self.ask(lambda redis: queues.length(redis, self.queue), 0)

    def withdraw(self, order: WorkOrder) -> None:
        """Take the order's own wake-up out of the queue; one that stays finds the work begun, which is harmless."""
        self.ask(lambda redis: queues.withdraw(redis, order.queue, order.allocation_id, order.attempt), None)

    def offer(self, placed: Sequence[Placed], work_seconds: float) -> None:
        """Enqueue what is pending again, and tell a beat; what Redis does not take, the sweeper enqueues."""
        self.ask(lambda redis: queues.enqueue_many(redis, placed, work_seconds), 0)
        self.wake()

    def ask(self, question: Callable[[Redis], T], otherwise: T) -> T:
        """What Redis answers, or `otherwise` while it is silent."""
        if self.clock() < self.muted_until:
            return otherwise
        try:
            return question(self.redis)
        except RedisError as error:
            log.debug(
                "Redis does not answer (%s); it is left alone for %g s", type(error).__name__, MUTE_SECONDS
            )
            self.muted_until = self.clock() + MUTE_SECONDS
            return otherwise


def signals_for(url: str, queue: str) -> Signals:
    """Signals over a client of their own that gives up at once: RQ's client waits for Redis for minutes."""
    return Signals(connect(url, retries=0, answer_seconds=ANSWER_SECONDS), queue)
