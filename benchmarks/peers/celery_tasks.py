"""Celery: its thread pool, without the chatter between workers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import Celery

from benchmarks.peers.work import REDIS, do

app = Celery("bench", broker=os.environ[REDIS])
app.conf.update(
    task_ignore_result=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True
)
work = app.task(do, name="work")


def enqueue(items: Sequence[int]) -> None:
    """Hand all of them in over one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for item in items:
            work.apply_async((item,), producer=producer)
