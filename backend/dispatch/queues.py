"""Queue names, the refusal of wildcards, enqueueing, and wake-ups for the beats.

With `backend.dispatch.registries` and `backend.workers.worker` this is the only module that imports rq.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.dispatch.broker import note_fault
from backend.domain.errors import InvalidInput

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

    from backend.store.flow import Canary

log = logging.getLogger(__name__)

DEFAULT_QUEUE = "default"
JOB_FUNCTION = "backend.workers.run.run"
CANARY_FUNCTION = "backend.workers.run.canary"
CANARY = "canary-"
CANARY_SECONDS = 30
CANARY_LIFE_SECONDS = 3600
# A wake-up begins work for at most a minute, then what it began may use its whole limit, then 30 s to settle.
WAKE_UP_SECONDS = 60.0
SETTLE_SECONDS = 30.0
RESULT_SECONDS = 60
FAILURE_SECONDS = 86400
NOTE_KEY = "cascade:work-noted"
WAKE_KEY = "cascade:wake"
PROBE_KEY = "cascade:probe"
PROBE_SECONDS = 60
WORK_CHANNEL = "cascade:work"
PUBLISH_SUFFIX = ":publish"
NAME = re.compile(r"^(default|node:[a-z0-9]([a-z0-9-]*[a-z0-9])?(:publish)?)$")
WILDCARD = re.compile(r"[*?\[\]]")


def node_queue(slug: str) -> str:
    """The queue of a node's update work."""
    return f"node:{slug}"


def publish_queue(slug: str) -> str:
    """The queue of a node's publish and account work."""
    return f"{node_queue(slug)}{PUBLISH_SUFFIX}"


def check_queue_name(name: str, existing: Sequence[str]) -> str:
    """The name, if workers may serve it. Raises `InvalidInput` for wildcards and for names that nothing enqueues to."""
    if WILDCARD.search(name):
        raise InvalidInput("wildcard_queue", name=name, example=" ".join(existing) or DEFAULT_QUEUE)
    if name in existing:
        return name
    if NAME.match(name) or ":" in name:
        raise InvalidInput("unknown_queue", name=name, existing=", ".join(existing))
    raise InvalidInput(
        "unknown_queue" if name.isidentifier() else "bad_queue_name", name=name, existing=", ".join(existing)
    )


def existing_queues(slugs: Iterable[str]) -> list[str]:
    """Every queue that something enqueues to: `default`, and for each attached node its own and the one for publishing."""
    return [DEFAULT_QUEUE, *(name for slug in slugs for name in (node_queue(slug), publish_queue(slug)))]


def job_id(allocation_id: str, attempt: int) -> str:
    """The deterministic id of an attempt's job, so that duplicates are easy to see and remove."""
    return f"{allocation_id}-{attempt}"


def queue(redis: Redis, name: str) -> Queue:
    """The RQ queue of that name; arguments travel as JSON."""
    return Queue(name, connection=redis, serializer=JSONSerializer)


def enqueue_many(redis: Redis, placed: Iterable[Any], work_seconds: float, *, at_front: bool = False) -> int:
    """Enqueue allocations (objects with queue, allocation_id, attempt, kind) after their commit; how many.

    `work_seconds` is the longest own limit of the work; `at_front`: before what waits already. Raises `RedisError`; the sweeper repairs what was missed.
    """
    by_queue: dict[str, list[Any]] = {}
    for one in placed:
        by_queue.setdefault(one.queue, []).append(one)
    timeout = int(WAKE_UP_SECONDS + work_seconds + SETTLE_SECONDS)
    # One round trip for all queues: with a slow Redis, one for each would add up to minutes.
    with redis.pipeline() as pipeline:
        for name, group in by_queue.items():
            jobs = [_job(one, timeout, at_front=at_front) for one in group]
            queue(redis, name).enqueue_many(jobs, pipeline=pipeline)
        pipeline.execute()
    return sum(len(group) for group in by_queue.values())


def _job(one: Any, timeout: int, *, at_front: bool) -> Any:
    return Queue.prepare_data(
        JOB_FUNCTION,
        args=(one.allocation_id, one.attempt),
        job_id=job_id(one.allocation_id, one.attempt),
        timeout=timeout,
        result_ttl=RESULT_SECONDS,
        failure_ttl=FAILURE_SECONDS,
        description=f"{one.kind} {one.allocation_id}",
        at_front=at_front,
    )


def canary_id(name: str, token: str) -> str:
    """The id of a canary's job: no allocation's begins like that."""
    return f"{CANARY}{token}-{name.replace(':', '_')}"


