"""A parent's process says every few seconds that it is there: what remote nodes hold is not lost while they can reach nobody."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from backend.domain.errors import Unavailable
from backend.store import doors
from backend.store.recovery import DRAIN_SECONDS
from backend.store.session import transact

log = logging.getLogger(__name__)

STAMP_SECONDS = 5.0


def keep_open(engine: Engine, lease_seconds: float, is_stopping: Callable[[], bool]) -> threading.Thread:
    """Stamp from now on, in a thread of its own, until the process stops."""

    def stamp() -> None:
        while not is_stopping():
            stamp_once(engine, lease_seconds)
            time.sleep(STAMP_SECONDS)

    thread = threading.Thread(target=stamp, name="door", daemon=True)
    thread.start()
    return thread


def stamp_once(engine: Engine, lease_seconds: float) -> None:
    """Say that this process can be reached; without the database nobody hears it, and that is a gap like any other."""
    try:
        transact(engine, lambda session: doors.stamp(session, lease_seconds, DRAIN_SECONDS), attempts=1)
    except (Unavailable, SQLAlchemyError) as error:
        log.debug("nobody could be told that this parent is there: %s", type(error).__name__)
