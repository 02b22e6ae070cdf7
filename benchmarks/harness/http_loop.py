"""Many kept-alive connections on one event loop: what `http_load` does with `asyncio`."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.harness.http_load import Answered, Job, request_bytes


async def ask_all(job: Job) -> Answered:
    """Ask as often as the job says, or until a line arrives on stdin."""
    requests = itertools.cycle([request_bytes(job, headers) for headers in job.headers])
    numbers: Iterator[int] = iter(range(job.count)) if job.count else itertools.count()
    answered, statuses = Answered(), Counter[str]()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
        for _ in numbers:
            begin = time.perf_counter()
            writer.write(next(requests))
            status, retry_after = await _answer(reader)
            answered.latencies.append(time.perf_counter() - begin)
            statuses[status] += 1
            await asyncio.sleep(retry_after)
        writer.close()

    begin = time.perf_counter()
    tasks = [asyncio.create_task(connection()) for _ in range(job.connections)]
    if job.count:
        await asyncio.gather(*tasks)
    else:
        await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    answered.seconds = time.perf_counter() - begin
    answered.statuses = dict(statuses)
    return answered


async def _answer(reader: asyncio.StreamReader) -> tuple[str, float]:
    """The status, and the seconds to wait before asking again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return status.split(" ", 2)[1], float(headers.get("retry-after", "0"))
