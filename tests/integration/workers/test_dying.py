"""Workers die in every way, with real processes: what they held goes on at once, and what kills them is found."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Self

import psutil
import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.beat import Beat, Timer
from backend.domain.feeds import draft_feed
from backend.store import feeds
from backend.store.session import transact
from backend.store.tables import Alert, Allocation, Feed, Node, WorkItem
from tests.building import LIMITS, change, make_task, row_of, rows_of, start_run
from tests.integration.workers.running import QUEUE, ROOT, NodeProcess, node_row
from tests.plugins.installing import HERE, install
from tests.servers import RedisServer, wait_until

# Nothing in this module may wait for a lease: whatever goes on within this time was noticed.
AT_ONCE = 25.0
LEASE = {"CASCADE_LEASE_SECONDS": "60", "CASCADE_RENEW_SECONDS": "20"}
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])


class Beating:
    """A beat in a thread of the test, so that what is given back is planned again."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.stop = Event()
        self.beat = Beat(engine, redis, LIMITS, lease_seconds=60.0, delivery_attempts=6, repair=Timer(0.2))
        self.thread = Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.wait(0.1):
            self.beat.tick()

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


class Ward:
    """A node with the deadly plug-in, a beat, and feeds that end as their names say."""

    def __init__(self, folder: Path, engine: Engine, url: str, redis: RedisServer) -> None:
        self.engine, self.folder, self.url, self.redis_url = engine, folder, url, redis.url
        self.site = install(
            folder / "site", {"deadly": "deadly:DeadlySource"}, deadly=(HERE / "deadly.py").read_text()
        )
        self.gate = folder / "gate"
        self.gate.touch()
        self.stack = ExitStack()
        self.stack.callback(self.gate.unlink, missing_ok=True)

    def node(self, name: str = "var", **told: str) -> NodeProcess:
        """A node process, started and ready."""
        node = NodeProcess(self.folder / name, self.url, self.redis_url, **self.settings() | told)
        self.stack.enter_context(node)
        node.wait_workers(2)
        wait_until(lambda: node_row(self.engine).workers_alive == 2, 20, "a beat that counts both workers")
        return node

    def settings(self) -> dict[str, str]:
        """What its node processes are told."""
        place = {"PYTHONPATH": f"{ROOT}:{self.site}", "DEADLY_GATE": str(self.gate)}
        return LEASE | place | {"CASCADE_RETRY_BASE_SECONDS": "0.1"}

    def plan(self, *ends: str, capacity: int = 100) -> str:
        """Dispatch feeds that end like this; the run's id."""
        change(self.engine, Node, node_row(self.engine).id, max_capacity=capacity)
        drafts = [
            draft_feed(f"https://f{number}.example/{end}", kind="deadly", known_kinds={"deadly"})
            for number, end in enumerate(ends)
        ]
        ids = transact(
            self.engine, lambda session: [feeds.create_feed(session, draft).id for draft in drafts]
        )
        return start_run(self.engine, make_task(self.engine, ids))

    def ends(self) -> dict[str, Counter[str]]:
        """By what the feeds do, how many of their items are in which state."""
        urls = {row.id: row.url.rpartition("/")[2] for row in rows_of(self.engine, Feed)}
        found: dict[str, Counter[str]] = {}
        for item in rows_of(self.engine, WorkItem):
            found.setdefault(urls[item.feed_id], Counter())[item.state] += 1
        return found

    def item(self, end: str) -> WorkItem:
        """The item of the one feed that ends like this."""
        [feed] = [row for row in rows_of(self.engine, Feed) if row.url.endswith(f"/{end}")]
        [item] = [row for row in rows_of(self.engine, WorkItem) if row.feed_id == feed.id]
        assert isinstance(item, WorkItem)
        return item

    def wait_ends(self, seconds: float = AT_ONCE, **ends: str) -> None:
        """Until all items of these feeds are in the state."""
        wait_until(
            lambda: all(set(self.ends()[end]) == {state} for end, state in ends.items()),
            seconds,
            f"{ends}; there is {self.ends()}",
        )

    def holder(self, *, without: int = 0) -> int:
        """The worker process that executes the one allocation in work, as soon as there is one; its process id."""
        found: list[int] = []

        def look() -> bool:
            held = [row.worker for row in rows_of(self.engine, Allocation) if row.state == "executing"]
            with Redis.from_url(self.redis_url) as redis:
                keys = [f"rq:worker:{QUEUE}.{worker}".replace("node:n", "node.n") for worker in held]
                found[:] = [int(redis.hget(key, "pid") or 0) for key in keys]
            return any(one not in (0, without) for one in found)

        wait_until(look, AT_ONCE, "a worker that executes")
        return next(one for one in found if one not in (0, without))


