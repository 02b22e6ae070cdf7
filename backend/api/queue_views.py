"""What the dashboard shows of Redis, and how: JSON only, every queue that exists, many keys in one round trip, no cleaning up.

RQ's registries and worker lists clean up while they are read; that belongs to the sweeper, never to a web thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import g
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.job import Job
from rq.registry import (
    BaseRegistry,
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.serializers import JSONSerializer
from rq.utils import utcparse

from backend.api.context import language, parts
from backend.dispatch.patience import fault_of
from backend.dispatch.queues import existing_queues
from backend.domain.errors import Conflict, NotFound, Unavailable
from backend.store.nodes import all_slugs
from backend.store.session import read

QUEUED = "queued"
REGISTRIES: dict[str, type[BaseRegistry] | None] = {
    QUEUED: None,
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "deferred": DeferredJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "canceled": CanceledJobRegistry,
}


class Serializer:
    """Reads JSON and nothing else: what a stranger has put into Redis is never unpickled, and breaks no page."""

    dumps = staticmethod(JSONSerializer.dumps)

    @staticmethod
    def loads(content: bytes, *_more: Any, **_options: Any) -> Any:
        """What the JSON says, or how much there is that is no JSON."""
        try:
            return json.loads(content)
        except ValueError:
            return f"({len(content)} bytes that are not JSON)"


class ShownJob(Job):
    """A job whose content is read as JSON, whoever asks."""

    def __init__(
        self, job_id: str | None = None, connection: Redis | None = None, serializer: Any = None
    ) -> None:
        super().__init__(job_id, connection, serializer or Serializer)

    def get_call_string(self) -> str | None:
        """What it does, without looking into its arguments."""
        return self.description


class ShownQueue(Queue):
    """A queue of `queue_names`."""

    job_class = ShownJob

    @classmethod
    def all(cls, connection: Redis, *_more: Any, **_options: Any) -> list[ShownQueue]:  # type: ignore[override]
        """Every queue, empty ones too."""
        return [cls(name, connection=connection, serializer=Serializer) for name in queue_names(connection)]

    def compact(self) -> None:
        """Take out the ids of jobs that are gone, one by one: RQ's own way loses the rest when it is interrupted."""
        ids = self.get_job_ids()
        for job_id, job in zip(ids, ShownJob.fetch_many(ids, self.connection), strict=True):
            if job is None:
                self.connection.lrem(self.key, 0, job_id)


@dataclass(frozen=True, slots=True)
class ShownWorker:
    """A worker as its hash in Redis tells."""

    name: str
    told: Mapping[str, str]
    job: Job | None

    @staticmethod
    def all(connection: Redis) -> list[ShownWorker]:
        """Every worker that is registered and alive."""
        prefix = Worker.redis_worker_namespace_prefix
        found: Any = connection.smembers(Worker.redis_workers_keys)
        names = sorted(_text(key).removeprefix(prefix) for key in found)
        pipeline = connection.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(prefix + name)
            pipeline.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        answers = pipeline.execute()
        told = [{_text(key): _text(value) for key, value in one.items()} for one in answers[::2]]
        # An execution's key is the job's id and its own, with a colon between them.
        running = [_text(min(one)).rpartition(":")[0] if one else "" for one in answers[1::2]]
        jobs = ShownJob.fetch_many(running, connection)
        return [ShownWorker(name, one, job) for name, one, job in zip(names, told, jobs, strict=True) if one]

    @property
    def pid(self) -> int | None:
        """The process, on its own machine."""
        pid = self.told.get("pid", "")
        return int(pid) if pid.isdigit() else None

    @property
    def queues(self) -> list[_Named]:
        """What it serves."""
        return [_Named(name) for name in self.told.get("queues", "").split(",") if name]

    @property
    def last_heartbeat(self) -> str | None:
        """When it last gave a sign of life."""
        return _moment(self.told.get("last_heartbeat", ""))

    @property
    def birth_date(self) -> str | None:
        """When it began."""
        return _moment(self.told.get("birth", ""))

    @property
    def successful_job_count(self) -> int:
        """How many jobs went well."""
        return _count(self.told.get("successful_job_count", ""))

    @property
    def failed_job_count(self) -> int:
        """How many jobs failed."""
        return _count(self.told.get("failed_job_count", ""))

    @property
    def total_working_time(self) -> str:
        """Seconds."""
        return self.told.get("total_working_time", "0")

    @property
    def version(self) -> str:
        """Its RQ."""
        return self.told.get("version", "")

    @property
    def python_version(self) -> str:
        """Its Python."""
        return self.told.get("python_version", "")

    def get_state(self) -> str:
        """`idle`, `busy` and others."""
        return self.told.get("state", "?")

    def get_current_job(self) -> Job | None:
        """What it is doing."""
        return self.job


