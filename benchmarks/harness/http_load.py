"""Lean HTTP clients for load: requests made beforehand, kept-alive connections, and nothing but the status read.

`asyncio`: one process, many connections. `processes`: as many forked processes, each with one connection, that ask until there is nothing.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from benchmarks.harness.feed_server import ROOT

EMPTY_ANSWERS = 3
"""A claimer stops after so many answers in a row without work: another's lock may hide the last ones for a moment."""


@dataclass(frozen=True)
class Job:
    """What to ask, over how many connections, how often in all (0: until told to stop); `headers` are used in turn."""

    how: str
    port: int
    method: str
    path: str
    headers: list[dict[str, str]]
    connections: int
    count: int = 0
    body: str = ""


@dataclass
class Answered:
    """What came of it: seconds of each request in the order of their answers, statuses, and what claimers were given."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)


def request_bytes(job: Job, headers: dict[str, str]) -> bytes:
    """The request on the wire."""
    told = {"Host": f"127.0.0.1:{job.port}", **headers}
    if job.method != "GET":
        told |= {"Content-Type": "application/json", "Content-Length": str(len(job.body))}
    lines = [f"{job.method} {job.path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + job.body).encode()


class Clients:
    """The clients as processes of their own, ready to go."""

    def __init__(self, job: Job) -> None:
        command = [sys.executable, "-m", "benchmarks.harness.http_load"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._say(json.dumps(asdict(job)))
        assert self._hear() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def start(self) -> None:
        """Go."""
        self._say("go")

    def result(self) -> Answered:
        """Wait for the end."""
        return Answered(**json.loads(self._hear()))

    def stop(self) -> Answered:
        """End those that would go on for ever."""
        self._say("stop")
        return self.result()


def main() -> None:
    """Read a job, say `ready`, wait for `go`, do it, say what came of it."""
    job = Job(**json.loads(sys.stdin.readline()))
    work = {"asyncio": _on_a_loop, "processes": _in_processes}[job.how]
    _tell("ready")
    sys.stdin.readline()
    _tell(json.dumps(asdict(work(job))))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _on_a_loop(job: Job) -> Answered:
    # Only here: the forked claimers must stay small.
    import asyncio  # noqa: PLC0415

    from benchmarks.harness.http_loop import ask_all  # noqa: PLC0415

    return asyncio.run(ask_all(job))


def _in_processes(job: Job) -> Answered:
    found: Any = multiprocessing.Queue()
    gate = multiprocessing.Barrier(job.connections + 1)
    children = [
        multiprocessing.Process(target=_drain, args=(job, number, gate, found))
        for number in range(job.connections)
    ]
    for child in children:
        child.start()
    gate.wait()
    begin = time.perf_counter()
    parts: Sequence[Answered] = [found.get() for _ in children]
    whole = Answered(seconds=max(part.seconds for part in parts) - begin)
    statuses: Counter[str] = Counter()
    for part in parts:
        whole.latencies += part.latencies
        whole.given += part.given
        statuses.update(part.statuses)
    whole.statuses = dict(statuses)
    for child in children:
        child.join()
    return whole


def _drain(job: Job, number: int, gate: Any, found: Any) -> None:
    """Claim until there is nothing left; `seconds` is when the last work came, on the clock that all processes share."""
    headers = job.headers[number % len(job.headers)] | {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", job.port, timeout=60)
    connection.connect()
    mine, statuses, empty = Answered(), Counter[str](), 0
    gate.wait()
    while empty < EMPTY_ANSWERS:
        begin = time.perf_counter()
        connection.request(job.method, job.path, job.body.encode(), headers)
        answer = connection.getresponse()
        content = answer.read()
        statuses[str(answer.status)] += 1
        package = json.loads(content)["data"] if answer.status == http.HTTPStatus.OK else None
        empty = 0 if package else empty + 1
        if package:
            mine.seconds = time.perf_counter()
            mine.latencies.append(mine.seconds - begin)
            mine.given.append(package["allocation_id"])
    mine.statuses = dict(statuses)
    found.put(mine)


if __name__ == "__main__":
    main()
