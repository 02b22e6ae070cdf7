"""Huey: threads of its consumer."""

from __future__ import annotations

import os
from collections.abc import Sequence

from huey import RedisHuey

from benchmarks.peers.work import REDIS, do

huey = RedisHuey("bench", url=os.environ[REDIS], results=False)
work = huey.task()(do)


def enqueue(items: Sequence[int]) -> None:
    """Hand all of them in."""
    for item in items:
        work(item)
