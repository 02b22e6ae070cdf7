"""Publish work of a real node process: each job in a process of its own, started when there is work, never lost with its worker."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain.publishing import Cookie, Credentials
from backend.store import account_health
from backend.store.cipher import Cipher
from backend.store.tables import Allocation, Node, PublishTask
from tests.building import LIMITS, rows_of
from tests.integration.workers.running import NODE, NodeProcess
from tests.publishing import make_account, make_tasks
from tests.servers import RedisServer, wait_until
from tests.standins.zhihu import ZhihuServer

QUEUE = "node:n:publish"
KEY = "a key for tests only"
ONLY_PUBLISHING = ("-m", "backend.cli.main", "node", "run", "--only-queues", "--node", NODE, "--", QUEUE)
on_mariadb = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)


@dataclass
class Press:
    """A node that only publishes, and the platform."""

    node: NodeProcess
    engine: Engine
    redis: Redis
    zhihu: ZhihuServer

    def submit(self, *users: str) -> list[str]:
        """One article for each user's own account; the ids of their tasks."""
        ids = []
        for user in users:
            self.zhihu.add_account(user, secret=f"z-{user}")
            cookies = (Cookie("z_c0", f"z-{user}"), Cookie("_xsrf", "t"))
            sealed = account_health.sealed(Cipher(KEY), Credentials(cookies))
            account = make_account(self.engine, user, user_id=user, platform="zhihu", credentials=sealed)
            ids += make_tasks(self.engine, account, user=user, platform="zhihu")
        self.place()
        return ids

    def place(self) -> None:
        """What a beat does."""
        pump(self.engine, self.redis, LIMITS)

    def drafts(self) -> int:
        """How many drafts were asked for."""
        return sum(self.zhihu.recognise(call)[0] == "draft" for call in self.zhihu.calls)

    def task(self) -> PublishTask:
        """The only one."""
        task: PublishTask = rows_of(self.engine, PublishTask)[0]
        return task

    def horses(self) -> list[psutil.Process]:
        """The processes of jobs under way: children of workers, which are children of the node process."""
        workers = psutil.Process(self.node.process.pid).children()
        return [horse for worker in workers for horse in worker.children()]

    def wait_states(self, seconds: float = 30, **counts: int) -> None:
        """Until the tasks are in these states; meanwhile they are placed as beats do."""

        def there() -> bool:
            self.place()
            rows = rows_of(self.engine, PublishTask)
            return all(sum(one.state == state for one in rows) == count for state, count in counts.items())

        try:
            wait_until(there, seconds, f"{counts}")
        except TimeoutError as error:
            held = [
                (row.state, row.attempt, row.reason, row.queue) for row in rows_of(self.engine, Allocation)
            ]
            tasks = [(row.state, row.reason, row.attempts) for row in rows_of(self.engine, PublishTask)]
            pytest.fail(f"{error}: {held}\n{tasks}\n{self.node.log[-3000:]}")


@pytest.fixture
def press(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer, redis_client: Redis
) -> Iterator[Press]:
    """Ready, with nothing to do and no worker."""
    with ZhihuServer() as zhihu:
        told = {
            "CASCADE_PUBLISH_HOSTS": zhihu.setting,
            "CASCADE_LEASE_SECONDS": "9",
            "CASCADE_RENEW_SECONDS": "2",
        }
        command = (sys.executable, *ONLY_PUBLISHING)
        with NodeProcess(tmp_path / "var", migrated_url, redis_server.url, command=command, **told) as node:
            wait_until(lambda: any(row.publishers for row in rows_of(engine, Node)), 30, "the beat")
            yield Press(node, engine, redis_client, zhihu)


@on_mariadb
def test_workers_come_with_the_work_and_what_a_killed_one_submitted_is_only_asked_for(press: Press) -> None:
    [node] = [row for row in rows_of(press.engine, Node) if row.slug == "n"]
    assert {"zhihu", "webhook"} <= set(node.publishers or ())
    assert node.workers_alive == 4
    # The presence, and nobody who waits for work.
    assert len(psutil.Process(press.node.process.pid).children()) == 1
    press.zhihu.tell("slow", call="publish", seconds=1.0)
    press.submit("ana")
    assert press.zhihu.wait_for_call("publish")
    [horse] = press.horses()
    [held] = [row for row in rows_of(press.engine, Allocation) if row.state == "executing"]
    press.zhihu.wait_for(1)
    os.kill(horse.pid, signal.SIGKILL)
    # Long before its lease is over.
    wait_until(lambda: press.task().attempts == 2, 6, f"the confirmation\n{press.node.log[-2000:]}")
    press.wait_states(success=1)
    assert [one.again for one in press.zhihu.journal()] == [False]
    assert "signal 9" in press.node.log
    assert held.worker not in {row.worker for row in rows_of(press.engine, Allocation) if row.attempt == 2}


@on_mariadb
def test_the_job_ends_with_its_worker_and_one_that_stands_still_is_killed(press: Press) -> None:
    press.zhihu.tell("slow", call="draft", seconds=60.0, times=2)
    press.submit("ana", "bea")
    wait_until(lambda: press.drafts() == 2, 30, f"the drafts of both\n{press.node.log[-2000:]}")
    first, second = press.horses()
    os.kill(psutil.Process(first.pid).ppid(), signal.SIGKILL)
    os.kill(second.pid, signal.SIGSTOP)
    wait_until(lambda: not first.is_running(), 5, "the end of the job with its worker")
    press.wait_states(success=2)
    assert not second.is_running()
    assert "and with it the process that did the work" in press.node.log
    assert "no sign of life for 6 s, and was killed" in press.node.log
    assert {row.attempts for row in rows_of(press.engine, PublishTask)} == {2}


@on_mariadb
def test_publishing_goes_on_while_redis_is_away_and_a_stop_ends_it_well(
    press: Press, redis_server: RedisServer
) -> None:
    redis_server.kill()
    press.submit("ana", "bea")
    press.wait_states(success=2)
    redis_server.start()
    press.zhihu.tell("slow", call="publish", seconds=1.0)
    [last] = press.submit("eva")
    assert press.zhihu.wait_for_call("publish")
    wait_until(lambda: press.horses() != [], 30, "the job")
    press.node.process.send_signal(signal.SIGTERM)
    assert press.node.process.wait(15) == 0
    states = {row.id: row.state for row in rows_of(press.engine, PublishTask)}
    # Either it was settled before the process ended, or it stood before its submission and was handed back.
    assert states[last] in {"success", "pending"}
    assert len({one.article_id for one in press.zhihu.journal()}) == len(press.zhihu.journal())
    assert press.node.family() == []
