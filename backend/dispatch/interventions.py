"""What people do to allocations, with the wake-up that follows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from backend.dispatch.queues import try_wake
from backend.domain.errors import Conflict
from backend.store import interventions, selections
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.store.interventions import Intervention
    from backend.store.selections import SelectionView

APPLY_SECONDS = 5.0


def cancel_allocation(engine: Engine, redis: Redis | None, allocation_id: str, actor: str) -> Intervention:
    """Cancel one allocation. Raises `NotFound` and `Conflict`."""
    done = _once(engine, lambda session: interventions.cancel(session, allocation_id, actor))
    try_wake(redis)
    return done


def retry_allocation(
    engine: Engine, redis: Redis | None, allocation_id: str, actor: str, *, unconfirmed: bool = False
) -> Intervention:
    """Try again what failed of one allocation. Raises `NotFound` and `Conflict`."""
    done = _once(
        engine, lambda session: interventions.retry(session, allocation_id, actor, unconfirmed=unconfirmed)
    )
    try_wake(redis)
    return done


def _once(engine: Engine, act: Callable[[Session], Intervention]) -> Intervention:
    """What was done, also when its commit was not answered: run again, it finds nothing left to do."""
    done: list[Intervention] = []

    def work(session: Session) -> Intervention:
        try:
            found = act(session)
        except Conflict:
            if not done:
                raise
            return done[0]
        if found.outcome != interventions.ALREADY or not done:
            done[:] = [found]
        return done[0]

    return transact(engine, work)


def apply_selection(
    engine: Engine,
    redis: Redis | None,
    selection_id: str,
    actor: str,
    *,
    seconds: float = APPLY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> SelectionView:
    """Change the selected allocations, a part a transaction, for so many seconds; ask again while some remain."""
    deadline = clock() + seconds
    while transact(engine, lambda session: selections.apply_part(session, selection_id, actor)):
        if clock() >= deadline:
            break
    try_wake(redis)
    return read(engine, lambda session: selections.view_selection(session, selection_id))
