"""The accident that Cascade was made for: 27 tasks of six seconds, a database that drops idle connections, workers that restart."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import Engine

from backend.store.tables import Allocation, Article, Run, WorkItem
from tests.building import counted, rows_of
from tests.e2e import harm
from tests.e2e.system import System, Visitor
from tests.servers import MariaDb, RedisServer, wait_until
from tests.standins.feeds import FeedServer
from tests.standins.zhihu import ZhihuServer

TASKS, SECONDS = 27, 6.0
# Long enough to be hit by both restarts, short enough for every run.
QUICK_SECONDS = 1.5


@pytest.fixture
def zhihu() -> Iterator[ZhihuServer]:
    """The platform; before the system, which is told where it is."""
    with ZhihuServer() as server:
        yield server


@pytest.fixture
def system(
    tmp_path_factory: pytest.TempPathFactory,
    mariadb_session: MariaDb,
    redis_session: RedisServer,
    zhihu: ZhihuServer,
) -> Iterator[System]:
    """The whole system on a MariaDB that drops connections after two seconds."""
    mariadb_session.restore()
    redis_session.restore()
    with redis_session.client() as redis:
        redis.flushall()
    name = mariadb_session.create_database()
    mariadb_session.set_global("wait_timeout", 2)
    told = harm.settings(zhihu) | {
        "DATABASE_URL": mariadb_session.url(name),
        "REDIS_URL": redis_session.url,
    }
    with System(tmp_path_factory.mktemp("accident") / "var", **told) as system:
        yield system
    mariadb_session.restore()
    mariadb_session.drop_database(name)


def start_tasks(visitor: Visitor, server: FeedServer) -> None:
    """One message task for each feed, all of them dispatched at once."""
    for number in server.feeds:
        feed = {"kind": "rss", "name": f"F{number}", "url": server.feed_url(number)}
        feed_id = visitor.ask("POST", "/api/v1/feeds", json=feed)["id"]
        visitor.ask("POST", "/api/v1/message-tasks", json={"name": f"T{number}", "feed_ids": [feed_id]})
    report = visitor.ask("POST", "/api/v1/cascade/dispatch-task")
    assert len(report["tasks"]) == TASKS


def supervisor(system: System, node: str) -> psutil.Process:
    """The node process that supervises the node's workers."""
    found = system.part(rf"node run .*{node}\b")
    assert found is not None
    return found


def executing_on(engine: Engine, node: int) -> int:
    """How many allocations the first or second of the nodes executes."""
    held = Counter(row.node_id for row in rows_of(engine, Allocation) if row.state == "executing")
    return held[sorted({row.node_id for row in rows_of(engine, Allocation)})[node]]


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_27_tasks_end_right_although_connections_die_and_workers_are_restarted_twice(system: System) -> None:
    engine = system.engine()
    with (
        FeedServer(TASKS, broken=0, articles=2, delay=SECONDS) as server,
        Visitor(system.url) as visitor,
    ):
        start_tasks(visitor.log_in(), server)
        wait_until(lambda: counted(engine, Allocation).get("executing") == TASKS, 30, "the begin of all")
        supervisor(system, "node-1").send_signal(signal.SIGTERM)
        wait_until(lambda: executing_on(engine, 0) == 0 or executing_on(engine, 1) == 0, 30, "the warm stop")
        wait_until(
            lambda: counted(engine, Allocation).get("executing", 0) > 2, 30, "work in somebody's hands"
        )
        os.kill(supervisor(system, "node-2").pid, signal.SIGKILL)
        wait_until(lambda: counted(engine, Run) == {"completed": TASKS}, 90, "the end of all runs")
        assert counted(engine, WorkItem) == {"done": TASKS}
        assert len(rows_of(engine, Article)) == sum(server.expected_articles().values())
    assert {item.attempts for item in rows_of(engine, WorkItem)} == {1}
    # Each allocation has a true ending: done, handed back, or lost with its worker.
    assert set(counted(engine, Allocation)) <= {"completed", "cancelled", "failed"}
    lost = [row for row in rows_of(engine, Allocation) if row.state == "failed"]
    assert {row.error_code for row in lost} <= {"lost"}
    assert sum(state == "completed" for state in (row.state for row in rows_of(engine, Allocation))) == TASKS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [QUICK_SECONDS, pytest.param(SECONDS, marks=pytest.mark.soak)])
def test_27_publishes_end_right_although_connections_die_and_workers_are_restarted_twice(
    system: System, zhihu: ZhihuServer, seconds: float
) -> None:
    """The accident as it happened: no article twice, and none that is there and counts as failed."""
    engine = system.engine()
    zhihu.tell("slow", call="publish", seconds=seconds)
    for number in range(TASKS):
        account = harm.zhihu_account(engine, zhihu, f"u{number}")
        harm.submit(engine, f"u{number}", account, [f"article {number}"])
    wait_until(lambda: harm.states(engine)["running"] >= 6, 60, "the begin of the first")
    supervisor(system, "node-1").send_signal(signal.SIGTERM)
    wait_until(lambda: harm.states(engine)["success"] >= 6, 60, "the end of the first")
    os.kill(supervisor(system, "node-2").pid, signal.SIGKILL)
    wait_until(
        lambda: harm.states(engine) == {"success": TASKS}, 200, f"27 successes, not {harm.unended(engine)}"
    )
    assert dict(zhihu.articles()) == {(f"u{number}", f"article {number}"): 1 for number in range(TASKS)}
    assert [one.again for one in zhihu.journal()] == [False] * TASKS
