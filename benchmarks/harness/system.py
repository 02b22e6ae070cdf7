"""A whole running Cascade as its user has it, and what benchmarks ask of it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, Select, func, select

from backend.domain.feeds import draft_feed
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import TaskContent, check_task
from backend.store import feeds, message_tasks, nodes
from backend.store.session import read, transact
from backend.store.tables import Article, MessageTaskFeed, Run, WorkItem
from benchmarks.harness.report import BrokenResult
from benchmarks.harness.site import Site
from tests.building import CIPHER, KEY
from tests.e2e.running import Up
from tests.e2e.system import System, Visitor
from tests.servers import wait_until

LOOK_SECONDS = 0.01
# Empty means the default: the tests' system has these off, because all of its stand-ins live on one host.
PRODUCT_DEFAULTS = {"CASCADE_HOST_CONCURRENCY": "", "CASCADE_HOST_GAP_SECONDS": ""}


@dataclass(frozen=True)
class Collected:
    """How a dispatch ended: seconds from the request to the last item's end, and to the answer of the request."""

    run_id: str
    seconds: float
    answered: float


class Measured(System):
    """A system whose stop is no part of what is measured: a busy machine may take longer than tests allow."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.end(signal.SIGTERM)
        Up.__exit__(self, kind, error, trace)


def running(site: Site, **settings: str) -> System:
    """`cascade up` without nodes, on the site's servers; entered, it is ready."""
    return Measured(
        site.folder / f"data-{new_id()[-12:]}",
        *("--nodes", "0", "--workers", "1"),
        DATABASE_URL=site.new_database(),
        REDIS_URL=site.redis.url,
        LOG_LEVEL="WARNING",
        CASCADE_SECRET_KEY=KEY,
        **PRODUCT_DEFAULTS,
        **settings,
    )


def wait_for_nodes(engine: Engine, count: int, workers: int) -> None:
    """Until so many attached nodes could take work and each has its workers."""

    def ready() -> bool:
        views = read(engine, nodes.list_nodes)
        return sum(one.available and one.workers_alive == workers for one in views if one.node_type) == count

    wait_until(ready, 60, f"the availability of {count} nodes")


def make_task(engine: Engine, urls: Sequence[str], kind: str = "rss") -> str:
    """Feeds of these URLs, in their order, and a message task over them that delivers nothing; its id."""
    drafts = [draft_feed(url, kind=kind, known_kinds={kind}) for url in urls]
    for start in range(0, len(drafts), 1000):
        part = drafts[start : start + 1000]
        transact(engine, lambda session, part=part: feeds.import_feeds(session, part))  # type: ignore[misc]
    ids = tuple(draft.id for draft in drafts)
    task_id, checked = new_id(), check_task(TaskContent("bench", ids))
    transact(engine, lambda session: message_tasks.create_task(session, CIPHER, task_id, checked))
    return task_id


def collect(engine: Engine, visitor: Visitor, task_id: str, seconds: float = 300.0) -> Collected:
    """Dispatch the task over HTTP and wait for the end of its last item."""
    begin = time.perf_counter()
    data = visitor.ask("POST", "/api/v1/cascade/dispatch-task", params={"task_id": task_id})
    answered = time.perf_counter() - begin
    run_id, items = data["tasks"][0]["run_id"], data["tasks"][0]["mp_count"]
    open_items = select(WorkItem.id).where(
        WorkItem.run_id == run_id, WorkItem.state.in_(["waiting", "assigned"])
    )
    expanded = select(Run.id).where(Run.id == run_id, Run.state.in_(["running", "completed"]))
    ended = select(expanded.exists() & ~open_items.exists())
    closed = select(Run.id).where(Run.id == run_id, Run.state == "completed")
    with engine.connect() as connection:
        _wait_for(connection, ended, begin + seconds)
        took = time.perf_counter() - begin
        # A run of the same task that begins before this one is closed would have to queue.
        _wait_for(connection, closed, begin + seconds)
    verify(engine, run_id, items)
    return Collected(run_id, took, answered)


def _wait_for(connection: Connection, query: Select[Any], deadline: float) -> None:
    while not connection.scalar(query):
        connection.rollback()
        if time.perf_counter() > deadline:
            raise BrokenResult("a dispatch did not end in time")
        time.sleep(LOOK_SECONDS)


def verify(engine: Engine, run_id: str, items: int) -> None:
    """Every item of the run is done. Raises `BrokenResult`."""
    query = select(WorkItem.state, WorkItem.error_code, func.count()).where(WorkItem.run_id == run_id)
    found = read(
        engine,
        lambda session: {
            f"{row[0]} {row[1]}".strip(): row[2]
            for row in session.execute(query.group_by(WorkItem.state, WorkItem.error_code))
        },
    )
    if found != {"done": items}:
        raise BrokenResult(f"of {items} items: {found}")


def verify_articles(engine: Engine, task_id: str, expected: int) -> None:
    """The articles of the task's feeds are stored. Raises `BrokenResult`."""
    query = (
        select(func.count())
        .select_from(Article)
        .join(MessageTaskFeed, MessageTaskFeed.feed_id == Article.feed_id)
        .where(MessageTaskFeed.task_id == task_id)
    )
    found = read(engine, lambda session: session.scalar(query))
    if found != expected:
        raise BrokenResult(f"{found} articles are stored instead of {expected}")


def parts(system: System) -> dict[str, set[int]]:
    """The process ids of the running system's parts. `nodes` holds supervisors, workers and presences of its nodes."""
    found: dict[str, set[int]] = {"nodes": set(), "parent's workers": set(), "beat": set(), "parent": set()}
    for process in system.processes():
        line = _command_line(process)
        if "node run" in line:
            name = "nodes" if "--node " in line else "parent's workers"
        elif "backend.dispatch.beat" in line:
            name = "beat"
        elif "gunicorn" in line:
            name = "parent"
        else:
            continue
        found[name].add(process.pid)
    return found


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
