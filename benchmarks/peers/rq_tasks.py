"""RQ as it comes, in a pool of workers that share a preloaded image: python -m benchmarks.peers.rq_tasks N fork|simple"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.worker_pool import WorkerPool

from benchmarks.peers.work import REDIS, do

QUEUE = "bench"
WORKERS = {"fork": Worker, "simple": SimpleWorker}


def enqueue(items: Sequence[int]) -> None:
    """Hand all of them in."""
    queue = Queue(QUEUE, connection=Redis.from_url(os.environ[REDIS]))
    queue.enqueue_many([Queue.prepare_data(do, args=(item,), result_ttl=0, timeout=600) for item in items])


def main() -> None:
    """Serve with N workers."""
    pool = WorkerPool(
        [QUEUE],
        connection=Redis.from_url(os.environ[REDIS]),
        num_workers=int(sys.argv[1]),
        worker_class=WORKERS[sys.argv[2]],
    )
    pool.start(logging_level="WARNING")


if __name__ == "__main__":
    main()
