"""What RQ keeps in Redis beside the queues' lists, looked at and tidied a bounded part at a time. No callback ever runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rq import Queue, worker_registration
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

from backend.dispatch.queues import RESULT_SECONDS, queue

if TYPE_CHECKING:
    from redis import Redis

REGISTRIES = (
    StartedJobRegistry,
    FinishedJobRegistry,
    FailedJobRegistry,
    DeferredJobRegistry,
    CanceledJobRegistry,
    ScheduledJobRegistry,
)
# Their scores say when an entry is over; those of the others when it was made or is due.
EXPIRING = (StartedJobRegistry, FinishedJobRegistry, FailedJobRegistry)
# An entry of a job that still runs is renewed in time; its worker may be slow.
GRACE_SECONDS = 60.0
KEPT_IN_A_REGISTRY = 1000
HEAD, TAIL = 2000, 500
JOB_ID = re.compile(r"^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d{1,9})$")


def attempt_of(job_id: str) -> tuple[str, int] | None:
    """The allocation and attempt that a job of ours is for; nothing for anybody else's."""
    match = JOB_ID.match(job_id)
    return (match[1], int(match[2])) if match else None


def known_queues(redis: Redis) -> list[str]:
    """The names of all queues that RQ knows of."""
    prefix = Queue.redis_queue_namespace_prefix
    keys: Any = redis.smembers(Queue.redis_queues_keys)
    return sorted(name.removeprefix(prefix) for name in map(_text, keys) if name.startswith(prefix))


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def missing(redis: Redis, name: str, job_ids: Sequence[str], limit: int) -> list[str]:
    """Those of the ids that are not in the queue's list. Of a long list only both ends are read; elsewhere the server
    looks for at most `limit` of the ids: the others are taken for present."""
    key = queue(redis, name).key
    pipeline = redis.pipeline(transaction=False)
    pipeline.lrange(key, 0, HEAD - 1)
    pipeline.lrange(key, -TAIL, -1)
    pipeline.llen(key)
    head, tail, length = pipeline.execute()
    near = {_text(raw) for raw in (*head, *tail)}
    absent = [one for one in job_ids if one not in near]
    if length <= HEAD + TAIL or not absent:
        return absent
    absent = absent[:limit]
    for one in absent:
        pipeline.lpos(key, one)
    return [one for one, position in zip(absent, pipeline.execute(), strict=True) if position is None]


def page(redis: Redis, name: str, start: int, length: int) -> list[str]:
    """So many ids of the queue's list, from a position on."""
    found: Any = redis.lrange(queue(redis, name).key, start, start + length - 1)
    return [_text(raw) for raw in found]


def intermediate(redis: Redis, name: str, length: int) -> list[str]:
    """Ids that a worker has taken from the list and not started: for milliseconds, unless it died in between."""
    found: Any = redis.lrange(_intermediate_key(name), 0, length - 1)
    return [_text(raw) for raw in found]


def _intermediate_key(name: str) -> str:
    return IntermediateQueue.get_intermediate_queue_key(f"{Queue.redis_queue_namespace_prefix}{name}")


def forget_intermediate(redis: Redis, name: str, job_ids: Iterable[str]) -> int:
    """Take stuck ids out; how many were there."""
    pipeline = redis.pipeline(transaction=False)
    for one in job_ids:
        pipeline.lrem(_intermediate_key(name), 1, one)
    return sum(int(count) for count in pipeline.execute())


def remove(redis: Redis, name: str, job_ids: Iterable[str]) -> int:
    """Take jobs out of the queue's list; how many were there. What RQ keeps of them goes after a minute.

    Not at once: a worker that has just popped one must find it.
    """
    pipeline = redis.pipeline(transaction=False)
    ids = list(job_ids)
    for one in ids:
        pipeline.lrem(queue(redis, name).key, 1, one)
    for one in ids:
        pipeline.expire(Job.key_for(one), RESULT_SECONDS)
    return sum(int(count) for count in pipeline.execute()[: len(ids)])