def enqueue_canaries(redis: Redis, canaries: Iterable[Canary]) -> None:
    """Enqueue canaries after their commit, in one round trip for all queues; what they replace is taken out, so that
    a queue that nobody serves never holds more than one. Raises `RedisError`.
    """
    pipeline = redis.pipeline(transaction=False)
    for one in canaries:
        into = queue(redis, one.queue)
        if one.replaced:
            late = canary_id(one.queue, one.replaced)
            pipeline.lrem(into.key, 1, late)
            pipeline.delete(Job.key_for(late))
        into.enqueue_many([_canary_job(one)], pipeline=pipeline)
    pipeline.execute()


def _canary_job(one: Canary) -> Any:
    return Queue.prepare_data(
        CANARY_FUNCTION,
        args=(one.queue, one.token),
        job_id=canary_id(one.queue, one.token),
        timeout=CANARY_SECONDS,
        ttl=CANARY_LIFE_SECONDS,
        result_ttl=0,
        failure_ttl=RESULT_SECONDS,
        description=f"canary of {one.queue}",
    )


def waiting_jobs(redis: Redis, name: str) -> list[str]:
    """The ids in the queue's list itself, oldest first."""
    found: list[Any] = redis.lrange(queue(redis, name).key, 0, -1)
    return [raw.decode() if isinstance(raw, bytes) else str(raw) for raw in found]


def length(redis: Redis, name: str) -> int:
    """How many jobs wait in the queue."""
    # Asked for fifty times a second by a lane with free slots: making RQ's queue object takes longer than the answer.
    return int(redis.llen(f"{Queue.redis_queue_namespace_prefix}{name}"))


def lengths(redis: Redis, names: Sequence[str]) -> dict[str, int]:
    """How many jobs wait in each of the queues, asked for at once."""
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.llen(queue(redis, name).key)
    return dict(zip(names, (int(count) for count in pipeline.execute()), strict=True)) if names else {}


def withdraw(redis: Redis, name: str, allocation_id: str, attempt: int) -> None:
    """Take an attempt's wake-up out of the queue, because its work was begun without it."""
    key = job_id(allocation_id, attempt)
    pipeline = redis.pipeline(transaction=False)
    pipeline.lrem(queue(redis, name).key, 1, key)
    # Not deleted at once: a worker that has just popped it must find it.
    pipeline.expire(Job.key_for(key), RESULT_SECONDS)
    pipeline.execute()


def probe(redis: Redis) -> None:
    """Prove that Redis takes writes: a full one or a replica answers a ping. Raises `RedisError`."""
    redis.set(PROBE_KEY, "1", ex=PROBE_SECONDS)


def wake(redis: Redis) -> None:
    """Tell a beat that there is something to plan; a lost wake-up costs a second. Raises `RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.lpush(WAKE_KEY, "1")
    pipeline.ltrim(WAKE_KEY, 0, 0)
    pipeline.execute()


def try_wake(redis: Redis | None) -> None:
    """`wake` for those who have committed what they did: without Redis the beats' timer finds it."""
    try:
        if redis is not None:
            wake(redis)
    except RedisError as error:
        note_fault(log, error, "no beat was woken, its timer finds the work")


def wait_for_wake(redis: Redis, seconds: float) -> bool:
    """Wait until something woke the beats, or so many seconds."""
    return redis.blpop([WAKE_KEY], timeout=seconds) is not None


def note_work(redis: Redis) -> None:
    """On a child: its parent says that there is work to claim. Raises `RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.lpush(NOTE_KEY, "1")
    pipeline.ltrim(NOTE_KEY, 0, 0)
    pipeline.execute()


def wait_for_note(redis: Redis, seconds: float) -> bool:
    """On a child: wait until its parent says so, or so many seconds. Raises `RedisError`."""
    return redis.blpop([NOTE_KEY], timeout=seconds) is not None


def announce(redis: Redis, names: Iterable[str]) -> None:
    """Tell the parents' long polls which remote nodes' queues have got work; a lost one costs a second. Raises `RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    for name in sorted(set(names)):
        pipeline.publish(WORK_CHANNEL, name)
    pipeline.execute()


@contextmanager
def announcements(redis: Redis) -> Iterator[PubSub]:
    """A subscription to what is announced. Raises `RedisError`."""
    heard: PubSub = redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    try:
        heard.subscribe(WORK_CHANNEL)
        yield heard
    finally:
        heard.close()


def next_announcement(heard: PubSub, seconds: float) -> list[str]:
    """The queue that is announced next; none within so many seconds. Raises `RedisError`."""
    message = heard.get_message(timeout=seconds)
    if message is None:
        return []
    name = message["data"]
    return [name.decode() if isinstance(name, bytes) else str(name)]