@pytest.fixture
def ward(
    tmp_path: Path, engine: Engine, migrated_url: str, redis_server: RedisServer, redis_client: Redis
) -> Iterator[Ward]:
    """A node's surroundings, with a beat."""
    made = Ward(tmp_path, engine, migrated_url, redis_server)
    with made.stack, Beating(engine, redis_client):
        yield made


@pytest.mark.parametrize("backend", ["mariadb"])
def test_what_a_killed_worker_held_is_begun_by_another_at_once(ward: Ward) -> None:
    node = ward.node()
    ward.plan("slow")
    victim = ward.holder()
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    assert ward.holder(without=victim) != victim
    assert time.monotonic() - killed < AT_ONCE
    ward.gate.unlink()
    ward.wait_ends(slow="done")
    [lost] = [row for row in rows_of(ward.engine, Allocation) if row.error_code == "lost"]
    assert "signal 9 (SIGKILL" in lost.error_message
    assert "out of memory" in node.log
    assert node.stop() == 0


@on_sqlite
def test_feeds_that_kill_their_workers_are_found_amid_twenty_and_the_others_are_collected(ward: Ward) -> None:
    node = ward.node()
    ward.plan(*["fine"] * 9, "segfault", *["fine"] * 9, "exit")
    ward.wait_ends(90, fine="done", segfault="failed", exit="failed")
    for end, cause in (("segfault", "signal 11 (SIGSEGV"), ("exit", "exit code 0")):
        item = ward.item(end)
        assert (item.error_code, item.deaths) == ("worker_died", 3)
        assert [entry["code"] for entry in item.errors] == ["lost"] * 3
        assert cause in item.error_message
        feed = row_of(ward.engine, Feed, item.feed_id)
        assert (feed.is_active, feed.paused_reason) == (False, "worker_died")
    assert {item.deaths for item in rows_of(ward.engine, WorkItem) if item.state == "done"} == {0}
    assert {one.rule for one in rows_of(ward.engine, Alert)} == {"alert_feed_quarantined"}
    # One for each halving of the node's batches of ten, and three alone; twice.
    assert node.log.count("it starts again in") <= 2 * 8
    node.wait_workers(2)
    assert node.stop() == 0


@on_sqlite
def test_what_never_returns_fails_at_its_limit_and_its_worker_is_replaced(ward: Ward) -> None:
    node = ward.node(CASCADE_UPDATE_SECONDS="5", CASCADE_ITEM_ATTEMPTS="1")
    before = node.workers()
    # Two items for each allocation: the hanging ones have company.
    ward.plan("wait", "fine", "fine", "loop", "fine", "fine", capacity=20)
    ward.wait_ends(60, wait="failed", loop="failed", fine="done")
    for end in ("wait", "loop"):
        assert (ward.item(end).error_code, ward.item(end).attempts) == ("deadline_exceeded", 1)
        assert "within its limit of 5 s" in ward.item(end).error_message
    wait_until(lambda: "never ended although their time is over" in node.log, AT_ONCE, "the replacement")
    hanging = {pid for pid in before if pid not in node.wait_workers(2)}
    assert hanging
    assert node.stop() == 0


@on_sqlite
def test_a_process_that_stands_still_is_killed_with_the_reason(ward: Ward) -> None:
    node = ward.node(CASCADE_LEASE_SECONDS="10", CASCADE_RENEW_SECONDS="3")
    ward.plan("hold")
    wait_until(
        lambda: "no sign of life" in (ward.item("hold").errors or [{}])[-1].get("message", ""), 60, "a death"
    )
    assert "stands still" in node.log
    assert "deadly.py" in node.log, "the stacks say where it stands"
    node.process.kill()


