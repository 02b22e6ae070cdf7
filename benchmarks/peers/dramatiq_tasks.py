"""Dramatiq: threads in its own worker processes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.work import REDIS, do

broker = RedisBroker(url=os.environ[REDIS])
dramatiq.set_broker(broker)
work = dramatiq.actor(do, max_retries=0)


def enqueue(items: Sequence[int]) -> None:
    """Hand all of them in."""
    for item in items:
        work.send(item)
