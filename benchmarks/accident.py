"""The accident that Cascade was made for: 27 tasks of 6 s, connections that die after 2 s, workers restarted twice.

Beside Cascade stands the way that lost 27 of 27: a forking RQ worker with one session held through the work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.store.session import read
from backend.store.tables import Article, WorkItem
from benchmarks.harness import system
from benchmarks.harness.feed_server import ARTICLES, ROOT, FeedServer
from benchmarks.harness.ours import Cascade
from benchmarks.harness.processes import family
from benchmarks.harness.report import Aim, BrokenResult, Options, Report, Table, Value, ratio
from benchmarks.harness.site import Site, site
from benchmarks.peers import old_way, work

TASKS, SECONDS, SLOTS = 27, 6.0, 10
WAIT_TIMEOUT = 2
FIRST_RESTART, SECOND_RESTART = 3.0, 12.0
STOP_SECONDS = 8.0
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.2


@dataclass
class Ending:
    """How one subject's tasks ended: by state, how often they were performed, and how long all of it took."""

    states: Counter[str]
    performed: int
    seconds: float

    def row(self, name: str) -> dict[str, Value]:
        """As a row of the table."""
        wrong = {state: count for state, count in self.states.items() if state != "done"}
        return {
            "name": name,
            "right endings": self.states["done"],
            "of": TASKS,
            "wrong endings": ", ".join(f"{count} {state}" for state, count in sorted(wrong.items()))
            or "none",
            "performed": self.performed,
            "seconds": round(self.seconds),
        }


def run(options: Options) -> Report:
    """Measure."""
    with site("mariadb") as place, FeedServer(TASKS) as server:
        assert place.mariadb is not None
        place.mariadb.execute("SET GLOBAL wait_timeout = %s", WAIT_TIMEOUT)
        ours = _ours(place, server, options)
        rows = [ours.row("Cascade")]
        if options.peers:
            rows.append(_theirs(place, server).row("RQ, one session held through the work"))
    table = Table(f"{TASKS} tasks of {SECONDS:g} s, wait_timeout = {WAIT_TIMEOUT}, {SLOTS} slots", rows)
    table.notes = [
        f"half of the workers or all are restarted after {FIRST_RESTART:g} s by SIGTERM, after {SECOND_RESTART:g} s by SIGKILL",
        "performed: how often the platform did the work; more than the tasks where a killed worker's work was repeated",
    ]
    right = ours.states["done"]
    report = Report([table], [Aim("accident: right endings / tasks", ratio(right, TASKS), "at least", 1.0)])
    if right != TASKS:
        report.broken.append(f"{right} of {TASKS} tasks ended right: {dict(ours.states)}")
    return report


def _until(begin: float, seconds: float) -> None:
    time.sleep(max(0.0, begin + seconds - time.monotonic()))


def _wait(look: Callable[[], Counter[str]], open_states: set[str], begin: float) -> Counter[str]:
    """The states once nothing is open any more, or at the limit."""
    while True:
        states = look()
        if not open_states & states.keys() or time.monotonic() - begin > LIMIT_SECONDS:
            return states
        time.sleep(LOOK_SECONDS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and everything that it started, as a machine that loses its power does."""
    for pid in family([process.pid]):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _ours(place: Site, server: FeedServer, options: Options) -> Ending:
    served, unique = server.served(), new_id()[-12:]
    with Cascade(place, server, SLOTS, options) as ours:
        urls = [server.url(number, f"{unique}-{number}", SECONDS) for number in range(TASKS)]
        tasks = [system.make_task(ours.engine, [url]) for url in urls]
        begin = time.monotonic()
        for task_id in tasks:
            ours.visitor.ask("POST", "/api/v1/cascade/dispatch-task", params={"task_id": task_id})
        _until(begin, FIRST_RESTART)
        ours.nodes[0].terminate()
        ours.restart(0)
        _until(begin, SECOND_RESTART)
        _kill(ours.nodes[1])
        ours.restart(1)
        items = select(WorkItem.state, func.count()).group_by(WorkItem.state)
        states = _wait(
            lambda: Counter(
                {row[0]: row[1] for row in read(ours.engine, lambda one: one.execute(items).all())}
            ),
            {"waiting", "assigned"},
            begin,
        )
        took = time.monotonic() - begin
        stored = read(ours.engine, lambda one: one.scalar(select(func.count()).select_from(Article)))
        if states["done"] == TASKS and stored != TASKS * ARTICLES:
            raise BrokenResult(f"{stored} articles are stored instead of {TASKS * ARTICLES}")
    return Ending(states, server.served() - served, took)


@dataclass
class _OldWay:
    """A pool of RQ workers on a database of its own."""

    place: Site
    environment: dict[str, str]
    pools: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start the workers, again too."""
        command = [sys.executable, "-m", "benchmarks.peers.old_way", str(SLOTS)]
        with (self.place.folder / "old-way.log").open("ab") as log:
            self.pools.append(
                subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            )

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        self.pools[-1].terminate()
        try:
            self.pools[-1].wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(self.pools[-1])


def _theirs(place: Site, server: FeedServer) -> Ending:
    with place.redis.client() as redis:
        redis.flushall()
    database, served, unique = place.new_database(), server.served(), new_id()[-12:]
    engine = create_engine(database, pool_pre_ping=True)
    old_way.Base.metadata.create_all(engine)
    urls = {number + 1: server.url(number, f"{unique}-{number}", SECONDS) for number in range(TASKS)}
    with Session(engine) as session:
        session.add_all([old_way.Task(id=one, url=url, state="pending") for one, url in urls.items()])
        session.commit()
    pool = _OldWay(place, os.environ | {work.DATABASE: database, work.REDIS: place.redis.url})
    states = select(old_way.Task.state, func.count()).group_by(old_way.Task.state)

    def look() -> Counter[str]:
        with engine.connect() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(states)})

    with ExitStack() as stack:
        stack.callback(engine.dispose)
        stack.callback(pool.stop)
        pool.start()
        begin = time.monotonic()
        old_way.enqueue(place.redis.url, sorted(urls))
        _until(begin, FIRST_RESTART)
        pool.stop()
        pool.start()
        _until(begin, SECOND_RESTART)
        _kill(pool.pools[-1])
        pool.start()
        # What is still marked as running when nothing waits any more has had its time twice over.
        _wait(look, {"pending"}, begin)
        _until(time.monotonic(), 2 * SECONDS)
        found = look()
        took = time.monotonic() - begin
    return Ending(found, server.served() - served, took)
