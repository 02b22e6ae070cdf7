"""How the system that Cascade comes from did it: a forking RQ worker, and one session held through the work.

`python -m benchmarks.peers.old_way N` serves with N workers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache

import requests
from redis import Redis
from rq import Queue, Worker
from rq.worker_pool import WorkerPool
from sqlalchemy import Engine, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.peers.work import DATABASE, FETCH_SECONDS, REDIS

QUEUE = "old-way"


class Base(DeclarativeBase):
    """Of its own: nothing here is a table of Cascade."""


class Task(Base):
    """One task. `url` answers when the platform is done."""

    __tablename__ = "old_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16), default="pending")


@cache
def engine() -> Engine:
    """This process's engine. Even pings before use don't help: the connection dies while it is in use."""
    return create_engine(os.environ[DATABASE], pool_pre_ping=True)


def perform(task_id: int) -> None:
    """Mark it running, do it, mark it done."""
    with Session(engine()) as session:
        task = session.get_one(Task, task_id)
        task.state = "running"
        session.commit()
        # Reading it begins a transaction, whose connection stays taken until the next commit.
        requests.get(task.url, timeout=FETCH_SECONDS).raise_for_status()
        task.state = "done"
        session.commit()


def enqueue(address: str, ids: Sequence[int]) -> None:
    """Hand all of them in."""
    with Redis.from_url(address) as redis:
        jobs = [Queue.prepare_data(perform, args=(one,), result_ttl=0, timeout=600) for one in ids]
        Queue(QUEUE, connection=redis).enqueue_many(jobs)


def main() -> None:
    """Serve with N workers."""
    connection = Redis.from_url(os.environ[REDIS])
    pool = WorkerPool([QUEUE], connection=connection, num_workers=int(sys.argv[1]), worker_class=Worker)
    pool.start(logging_level="CRITICAL")


if __name__ == "__main__":
    main()
