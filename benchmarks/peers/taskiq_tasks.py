"""taskiq: tasks on an event loop, fetched by aiohttp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import aiohttp
from taskiq_redis import ListQueueBroker

from benchmarks.peers.work import REDIS, do_async

broker = ListQueueBroker(url=os.environ[REDIS], queue_name="bench")
_clients: dict[int, Any] = {}


async def _work(item: int) -> None:
    loop = id(asyncio.get_running_loop())
    if loop not in _clients:
        _clients[loop] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    await do_async(item, _clients[loop])


work = broker.task(task_name="work")(_work)


async def _enqueue(items: Sequence[int]) -> None:
    await broker.startup()
    for item in items:
        await work.kiq(item)
    await broker.shutdown()


def enqueue(items: Sequence[int]) -> None:
    """Hand all of them in."""
    asyncio.run(_enqueue(items))