def lasting_jobs(redis: Redis, cursor: int, count: int) -> tuple[int, list[str]]:
    """Some of the jobs that would stay in Redis for ever; the cursor to go on with, 0 at the end."""
    found: Any = redis.scan(cursor, match=f"{Job.redis_job_namespace_prefix}*", count=count)
    cursor, keys = int(found[0]), list(map(_text, found[1]))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.ttl(key)
    ids = [key.removeprefix(Job.redis_job_namespace_prefix) for key in keys]
    return cursor, [one for one, ttl in zip(ids, pipeline.execute(), strict=True) if ttl == -1]


def let_expire(redis: Redis, job_ids: Iterable[str]) -> int:
    """Let jobs go after a minute; how many."""
    pipeline = redis.pipeline(transaction=False)
    for one in job_ids:
        pipeline.expire(Job.key_for(one), RESULT_SECONDS)
    return sum(int(done) for done in pipeline.execute())


def overfull(redis: Redis, names: Sequence[str]) -> dict[str, int]:
    """By registry key of these queues, how many entries are over or beyond what is kept."""
    before = time.time() - GRACE_SECONDS
    keys = [(kind, kind(name, connection=redis).key) for name in names for kind in REGISTRIES]
    pipeline = redis.pipeline(transaction=False)
    for _, key in keys:
        pipeline.zcount(key, 0, before)
        pipeline.zcard(key)
    answers = pipeline.execute()
    found = {}
    for position, (kind, key) in enumerate(keys):
        expired, size = answers[2 * position : 2 * position + 2]
        over = int(expired) if kind in EXPIRING else 0
        found[key] = max(over, int(size) - KEPT_IN_A_REGISTRY)
    return {key: count for key, count in found.items() if count > 0}


def shorten(redis: Redis, keys: Sequence[str]) -> int:
    """Take out of the registries what is over, and the oldest beyond what is kept; how many entries."""
    before = time.time() - GRACE_SECONDS
    beginnings = tuple(kind.key_template.format("") for kind in EXPIRING)
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        if key.startswith(beginnings):
            pipeline.zremrangebyscore(key, 0, before)
        pipeline.zremrangebyrank(key, 0, -KEPT_IN_A_REGISTRY - 1)
    return sum(int(count) for count in pipeline.execute())


def ghosts(redis: Redis) -> list[str]:
    """Keys of workers that RQ lists although nothing of them is left: they were killed, or Redis lost them."""
    members: Any = redis.smembers(worker_registration.REDIS_WORKER_KEYS)
    keys = sorted(map(_text, members))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.exists(key)
    return [key for key, exists in zip(keys, pipeline.execute(), strict=True) if not exists]


def forget_workers(redis: Redis, keys: Sequence[str], names: Iterable[str]) -> int:
    """Take workers out of RQ's lists, those of the queues too; how many. One that lives registers again by itself."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.srem(worker_registration.REDIS_WORKER_KEYS, *keys)
    for name in names:
        pipeline.srem(worker_registration.WORKERS_BY_QUEUE_KEY % name, *keys)
    return int(pipeline.execute()[0])


def delete_queue(redis: Redis, name: str) -> int:
    """Remove a queue and all that RQ keeps of it; how many jobs were in it. Its jobs go after a minute."""
    gone = queue(redis, name)
    jobs = [*page(redis, name, 0, HEAD), *intermediate(redis, name, HEAD)]
    let_expire(redis, jobs)
    pipeline = redis.pipeline()
    pipeline.srem(Queue.redis_queues_keys, gone.key)
    pipeline.delete(
        gone.key,
        _intermediate_key(name),
        gone.registry_cleaning_key,
        worker_registration.WORKERS_BY_QUEUE_KEY % name,
        *(kind(name, connection=redis).key for kind in REGISTRIES),
    )
    pipeline.execute()
    return len(jobs)
