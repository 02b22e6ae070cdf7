"""A Redis that misbehaves in the middle of a run: callers are answered, work ends from the database, nobody dies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from backend.store.session import read
from backend.store.tables import Allocation, WorkItem
from tests.e2e.job import with_feeds
from tests.e2e.system import PASSWORD, System, Visitor
from tests.redis_faults import FAULTS, FaultyRedis
from tests.servers import wait_until
from tests.standins.feeds import FeedServer
from tests.standins.receivers import ReceiverServer

# What differs to the system as a whole; the others differ to the client only (tests/integration/test_redis_faults.py).
SUITE = ("full", "frozen", "read_only", "restarted_empty")
ANSWER_SECONDS = 12.0
LINES = 60


@dataclass
class Scene:
    """A running system over a Redis that can be broken, with two tasks over feeds of their own."""

    system: System
    redis: FaultyRedis
    visitor: Visitor
    node: dict[str, str]
    feeds: FeedServer
    tasks: list[str]
    receiver: ReceiverServer

    def dispatch(self, number: int) -> str:
        """Dispatch a task over HTTP; its run's id. Redis is a hint only, so this succeeds."""
        report = self.timed("POST", "/api/v1/cascade/dispatch-task", params={"task_id": self.tasks[number]})
        return str(report["data"]["tasks"][0]["run_id"])

    def timed(self, method: str, path: str, *, expect: int = 200, **told: Any) -> Mapping[str, Any]:
        """A request that is answered as expected, within bounds."""
        begun = time.monotonic()
        answer = self.visitor.answer(method, path, expect=expect, **told)
        assert time.monotonic() - begun < ANSWER_SECONDS, f"{method} {path}"
        return answer

    def states(self, run_id: str) -> Counter[str]:
        """How many items of the run are in each state."""
        query = select(WorkItem.state).where(WorkItem.run_id == run_id)
        return Counter(read(self.system.engine(), lambda session: list(session.scalars(query))))

    def wait_done(self, run_id: str, seconds: float) -> None:
        """Until every item of the run is done."""
        wait_until(lambda: set(self.states(run_id)) == {"done"}, seconds, f"the end of {run_id}")

    def processes(self) -> set[psutil.Process]:
        """Everybody that serves: parents, beat, node processes, workers, presences."""
        return set(self.system.processes())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The whole system on SQLite; three node processes, as `up` starts them."""
    folder = tmp_path_factory.mktemp("faulty")
    with (
        FaultyRedis(folder / "redis") as redis,
        with_feeds(16, broken=0, articles=2) as feeds,
        ReceiverServer() as receiver,
        System(folder / "var", REDIS_URL=redis.url) as system,
        Visitor(system.url) as visitor,
    ):
        visitor.log_in()
        yield Scene(
            system, redis, visitor, _remote_node(visitor), feeds, _tasks(visitor, feeds, receiver), receiver
        )


def _remote_node(visitor: Visitor) -> dict[str, str]:
    made = visitor.ask("POST", "/api/v1/cascade/nodes", json={"node_type": 1, "name": "far"})
    keys = visitor.ask("POST", f"/api/v1/cascade/nodes/{made['id']}/credentials")
    return {"Authorization": f"AK-SK {keys['api_key']}:{keys['api_secret']}"}


def _tasks(visitor: Visitor, feeds: FeedServer, receiver: ReceiverServer) -> list[str]:
    ids = [
        visitor.ask(
            "POST", "/api/v1/feeds", json={"kind": "rss", "name": f"F{one}", "url": feeds.feed_url(one)}
        )["id"]
        for one in feeds.feeds
    ]
    return [
        visitor.ask(
            "POST",
            "/api/v1/message-tasks",
            json={"name": half[0], "feed_ids": half, "message_type": 1, "web_hook_url": receiver.url()},
        )["id"]
        for half in (ids[:8], ids[8:])
    ]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name", [one if one in SUITE else pytest.param(one, marks=pytest.mark.soak) for one in FAULTS]
)
def test_callers_are_answered_work_ends_and_nobody_dies(scene: Scene, name: str) -> None:
    fault, job = FAULTS[name], scene.feeds
    scene.redis.lead_back()
    wait_until(lambda: scene.system.get("/readyz")[0] == 200, 60, "readiness")
    before, said, seen = scene.processes(), len(scene.system.log), len(job.journal())
    for number in job.feeds:
        job.add_article(number)
        job.set_delay(1.0, number)
    first = scene.dispatch(0)
    wait_until(lambda: _executing(scene) > 0, 30, "the begin of the run")
    with fault.make(scene.redis):
        second = scene.dispatch(1)
        scene.timed("POST", "/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
        scene.timed("POST", "/api/v1/cascade/claim-task", json={}, headers=scene.node)
        if fault.code:
            assert "redis" in str(scene.timed("GET", "/readyz", expect=503)["message"])
        # While the fault lasts: the database is enough.
        scene.wait_done(first, 60)
        scene.wait_done(second, 60)
    scene.wait_done(scene.dispatch(0), 30)
    wait_until(lambda: scene.system.get("/readyz")[0] == 200, 30, "readiness")
    news = scene.system.log[said:]
    assert before - scene.processes() == set(), news[-3000:]
    assert "Traceback" not in news
    assert len(news.splitlines()) < LINES, news[-6000:]
    visits = Counter(one.path.rpartition("/")[2] for one in job.journal()[seen:] if one.status in {200, 304})
    assert sorted(visits.values()) == [1] * 8 + [2] * 8, visits
    articles = sum(job.expected_articles().values())
    wait_until(lambda: len(scene.receiver.articles_seen()) == articles, 30, "every article's delivery")
    assert set(scene.receiver.articles_seen().values()) == {1}


def _executing(scene: Scene) -> int:
    query = select(func.count()).select_from(Allocation).where(Allocation.state == "executing")
    return read(scene.system.engine(), lambda session: session.scalar(query) or 0)
