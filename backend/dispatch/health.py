"""Whether the parent is ready: its database, migrations, Redis, a live beat, a consumer for `default`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend.dispatch import queues
from backend.domain.errors import Unavailable
from backend.store import nodes, recovery
from backend.store.scheduler import scheduler_state
from backend.store.schema import state_of, try_writing
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine

    from backend.store.nodes import NodeView
    from backend.store.scheduler import SchedulerView


@dataclass(frozen=True, slots=True)
class Check:
    """One part's verdict; `detail` says what is wrong and what to do."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """A queue, how many workers serve it, and how many jobs wait in it."""

    name: str
    consumers: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` is about the parent's own parts only: a dead node never takes the parent out of a load balancer."""

    ready: bool
    checks: list[Check]
    queues: list[QueueHealth]
    scheduler: SchedulerView | None = None


def readiness(engine: Engine, redis: Redis | None, *, verbose: bool) -> Readiness:
    """Look at every part; never raises."""
    checks = [
        _check("database", lambda: _database(engine)),
        _check("migrations", lambda: _migrations(engine)),
        _check("redis", lambda: _redis(redis)),
        _check("beat", lambda: _beat(engine)),
        _check("default_queue", lambda: _default_queue(engine)),
    ]
    ready = all(check.ok for check in checks)
    if not verbose:
        return Readiness(ready, checks, [])
    return Readiness(ready, checks, queue_health(engine, redis), _scheduler(engine))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        detail = look()
    except Unavailable as error:
        detail = error.sentence()
    except (SQLAlchemyError, RedisError, OSError) as error:
        detail = f"does not answer ({type(error.__cause__ or error).__name__})"
    return Check(name, not detail, detail)


def _scheduler(engine: Engine) -> SchedulerView | None:
    try:
        return read(engine, scheduler_state, attempts=1)
    except (Unavailable, SQLAlchemyError):
        return None


def _database(engine: Engine) -> str:
    transact(engine, try_writing, attempts=1)
    return ""


def _migrations(engine: Engine) -> str:
    state = read(engine, lambda session: state_of(session.connection()), attempts=1)
    return "" if state == "current" else f"the schema is {state}; run ./cascade db upgrade"


def _redis(redis: Redis | None) -> str:
    if redis is None:
        return "there is no address; set REDIS_URL or start ./cascade up"
    redis.ping()
    return ""


def _beat(engine: Engine) -> str:
    return (
        ""
        if read(engine, recovery.live_beats, attempts=1)
        else "no beat was seen in the last 15 s; start ./cascade up"
    )


def _default_queue(engine: Engine) -> str:
    served = _consumers(read(engine, nodes.list_nodes, attempts=1)).get(queues.DEFAULT_QUEUE, 0)
    return "" if served else "nobody serves the queue 'default'; start ./start_workers.sh"


def _consumers(known: Iterable[NodeView]) -> dict[str, int]:
    # RQ's own register forgets living workers when Redis is flushed and remembers killed ones; presence does neither.
    return {
        node.queue: node.workers_alive if node.status and not node.reason.startswith("silent") else 0
        for node in known
        if node.transport == "attached"
    }


def queue_health(engine: Engine, redis: Redis | None) -> list[QueueHealth]:
    """Every queue with its consumers; empty when a part needed for that is away."""
    if redis is None:
        return []
    try:
        served = _consumers(read(engine, nodes.list_nodes, attempts=1))
        return [QueueHealth(name, count, queues.length(redis, name)) for name, count in served.items()]
    except (Unavailable, SQLAlchemyError, RedisError):
        return []
