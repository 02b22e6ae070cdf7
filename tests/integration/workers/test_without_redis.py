"""A node without Redis: it says so after a while, stops in time, and keeps its workers in RQ's registers."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.broker import connect
from backend.store import alerts
from backend.store.session import read
from backend.workers.redis_watch import LONG_SECONDS, RedisWatch
from tests.integration.workers.running import NodeProcess, plan, wait_items
from tests.servers import RedisServer, wait_until
from tests.standins.feeds import FeedServer

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


def test_a_node_that_is_without_redis_for_long_says_so_until_it_is_back(
    engine: Engine, redis_server: RedisServer
) -> None:
    now = [0.0]
    client = connect(redis_server.url, retries=0, answer_seconds=1.0)
    watch = RedisWatch(engine, client, "n", "North", clock=lambda: now[0])

    def told() -> list[str]:
        return [
            one.sentence("en") for one in read(engine, lambda s: alerts.list_alerts(s, only_open=True))[0]
        ]

    watch.look()
    redis_server.stop()
    watch.look()
    now[0] = LONG_SECONDS - 1
    watch.look()
    assert told() == []
    now[0] = LONG_SECONDS + 1
    watch.look()
    watch.look()
    [sentence] = told()
    assert "North" in sentence
    assert "refused" in sentence
    redis_server.start()
    watch.look()
    assert told() == []
    client.close()


def test_it_stops_in_time_with_a_frozen_redis_and_work_from_the_database(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer
) -> None:
    with (
        FeedServer(4, broken=0) as server,
        NodeProcess(tmp_path / "var", migrated_url, redis_server.url) as node,
    ):
        node.wait_workers(2)
        with redis_server.frozen():
            plan(engine, None, server)
            wait_items(engine, "done", 4)
            assert node.stop() == 0
        assert "is killed" not in node.log
        assert "Traceback" not in node.log


@pytest.mark.soak
def test_a_worker_that_redis_forgot_while_it_works_registers_again_before_it_has_ended(
    tmp_path: Path, migrated_url: str, engine: Engine, redis_server: RedisServer, redis_client: Redis
) -> None:
    with (
        FeedServer(1, broken=0, delay=18.0) as server,
        NodeProcess(tmp_path / "var", migrated_url, redis_server.url) as node,
    ):
        before = node.wait_workers(2)
        plan(engine, redis_client, server)
        wait_until(lambda: len(server.journal()) > 0, 30, "the work")
        redis_client.flushall()
        assert node.wait_workers(2) == before
        with redis_client.pipeline() as pipeline:
            for key in redis_client.scan_iter("rq:worker:*.*"):
                pipeline.sismember("rq:workers", key)
                pipeline.hexists(key, "birth")
            assert pipeline.execute() == [True] * 4
