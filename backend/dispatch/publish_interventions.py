"""What people do to publish tasks, with the wake-up that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from backend.dispatch.queues import try_wake
from backend.domain.errors import Conflict
from backend.store import publishing
from backend.store.session import transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.store.publishing import Cancelled

T = TypeVar("T")


def cancel_task(
    engine: Engine, redis: Redis | None, task_id: str, actor: str, *, owner: str | None = None
) -> Cancelled:
    """End what waits, ask what runs to stop. Raises `NotFound` and `Conflict`."""
    # Again, it changes nothing.
    done = transact(engine, lambda session: publishing.cancel(session, task_id, actor, owner=owner))
    try_wake(redis)
    return done


def retry_task(
    engine: Engine, redis: Redis | None, task_id: str, actor: str, *, owner: str | None = None
) -> None:
    """Try a failed task again. Raises `NotFound` and `Conflict`."""
    _once(engine, lambda session: publishing.retry(session, task_id, actor, owner=owner))
    try_wake(redis)


def confirm_task(
    engine: Engine,
    redis: Redis | None,
    task_id: str,
    actor: str,
    *,
    published: bool,
    url: str = "",
    owner: str | None = None,
) -> None:
    """Say what stands on the platform of an unconfirmed task. Raises `NotFound` and `Conflict`."""
    _once(
        engine,
        lambda session: publishing.confirm(
            session, task_id, actor, published=published, url=url, owner=owner
        ),
    )
    try_wake(redis)


def _once(engine: Engine, act: Callable[[Session], T]) -> T:
    """What was done, also when its commit was not answered: run again, it finds nothing left to do."""
    done: list[T] = []

    def work(session: Session) -> T:
        try:
            found = act(session)
        except Conflict:
            if not done:
                raise
            return done[0]
        done[:] = [found]
        return found

    return transact(engine, work)