@dataclass(frozen=True, slots=True)
class _Named:
    name: str


def queue_names(connection: Redis) -> list[str]:
    """The queues that something enqueues to, and what else Redis has of queues; asked for once per request."""
    if "queue_names" not in g:
        slugs = read(parts().engine, all_slugs)
        try:
            found: Any = connection.smembers(Queue.redis_queues_keys)
        except RedisError as error:
            # As ours: the dashboard would make a page of its own of it, with status 200.
            raise Unavailable("redis_needed", reason=fault_of(error).sentence(language())) from error
        known = {_text(key).removeprefix(Queue.redis_queue_namespace_prefix) for key in found}
        g.queue_names = sorted({*existing_queues(slugs), *known})
    names: list[str] = g.queue_names
    return names


def queue_lengths(connection: Redis) -> list[dict[str, Any]]:
    """Every queue with how many jobs each of its lists holds, in one round trip."""
    names = queue_names(connection)
    pipeline = connection.pipeline(transaction=False)
    for name in names:
        pipeline.llen(Queue.redis_queue_namespace_prefix + name)
        for registry in REGISTRIES.values():
            if registry is not None:
                pipeline.zcard(registry.key_template.format(name))
    counts = pipeline.execute()
    width = len(REGISTRIES)
    return [
        {"name": name, **dict(zip(REGISTRIES, counts[place * width : (place + 1) * width], strict=True))}
        for place, name in enumerate(names)
    ]


def jobs_of(
    connection: Redis, queue_name: str, registry_name: str, offset: int, per_page: int, *, newest_first: bool
) -> tuple[int, list[Job]]:
    """How many jobs there are in a queue's list, and those of one page of it."""
    registry = REGISTRIES[registry_name]
    if registry is None:
        key = Queue.redis_queue_namespace_prefix + queue_name
        total: Any = connection.llen(key)
        first, last = _window(total, offset, per_page, from_the_end=newest_first)
        ids: Any = connection.lrange(key, first, last) if last >= first else []
        ids = ids[::-1] if newest_first else ids
    else:
        key = registry.key_template.format(queue_name)
        total = connection.zcard(key)
        ids = connection.zrange(key, offset, offset + per_page - 1, desc=newest_first)
    bare = [registry.parse_job_id(one) if registry else _text(one) for one in ids]
    return total, [job for job in ShownJob.fetch_many(bare, connection) if job is not None]


def _window(total: int, offset: int, per_page: int, *, from_the_end: bool) -> tuple[int, int]:
    if not from_the_end:
        return offset, offset + per_page - 1
    return max(0, total - offset - per_page), total - offset - 1


def requeue_job(job_id: str, connection: Redis) -> Job:
    """Put a failed job back into its queue."""
    return ShownJob.fetch(job_id, connection).requeue()


def requeue_failed(connection: Redis, queue_name: str) -> int:
    """Put every failed job of the queue back into it, except those that are gone meanwhile; how many."""
    ids = FailedJobRegistry(queue_name, connection, serializer=Serializer).get_job_ids(cleanup=False)
    count = 0
    for job in ShownJob.fetch_many(ids, connection):
        with suppress(InvalidJobOperation):
            if job is not None:
                job.requeue()
                count += 1
    return count


def has_job(connection: Redis, job_id: str) -> bool:
    """Whether Redis has such a job."""
    return bool(Job.exists(job_id, connection))


def answered(view: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """The view's answer. Raises `NotFound` and `Conflict` where RQ has errors of its own."""
    try:
        return view(**values)
    except NoSuchJobError as error:
        raise NotFound(noun="job", id=values.get("job_id", "")) from error
    except InvalidJobOperation as error:
        raise Conflict("job_not_failed") from error


def _text(content: Any) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _moment(text: str) -> str | None:
    try:
        moment: datetime = utcparse(text)
    except ValueError:
        return None
    return moment.isoformat()


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0
