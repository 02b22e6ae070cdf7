"""Other queues as subjects: started with as many slots, warmed up, given the same items, and checked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

import psutil
from sqlalchemy import create_engine, func, insert, select

from backend.domain.identifiers import new_id
from benchmarks.harness.feed_server import ARTICLES, ROOT, FeedServer
from benchmarks.harness.processes import Watch, family
from benchmarks.harness.report import BrokenResult
from benchmarks.harness.site import Site
from benchmarks.harness.subjects import Load, Measured, groups, urls
from benchmarks.peers import work

LOOK_SECONDS = 0.01
WARM_UP_SECONDS = 120.0
STOP_SECONDS = 10.0
PROCESSES = 2


@dataclass(frozen=True)
class Peer:
    """One queue. `commands` starts its workers for so many slots; with `most_slots` the machine bears no more.

    With `most_items` it does only so many items of a load, and the rest is extrapolated: all of it would take minutes.
    """

    name: str
    module: str
    commands: Callable[[int], list[list[str]]]
    most_slots: int | None = None
    most_items: int | None = None


def _python(*words: object) -> list[str]:
    return [sys.executable, *map(str, words)]


def _tasks(name: str) -> str:
    return f"benchmarks.peers.{name}_tasks"


def _dramatiq(slots: int) -> list[list[str]]:
    threads = ("-p", PROCESSES, "-t", slots // PROCESSES)
    return [_python("-m", "dramatiq", _tasks("dramatiq"), *threads)]


def _huey(slots: int) -> list[list[str]]:
    threads = ("-k", "thread", "-w", slots // PROCESSES, "-q")
    return [_python("-m", "huey.bin.huey_consumer", f"{_tasks('huey')}.huey", *threads)] * PROCESSES


def _celery(slots: int) -> list[list[str]]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR")
    threads = ("-P", "threads", "-c", slots // PROCESSES)
    command = ("-m", "celery", "-A", _tasks("celery"), "worker", *threads, *quiet)
    return [_python(*command, "-n", f"bench-{number}@%h") for number in range(PROCESSES)]


def _taskiq(slots: int) -> list[list[str]]:
    loops = ("--workers", PROCESSES, "--max-async-tasks", slots // PROCESSES, "--log-level", "ERROR")
    return [_python("-m", "taskiq", "worker", f"{_tasks('taskiq')}:broker", *loops)]


def _rq(kind: str) -> Callable[[int], list[list[str]]]:
    return lambda slots: [_python("-m", _tasks("rq"), slots, kind)]


PEERS = (
    Peer("taskiq", _tasks("taskiq"), _taskiq),
    Peer("Huey threads", _tasks("huey"), _huey),
    Peer("Celery threads", _tasks("celery"), _celery),
    Peer("Dramatiq", _tasks("dramatiq"), _dramatiq),
    Peer("RQ SimpleWorker", _tasks("rq"), _rq("simple"), most_slots=64, most_items=640),
    Peer("RQ Worker", _tasks("rq"), _rq("fork"), most_slots=20, most_items=60),
)


@dataclass
class Running:
    """A peer that runs on a database and an empty Redis of its own."""

    peer: Peer
    place: Site
    server: FeedServer | None
    slots: int
    stack: ExitStack = field(default_factory=ExitStack)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    last: int = 0

    def __enter__(self) -> Self:
        if self.place.mariadb is None:
            raise BrokenResult("the other queues are measured on MariaDB only")
        with self.place.redis.client() as redis:
            redis.flushall()
        database = self.place.new_database()
        self.environment = os.environ | {work.DATABASE: database, work.REDIS: self.place.redis.url}
        self.engine = create_engine(database, isolation_level="READ COMMITTED")
        work.metadata.create_all(self.engine)
        with self.stack:
            self.stack.callback(self.engine.dispose)
            self.stack.callback(self._stop)
            self._start()
            self.stack = self.stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def _start(self) -> None:
        slots = min(self.slots, self.peer.most_slots or self.slots)
        log = self.stack.enter_context((self.place.folder / "peers.log").open("ab"))
        for command in self.peer.commands(slots):
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            )
        command = _python("-m", "benchmarks.peers.enqueue", self.peer.module)
        self.enqueuer = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._expect("ready")
        # Processes and connections are made before anything is measured, as ours are.
        self._do([""] * slots * 2, WARM_UP_SECONDS)

    def _expect(self, word: str) -> None:
        assert self.enqueuer.stdout is not None
        said = self.enqueuer.stdout.readline().decode().strip()
        if said != word:
            raise BrokenResult(f"{self.peer.name}: handing in said {said!r} instead of {word!r}")

    def _stop(self) -> None:
        everybody = [psutil.Process(pid) for pid in family(self._pids())]
        assert self.enqueuer.stdin is not None
        self.enqueuer.stdin.close()
        self.enqueuer.wait(STOP_SECONDS)
        for process in self.processes:
            process.terminate()
        _, alive = psutil.wait_procs(everybody, STOP_SECONDS)
        for left in alive:
            left.kill()
        for process in self.processes:
            process.wait()

    def _pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def measure(self, load: Load) -> dict[str, Measured]:
        """See `Subject`."""
        part = load.part(self.peer.most_items or len(load.delays))
        addresses = urls(self.server, part, new_id()[-12:]) if load.fetch else [""] * len(part.delays)
        workers = family(self._pids())
        counted = groups(self.place, self.server, workers, [self.enqueuer.pid])
        first = self.last + 1
        with Watch(lambda: family(self._pids()), counted) as watch:
            seconds = self._do(addresses, 600.0)
        self._verify(first, part)
        share = len(part.delays) / len(load.delays)
        return {self._name(share): Measured(seconds, watch.peak, watch.cpu, share)}

    def _name(self, share: float) -> str:
        slots = self.peer.most_slots
        few = f", {slots} slots" if slots is not None and slots < self.slots else ""
        return f"{self.peer.name}{few}" + (", extrapolated" if share < 1 else "")

    def _do(self, addresses: Sequence[str], seconds: float) -> float:
        first, self.last = self.last + 1, self.last + len(addresses)
        rows = [{"id": number, "url": url, "state": "pending"} for number, url in enumerate(addresses, first)]
        with self.engine.begin() as connection:
            connection.execute(insert(work.items), rows)
        assert self.enqueuer.stdin is not None
        begin = time.perf_counter()
        self.enqueuer.stdin.write(f"{first} {self.last}\n".encode())
        self.enqueuer.stdin.flush()
        self._wait(begin, seconds)
        took = time.perf_counter() - begin
        self._expect("done")
        return took

    def _wait(self, begin: float, seconds: float) -> None:
        query = select(work.items.c.id).where(work.items.c.state.in_(["pending", "executing"])).limit(1)
        with self.engine.connect() as connection:
            while connection.scalar(query) is not None:
                connection.rollback()
                if time.perf_counter() - begin > seconds:
                    left = work.count_open(self.engine)
                    raise BrokenResult(f"{self.peer.name}: {left} items did not end within {seconds:g} s")
                time.sleep(LOOK_SECONDS)

    def _verify(self, first: int, load: Load) -> None:
        expected = len(load.delays) * ARTICLES if load.fetch else 0
        query = select(func.count()).select_from(work.articles).where(work.articles.c.item_id >= first)
        with self.engine.connect() as connection:
            found = connection.scalar(query)
        if found != expected:
            raise BrokenResult(f"{self.peer.name}: {found} articles are stored instead of {expected}")


@dataclass
class BareClient:
    """An asyncio client that fetches the same URLs over as many connections, and does nothing else."""

    place: Site
    server: FeedServer
    slots: int

    def __enter__(self) -> Self:
        command = _python("-m", "benchmarks.peers.asyncio_client", self.slots)
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise BrokenResult("the bare client did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def measure(self, load: Load) -> dict[str, Measured]:
        """See `Subject`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = " ".join(urls(self.server, load, new_id()[-12:])) + "\n"
        counted = groups(self.place, self.server, [self.process.pid], [])
        with Watch(counted["workers"], counted) as watch:
            begin = time.perf_counter()
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
            fetched = int(self.process.stdout.readline())
            seconds = time.perf_counter() - begin
        if fetched != len(load.delays):
            raise BrokenResult(f"the bare client fetched {fetched} of {len(load.delays)}")
        return {"bare asyncio client, no database": Measured(seconds, watch.peak, watch.cpu)}


def started(place: Site, server: FeedServer | None, slots: int) -> list[Callable[[], Running]]:
    """What starts each peer."""
    return [partial(Running, peer, place, server, slots) for peer in PEERS]
