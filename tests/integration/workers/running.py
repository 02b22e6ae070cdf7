"""A node process on real servers, started by its command, with work that a test plans for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain.feeds import draft_feed
from backend.store import feeds
from backend.store.session import transact
from backend.store.tables import Feed, Node, WorkItem
from tests.building import LIMITS, make_node, make_task, row_of, rows_of, start_run
from tests.servers import wait_until
from tests.standins.feeds import FeedServer

ROOT = Path(__file__).resolve().parents[3]
NODE = "n"
QUEUE = "node:n"
WORKER_COMMAND = (sys.executable, "-m", "backend.cli.main", "node", "run", NODE)


class NodeProcess:
    """A context manager; whatever it leaves is killed, after `end` or a test has looked."""

    def __init__(
        self, data_dir: Path, database_url: str, redis_url: str, *, command: Sequence[str] = (), **told: str
    ) -> None:
        self.data_dir, self.redis_url = data_dir, redis_url
        self.command = list(command or (*WORKER_COMMAND, "--workers", "2"))
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = inherited | {
            "CASCADE_DATA_DIR": str(data_dir),
            "CASCADE_SECRET_KEY": "a key for tests only",
            "CASCADE_EGRESS_ALLOW": "127.0.0.0/8",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PYTHONPATH": str(ROOT),
            **told,
        }
        self.log_file = data_dir / "node.log"

    def __enter__(self) -> Self:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self.process.pid, *self.family()):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self.process.wait()

    @property
    def log(self) -> str:
        """What it said."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def family(self) -> list[int]:
        """Every living process of this data directory but the first, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("CASCADE_DATA_DIR") == str(self.data_dir)
                if ours and process.pid != self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def workers(self) -> list[int]:
        """The worker processes that Redis knows and that live."""
        with Redis.from_url(self.redis_url) as redis:
            keys = redis.smembers(f"rq:workers:{QUEUE}")
            known = {int(redis.hget(key, "pid") or 0) for key in keys}
        return sorted(known & set(self.family()))

    def wait_workers(self, count: int = 2, *, without: Collection[int] = ()) -> list[int]:
        """Until so many workers serve, none of them one of `without`; them."""
        wait_until(
            lambda: len(self.workers()) == count and not set(self.workers()) & set(without),
            60,
            f"the service of {count} workers\n{self.log[-1500:]}",
        )
        return self.workers()

    def stop(self) -> int:
        """SIGTERM to the node process alone; its exit code. Nobody may be left then."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        assert self.family() == []
        return code


def plan(engine: Engine, redis_client: Redis | None, server: FeedServer, *, capacity: int = 10) -> str:
    """A task over the server's feeds, dispatched to the node and enqueued; the run's id."""
    make_node(engine, NODE, capacity=capacity)
    drafts = [draft_feed(server.feed_url(number), kind="rss", known_kinds={"rss"}) for number in server.feeds]
    ids = transact(engine, lambda session: [feeds.create_feed(session, draft).id for draft in drafts])
    run_id = start_run(engine, make_task(engine, ids))
    pump(engine, redis_client, LIMITS)
    return run_id


def item_states(engine: Engine) -> dict[str, str]:
    """By feed's path, the state of its item."""
    urls = {row.id: row.url for row in rows_of(engine, Feed)}
    return {urls[item.feed_id].partition("/feeds")[2]: item.state for item in rows_of(engine, WorkItem)}


def wait_items(engine: Engine, state: str, count: int, seconds: float = 30) -> None:
    """Until so many items are in the state."""
    wait_until(
        lambda: list(item_states(engine).values()).count(state) == count, seconds, f"{count} items {state}"
    )


def node_row(engine: Engine) -> Node:
    """What the database knows of the node."""
    found = next(row for row in rows_of(engine, Node) if row.name == NODE)
    row: Node = row_of(engine, Node, found.id)
    return row
