"""Jobs and workers in Redis as our own processes and strangers leave them, for the dashboard to show."""

from __future__ import annotations

from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.worker_registration import register


def queue_of(redis: Redis, name: str) -> Queue:
    """A queue as we use it."""
    return Queue(name, connection=redis, serializer=JSONSerializer)


def enqueue(redis: Redis, name: str, job_id: str, text: str = "update it", *args: object) -> Job:
    """A waiting job whose description, argument and metadata hold the text."""
    return queue_of(redis, name).enqueue_call(
        "backend.workers.run.run", args=(text, *args), job_id=job_id, description=text, meta={"note": text}
    )


def fail(redis: Redis, job: Job, error: str) -> None:
    """Let it have failed with that error."""
    redis.lrem(queue_of(redis, job.origin).key, 0, job.id)
    FailedJobRegistry(job.origin, connection=redis).add(job, ttl=1000)
    job.set_status(JobStatus.FAILED)
    Result.create_failure(job, 1000, error)


def start(redis: Redis, job: Job, worker_name: str) -> None:
    """Let a worker of that name be busy with it."""
    worker = SimpleWorker(
        [queue_of(redis, job.origin)],
        name="w",
        connection=redis,
        serializer=JSONSerializer,
        prepare_for_work=False,
    )
    worker.name = worker_name
    register(worker)
    redis.hset(
        worker.key,
        mapping={"state": "busy", "queues": job.origin, "pid": "42", "birth": "2026-01-01T00:00:00.000000Z"},
    )
    worker.prepare_execution(job)
