"""RQ's own records of jobs and workers, read for people who watch them: counts only, and nothing is ever cleaned up here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rq import Queue, Worker
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

if TYPE_CHECKING:
    from redis import Redis

REGISTRIES = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "deferred": DeferredJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "canceled": CanceledJobRegistry,
}


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """A worker as RQ registered it."""

    name: str
    state: str
    queues: str


def job_counts(redis: Redis, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """By queue and RQ's status, how many jobs there are; asked for at once. Raises `RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    asked = []
    for name in names:
        pipeline.llen(f"{Queue.redis_queue_namespace_prefix}{name}")
        asked.append((name, "queued"))
        for status, registry in REGISTRIES.items():
            pipeline.zcard(registry.key_template.format(name))
            asked.append((name, status))
    return dict(zip(asked, (int(count) for count in pipeline.execute()), strict=True)) if asked else {}


def workers(redis: Redis) -> list[RegisteredWorker]:
    """Every registered worker that gave a sign of life lately. Raises `RedisError`."""
    keys = sorted(_text(key) for key in redis.smembers(Worker.redis_workers_keys))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.hmget(key, "state", "queues")
    # The record of a dead worker ends by itself; its place among the keys stays until somebody looks.
    return [
        RegisteredWorker(key.removeprefix(Worker.redis_worker_namespace_prefix), _text(state), _text(queues))
        for key, (state, queues) in zip(keys, pipeline.execute() if keys else [], strict=True)
        if queues is not None
    ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "?")
