"""The presence's look at Redis: a node that has been without it for long says so, and that it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import fault_of
from backend.store import alerts
from backend.store.session import transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

RULE = "alert_redis_away"
LONG_SECONDS = 60.0


@dataclass(slots=True)
class RedisWatch:
    """One node's. Its workers go on without Redis, so nothing else would tell a person."""

    engine: Engine
    redis: Redis
    node_id: str
    node_name: str
    clock: Callable[[], float] = time.monotonic
    away_since: float | None = None
    # What an earlier start has opened is closed by the first good look.
    is_told: bool = True

    def look(self) -> None:
        """Ask Redis to take a write; open or close the alert when that has changed. Raises `Unavailable`."""
        try:
            queues.probe(self.redis)
        except RedisError as error:
            self._note(error)
        else:
            self.away_since = None
            if self.is_told:
                transact(self.engine, lambda session: alerts.close_alerts(session, self.node_id, RULE))
                self.is_told = False

    def _note(self, error: RedisError) -> None:
        if self.away_since is None:
            self.away_since = self.clock()
        away = self.clock() - self.away_since
        if away < LONG_SECONDS:
            return
        transact(self.engine, partial(self._tell, reason=fault_of(error).sentence()))
        self.is_told = True

    def _tell(self, session: Session, reason: str) -> None:
        alerts.open_alert(
            session, RULE, self.node_id, node=self.node_name, seconds=int(LONG_SECONDS), reason=reason
        )
