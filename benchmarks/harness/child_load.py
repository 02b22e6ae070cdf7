"""Simulated remote children in one process: each beats, polls for work, begins and settles over kept-alive connections, and does nothing else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.orders import WorkOrder
from backend.domain.protocol import PROTOCOL, Capabilities
from backend.domain.wire import BeginAsk, Claim, FullBeat, Piece, PresenceBeat, SettleAsk
from benchmarks.harness.feed_server import ROOT
from tests.building import outcome_of

PREFIX = "/api/v1/cascade"
POLL_SECONDS, PRESENCE_SECONDS = 25, 15.0
SLOTS = 10
PAUSES = (0.1, 0.3, 1.0, 3.0, 3.0)
AGAIN = (0, 503)
ABLE = Capabilities(("update",), ("rss",), ())


@dataclass
class Seen:
    """Seconds of each claim that brought work, from its answer to the order in hand, and of each settle; statuses; what was given."""

    begins: list[float] = field(default_factory=list)
    settles: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)


class Children:
    """All of them, in a process of their own, ready when each has been heard."""

    def __init__(self, port: int, headers: list[dict[str, str]]) -> None:
        command = [sys.executable, "-m", "benchmarks.harness.child_load"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._say(json.dumps({"port": port, "headers": headers}))
        assert self._hear() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def stop(self) -> Seen:
        """End all of them; what they saw."""
        self._say("stop")
        return Seen(**json.loads(self._hear()))


@dataclass
class _Line:
    """One kept-alive connection of a child."""

    port: int
    headers: Mapping[str, str]
    statuses: Counter[str]
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: object) -> tuple[int, Any, float]:
        """As `_ask`, and again, as a child does, when the connection had ended or the parent could not now."""
        for pause in PAUSES:
            status, data, retry_after = await self._ask(path, body)
            if status not in AGAIN:
                return status, data, retry_after
            await asyncio.sleep(max(pause, retry_after))
        raise RuntimeError(f"{path} was answered {status} {len(PAUSES)} times")

    async def _ask(self, path: str, body: object) -> tuple[int, Any, float]:
        """The status, the envelope's data, and the seconds that the parent wants to be left alone for."""
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = wire.encode(body)
        told = {"Host": "parent", "Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"POST {PREFIX}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**told, **self.headers}.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError):
            # The server ends connections that were quiet; the next call makes a new one.
            self.reader = self.writer = None
            return 0, None, 0.0
        first, *rest = head.split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        answer = await self.reader.readexactly(int(said.get("content-length", "0")))
        status = int(first.split(" ", 2)[1])
        self.statuses[f"{path.rsplit('/', maxsplit=1)[-1].partition('?')[0]} {status}"] += 1
        if said.get("connection", "").lower() == "close":
            self.reader = self.writer = None
        return status, json.loads(answer)["data"], float(said.get("retry-after", "0"))


class _Child:
    """One start of one child."""

    def __init__(self, port: int, headers: Mapping[str, str], seen: Seen, statuses: Counter[str]) -> None:
        self.work_line, self.beat_line = (_Line(port, headers, statuses) for _ in range(2))
        self.seen, self.instance = seen, new_id()

    async def be_known(self) -> None:
        """The first, full beat."""
        beat = FullBeat(self.instance, "bench", "bench", PROTOCOL, ABLE, workers=1, holds=())
        status, data, _ = await self.beat_line.ask("/heartbeat", beat)
        assert status == 200, data

    async def be_present(self) -> None:
        """The short beats."""
        while True:
            await asyncio.sleep(PRESENCE_SECONDS)
            await self.beat_line.ask("/heartbeat", PresenceBeat(self.instance))

    async def work(self) -> None:
        """Poll, begin, settle."""
        while True:
            claim = Claim(new_id(), self.instance, SLOTS, PROTOCOL, ABLE, ())
            _, data, pause = await self.work_line.ask(f"/claim-task?wait={POLL_SECONDS}", claim)
            for piece in [wire.from_plain(Piece, one) for one in data or ()]:
                await self._do(piece, time.perf_counter())
            if not data:
                await asyncio.sleep(pause)

    async def _do(self, piece: Piece, claimed: float) -> None:
        path, self_id = f"/allocations/{piece.allocation_id}", new_id()
        self.seen.given.append(piece.allocation_id)
        _, data, _ = await self.work_line.ask(
            f"{path}/begin", BeginAsk(piece.attempt, self_id, self.instance)
        )
        order = None if data is None else wire.from_plain(WorkOrder, data)
        begun = time.perf_counter()
        if order is None:
            return
        self.seen.begins.append(begun - claimed)
        ask = SettleAsk(order.attempt, order.execution, outcome_of(order))
        await self.work_line.ask(f"{path}/settle", ask)
        self.seen.settles.append(time.perf_counter() - begun)


async def _live(port: int, headers: list[dict[str, str]]) -> Seen:
    seen, statuses = Seen(), Counter[str]()
    children = [_Child(port, one, seen, statuses) for one in headers]
    await asyncio.gather(*(child.be_known() for child in children))
    tasks = [asyncio.create_task(step()) for child in children for step in (child.be_present, child.work)]
    _tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    failed = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if failed:
        raise RuntimeError(f"{len(failed)} children have ended: {failed[0]!r}")
    seen.statuses = dict(statuses)
    return seen


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read whom to be, be them until a line arrives, and say what was seen."""
    told = json.loads(sys.stdin.readline())
    _tell(json.dumps(asdict(asyncio.run(_live(told["port"], told["headers"])))))


if __name__ == "__main__":
    main()