@pytest.mark.parametrize("backend", ["mariadb"])
def test_a_frozen_worker_is_replaced_after_its_lease_comes_too_late_and_goes_on(ward: Ward) -> None:
    node = ward.node(CASCADE_LEASE_SECONDS="3", CASCADE_RENEW_SECONDS="1")
    ward.plan("slow")
    frozen = ward.holder()
    os.kill(frozen, signal.SIGSTOP)
    ward.holder(without=frozen)
    os.kill(frozen, signal.SIGCONT)
    ward.gate.unlink()
    ward.wait_ends(slow="done")
    wait_until(lambda: "came too late" in node.log, AT_ONCE, "the refused settle")
    assert ward.item("slow").attempts == 1
    assert frozen in node.wait_workers(2)
    assert "it starts again" not in node.log
    assert node.stop() == 0


@on_sqlite
def test_a_worker_frozen_by_a_signal_can_t_keep_the_lock_of_an_embedded_database(ward: Ward) -> None:
    node = ward.node(CASCADE_LEASE_SECONDS="9", CASCADE_RENEW_SECONDS="3")
    ward.plan("slow")
    frozen = ward.holder()
    os.kill(frozen, signal.SIGSTOP)
    ward.gate.unlink()
    wait_until(lambda: not psutil.pid_exists(frozen), AT_ONCE, "the end of the frozen worker")
    assert "stopped by a signal for 6 s, and was killed" in node.log
    ward.wait_ends(slow="done")
    assert ward.item("slow").deaths == 0
    assert node.stop() == 0


@on_sqlite
def test_a_worker_that_can_t_stop_is_killed_and_its_work_given_back_without_blame(ward: Ward) -> None:
    node = ward.node(CASCADE_STOP_SECONDS="3")
    ward.plan("hold")
    ward.holder()
    assert node.stop() == 0
    assert "did not stop in 3 s and is killed" in node.log
    item = ward.item("hold")
    assert (item.state, item.deaths, item.batch_limit) == ("waiting", 0, None)


@on_sqlite
def test_a_node_that_is_started_again_gives_back_what_its_killed_start_held(ward: Ward) -> None:
    node = ward.node()
    ward.plan("slow")
    ward.holder()
    for pid in (node.process.pid, *node.family()):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: node.family() == [], 20, "the end of all its processes")
    [held] = [row for row in rows_of(ward.engine, Allocation) if row.state == "executing"]
    again = ward.node()
    ward.gate.unlink()
    ward.wait_ends(slow="done")
    lost = row_of(ward.engine, Allocation, held.id)
    assert (lost.error_code, "were gone" in lost.error_message) == ("lost", True)
    assert ward.item("slow").batch_limit is None
    assert again.stop() == 0
    assert [path for path in node.data_dir.rglob("instances/*/*") if path.name[0] != "."] == []


@on_sqlite
def test_a_stopping_node_hands_back_at_its_deadline_and_the_next_start_goes_on_at_once(ward: Ward) -> None:
    """A deploy: the new start comes up while the old one still stops."""
    old = ward.node(CASCADE_STOP_SECONDS="4")
    ward.plan("slow")
    holder = ward.holder()
    with NodeProcess(old.data_dir, ward.url, ward.redis_url, **ward.settings()) as new:
        old.process.send_signal(signal.SIGTERM)
        assert ward.holder(without=holder) in new.family()
        assert old.process.wait(20) == 0
        ward.gate.unlink()
        ward.wait_ends(slow="done")
        wait_until(lambda: node_row(ward.engine).workers_alive == 2, 20, "the new start's beat")
        assert node_row(ward.engine).presence_at is not None
        assert new.stop() == 0
    ended = [row.state for row in rows_of(ward.engine, Allocation) if row.kind == "update"]
    assert sorted(ended) == ["cancelled", "completed"]
    assert ward.item("slow").deaths == 0


@on_sqlite
def test_a_worker_that_uses_too_much_memory_ends_what_it_holds_and_is_replaced(ward: Ward) -> None:
    # Any worker uses more than that: each job is its last.
    node = ward.node(CASCADE_WORKER_MEGABYTES="64")
    before = node.workers()
    ward.plan(*["fine"] * 12, capacity=20)
    ward.wait_ends(60, fine="done")
    wait_until(lambda: "more than 64 (CASCADE_WORKER_MEGABYTES)" in node.log, AT_ONCE, "the replacement")
    wait_until(lambda: set(node.workers()) != set(before), AT_ONCE, "a fresh worker")
    assert "it starts again" not in node.log, "nobody died, so nobody waits"
    assert {row.state for row in rows_of(ward.engine, Allocation) if row.kind == "update"} == {"completed"}
    node.wait_workers(2)
    assert node.stop() == 0
