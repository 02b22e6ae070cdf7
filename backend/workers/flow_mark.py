"""Notes that real work of a queue was settled: every few seconds, beside the settles and not in them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.domain.errors import Unavailable
from backend.store import flow
from backend.store.session import transact

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

# Dozens of batches settle in a second: a row that each of them wrote would hold them all up.
MARK_SECONDS = 5.0


@dataclass(slots=True)
class FlowMark:
    """One worker process's mark."""

    engine: Engine
    clock: Callable[[], float] = time.monotonic
    last: float = float("-inf")

    def __call__(self, queue: str) -> None:
        """Work of the queue was settled just now."""
        if self.clock() - self.last < MARK_SECONDS:
            return
        self.last = self.clock()
        try:
            transact(self.engine, lambda session: flow.note_settle(session, queue), attempts=1)
        except Unavailable as error:
            log.debug("a settle could not be noted; the next one is: %s", error)
