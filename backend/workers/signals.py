"""What a lane tells Redis and asks it beside RQ: never worth waiting for, because the database is the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import RedisPatience, connect, note_fault
from backend.domain.orders import WorkOrder
from backend.store.planning import Placed

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.5
REST_SECONDS = 3.0


@dataclass(slots=True)
class Signals:
    """Wake-ups, backlog and withdrawals of one queue; without a Redis nobody is told, and nothing is known."""

    redis: Redis | None
    queue: str

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
        """What Redis answers, or `otherwise` while it does not serve."""
        if self.redis is None:
            return otherwise
        try:
            return question(self.redis)
        except RedisError as error:
            note_fault(log, error, "this worker does without Redis")
            return otherwise


def signals_for(url: str, queue: str) -> Signals:
    """Signals over a client of their own that gives up at once and then leaves Redis alone for some seconds.

    RQ's client waits for Redis as long as it takes, and says so in the log.
    """
    patience = RedisPatience(0, rest_seconds=REST_SECONDS, says=False)
    return Signals(connect(url, answer_seconds=ANSWER_SECONDS, patience=patience), queue)
