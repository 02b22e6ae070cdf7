"""Whether the parent is ready: its database, migrations, Redis, a live beat, a consumer for `default`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend.dispatch import queues
from backend.dispatch.broker import fault_of
from backend.domain.alarms import Thresholds
from backend.domain.errors import Unavailable
from backend.domain.signs import QueueSign
from backend.store import flow, recovery, signs
from backend.store.scheduler import scheduler_state
from backend.store.schema import state_of, try_writing
from backend.store.session import read, transact

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from backend.store.scheduler import SchedulerView


FLOW_SECONDS = Thresholds().flow_seconds


@dataclass(frozen=True, slots=True)
class Check:
    """One part's verdict; `detail` says what is wrong and what to do."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """A queue, how many workers serve it, and how many jobs wait in it.

    `settled_seconds` since its last real settle, `proved_seconds` since that or its last canary; `stopped`: nothing
    flows although workers live.
    """

    name: str
    consumers: int
    waiting: int
    settled_seconds: float | None = None
    proved_seconds: float | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` is about the parent's own parts only: a dead node never takes the parent out of a load balancer."""

    ready: bool
    checks: list[Check]
    queues: list[QueueHealth]
    scheduler: SchedulerView | None = None


def readiness(engine: Engine, redis: Redis | None, *, verbose: bool, flow_seconds: float) -> Readiness:
    """Look at every part; never raises. A canary that is not back after `flow_seconds` means that its queue stopped."""
    checks = [
        _check("database", lambda: _database(engine)),
        _check("migrations", lambda: _migrations(engine)),
        _check("redis", lambda: _redis(redis)),
        _check("beat", lambda: _beat(engine)),
        _check("default_queue", lambda: _default_queue(engine, flow_seconds)),
    ]
    ready = all(check.ok for check in checks)
    if not verbose:
        return Readiness(ready, checks, [])
    return Readiness(ready, checks, queue_health(engine, redis, flow_seconds), _scheduler(engine))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        detail = look()
    except Unavailable as error:
        detail = error.sentence()
    except RedisError as error:
        detail = fault_of(error).sentence()
    except (SQLAlchemyError, OSError) as error:
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
    queues.probe(redis)
    return ""


def _beat(engine: Engine) -> str:
    return (
        ""
        if read(engine, recovery.live_beats, attempts=1)
        else "no beat was seen in the last 15 s; start ./cascade up"
    )


def _default_queue(engine: Engine, flow_seconds: float) -> str:
    found = [sign for sign in _flowing(engine, attempts=1) if sign.name == queues.DEFAULT_QUEUE]
    if not any(sign.consumers for sign in found):
        return "nobody serves the queue 'default'; start ./start_workers.sh"
    if any(sign.is_stopped(flow_seconds) for sign in found):
        return (
            "nothing flows through the queue 'default' although its workers live; restart ./start_workers.sh"
        )
    return ""


def _flowing(engine: Engine, *, attempts: int) -> list[QueueSign]:
    # RQ's own register forgets living workers when Redis is flushed and remembers killed ones; presence does neither.
    def look(session: Session) -> list[QueueSign]:
        served = [one for one in flow.served_queues(session) if one.attached]
        return flow.queue_signs(session, served, signs.watched_seconds(session))

    return read(engine, look, attempts=attempts)


def queue_health(
    engine: Engine, redis: Redis | None, flow_seconds: float = FLOW_SECONDS
) -> list[QueueHealth]:
    """Every queue with its consumers, and whether work flows; empty when a part needed for that is away."""
    if redis is None:
        return []
    try:
        found = _flowing(engine, attempts=1)
        waiting = queues.lengths(redis, [sign.name for sign in found])
    except (Unavailable, SQLAlchemyError, RedisError):
        return []
    return [
        QueueHealth(
            name=sign.name,
            consumers=sign.consumers,
            waiting=waiting[sign.name],
            settled_seconds=sign.settled_seconds,
            proved_seconds=sign.proved_seconds,
            stopped=sign.is_stopped(flow_seconds),
        )
        for sign in found
    ]
