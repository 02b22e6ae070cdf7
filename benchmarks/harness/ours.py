"""Cascade as a subject: `cascade up` with nodes as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from backend.domain.identifiers import new_id
from backend.store.nodes import ensure_attached
from backend.store.session import create_engine_for, transact
from benchmarks.harness import nothing, system
from benchmarks.harness.feed_server import ARTICLES, ROOT, FeedServer
from benchmarks.harness.processes import Watch
from benchmarks.harness.report import Options
from benchmarks.harness.site import Site
from benchmarks.harness.subjects import Groups, Load, Measured, groups, urls
from tests.e2e.system import Visitor

NODES = 2
STOP_SECONDS = 20


@dataclass
class Cascade:
    """A running system with two nodes. Each load is measured twice when it stores articles: new ones, and known ones."""

    place: Site
    server: FeedServer | None
    slots: int
    options: Options
    stack: ExitStack = field(default_factory=ExitStack)
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        with self.stack:
            self.running = self.stack.enter_context(system.running(self.place))
            self.engine = create_engine_for(self.running.environment["DATABASE_URL"], pooled=True)
            self.stack.callback(self.engine.dispose)
            self.stack.callback(self._stop_nodes)
            self._start_nodes()
            system.wait_for_nodes(self.engine, NODES, self.options.workers)
            self.visitor = self.stack.enter_context(Visitor(self.running.url)).log_in()
            self.stack = self.stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def _start_nodes(self) -> None:
        for number in range(NODES):
            self._ensure(self._name(number))
            self.nodes.append(self._start(number))

    def restart(self, number: int) -> None:
        """Start a node again that was ended; it may still be stopping."""
        self.ended.append(self.nodes[number])
        self.nodes[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        found = os.pathsep.join([str(nothing.install(self.place.folder / "plugins")), str(ROOT)])
        environment = self.running.environment | {
            "CASCADE_DATA_DIR": str(self.running.data_dir),
            "PYTHONPATH": found,
        }
        words = ["node", "run", "--only-queues", "--workers", str(self.options.workers)]
        command = [sys.executable, "-m", "backend.cli.main", *words, "--node", self._name(number)]
        return subprocess.Popen(command, cwd=ROOT, env=environment)

    def _name(self, number: int) -> str:
        return f"node-{number + 1}"

    def _ensure(self, name: str) -> None:
        transact(self.engine, lambda session: ensure_attached(session, name, self.slots // NODES))

    def _stop_nodes(self) -> None:
        for process in self.nodes:
            process.terminate()
        for process in (*self.nodes, *self.ended):
            process.wait(STOP_SECONDS)

    def measure(self, load: Load) -> dict[str, Measured]:
        """See `Subject`."""
        kind = "rss" if load.fetch else nothing.KIND
        task_id = system.make_task(self.engine, urls(self.server, load, new_id()[-12:]), kind)
        found = {"Cascade": self._collect(task_id)}
        if load.fetch:
            system.verify_articles(self.engine, task_id, len(load.delays) * ARTICLES)
            found["Cascade, all articles known"] = self._collect(task_id)
            system.verify_articles(self.engine, task_id, len(load.delays) * ARTICLES)
        return found

    def _collect(self, task_id: str) -> Measured:
        counted = self._groups()
        with Watch(counted["workers"], counted) as watch:
            collected = system.collect(self.engine, self.visitor, task_id)
        return Measured(collected.seconds, watch.peak, watch.cpu)

    def _groups(self) -> Groups:
        parts = system.parts(self.running)
        workers = parts.pop("nodes")
        return groups(self.place, self.server, workers, set().union(*parts.values()))
