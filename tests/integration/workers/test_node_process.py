"""The node process with real workers, Redis and databases: starts, deaths, wipes, stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.bootstrap import SOURCES
from backend.store.session import create_engine_for
from backend.store.tables import Allocation, Article
from tests.building import counted, rows_of
from tests.databases import MariaDbTemplate
from tests.integration.workers.running import NodeProcess, item_states, node_row, plan, wait_items
from tests.servers import MariaDb, RedisServer, free_port, wait_until
from tests.standins.feeds import FeedServer

BAD_STARTS = {
    "redis": ("redis_url=f'redis://:hidden-word@127.0.0.1:{port}/0'", "Redis"),
    "database": ("database_url=f'mysql+pymysql://u:hidden-word@127.0.0.1:{port}/d'", "database"),
    "schema": ("database_url=f'sqlite:///{folder}/empty.db'", "db upgrade"),
    "queue": ("", "serves node:n"),
}


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def node(tmp_path: Path, migrated_url: str, redis_server: RedisServer) -> NodeProcess:
    """A node process that has not started yet."""
    return NodeProcess(tmp_path / "var", migrated_url, redis_server.url)


def test_it_serves_with_its_workers_beats_and_signs_off(node: NodeProcess, engine: Engine) -> None:
    with node:
        node.wait_workers(2)
        wait_until(lambda: node_row(engine).workers_alive == 2, 20, "a beat that counts both workers")
        assert node_row(engine).presence_at is not None
        assert node_row(engine).sources == sorted(entry.name for entry in entry_points(group=SOURCES))
        assert node.stop() == 0
    assert (node_row(engine).presence_at, node_row(engine).workers_alive) == (None, 0)


def test_it_does_the_work_of_its_queue(node: NodeProcess, engine: Engine, redis_client: Redis) -> None:
    with FeedServer(12, broken=0) as server, node:
        node.wait_workers(2)
        plan(engine, redis_client, server, capacity=20)
        wait_items(engine, "done", 12)
        assert len(rows_of(engine, Article)) == sum(server.expected_articles().values())
        assert set(counted(engine, Allocation)) == {"completed"}
        assert node.stop() == 0


@on_sqlite
def test_a_killed_worker_is_replaced_and_counted(node: NodeProcess, engine: Engine) -> None:
    with node:
        victim, other = node.wait_workers(2)
        os.kill(victim, signal.SIGKILL)
        assert other in node.wait_workers(2, without=[victim])
        wait_until(lambda: node_row(engine).workers_alive == 2, 20, "a beat that counts both workers")
        assert "signal 9" in node.log
        assert node.stop() == 0


@on_sqlite
def test_a_killed_node_process_takes_everybody_along(node: NodeProcess) -> None:
    with node:
        node.wait_workers(2)
        node.process.kill()
        node.process.wait()
        wait_until(lambda: node.family() == [], 10, "the end of workers and presence")


@on_sqlite
def test_workers_that_redis_forgot_register_again_and_go_on(
    node: NodeProcess, engine: Engine, redis_client: Redis
) -> None:
    with FeedServer(4, broken=0) as server, node:
        node.wait_workers(2)
        redis_client.flushall()
        plan(engine, redis_client, server)
        wait_items(engine, "done", 4)
        node.wait_workers(2)
        assert node.stop() == 0


@on_sqlite
def test_work_continues_after_redis_was_restarted(
    node: NodeProcess, engine: Engine, redis_server: RedisServer
) -> None:
    with FeedServer(4, broken=0) as server, node:
        before = node.wait_workers(2)
        redis_server.kill()
        redis_server.start()
        with redis_server.client() as redis:
            plan(engine, redis, server)
        wait_items(engine, "done", 4)
        assert node.wait_workers(2) == before
        assert node.stop() == 0


@on_sqlite
def test_it_stops_in_time_without_redis(node: NodeProcess, redis_server: RedisServer) -> None:
    with node:
        node.wait_workers(2)
        redis_server.kill()
        assert node.stop() == 0
    assert "is killed" not in node.log
    assert "Traceback" not in node.log


def test_a_warm_stop_settles_what_ends_in_time_and_hands_the_rest_back(
    node: NodeProcess, engine: Engine, redis_client: Redis
) -> None:
    node.environment["CASCADE_STOP_SECONDS"] = "5"
    with FeedServer(2, broken=0) as server, node:
        server.set_delay(0.5, 0)
        server.set_delay(60, 1)
        node.wait_workers(2)
        plan(engine, redis_client, server)
        wait_until(lambda: counted(engine, Allocation).get("executing") == 2, 20, "the begin of both")
        assert node.stop() == 0
    assert item_states(engine) == {"/0": "done", "/1": "waiting"}
    assert counted(engine, Allocation) == {"completed": 1, "cancelled": 1}
    assert "is killed" not in node.log


@pytest.mark.parametrize("backend", ["mariadb"])
def test_results_that_the_database_can_t_take_wait_in_the_outbox_and_are_settled_later(
    node: NodeProcess, engine: Engine, redis_client: Redis, mariadb: MariaDb
) -> None:
    outbox = node.data_dir / "outbox"
    with FeedServer(3, broken=0, delay=2.0) as server, node:
        node.wait_workers(2)
        plan(engine, redis_client, server)
        wait_until(lambda: counted(engine, Allocation).get("executing") == 3, 20, "the begin")
        mariadb.kill()
        wait_until(lambda: len(list(outbox.rglob("*.outcome"))) == 3, 40, "three entries in the outbox")
        mariadb.start()
        engine.dispose()
        wait_items(engine, "done", 3)
        wait_until(lambda: list(outbox.rglob("*.outcome")) == [], 10, "an empty outbox")
        assert node.stop() == 0
    assert set(counted(engine, Allocation)) == {"completed"}
    assert len(rows_of(engine, Article)) == sum(server.expected_articles().values())


@pytest.mark.parametrize("trouble", BAD_STARTS)
@on_sqlite
def test_it_refuses_to_start_with_one_sentence(node: NodeProcess, trouble: str, tmp_path: Path) -> None:
    names = "['default']" if trouble == "queue" else "[]"
    program = (
        "import dataclasses, sys\n"
        "from backend import bootstrap\nfrom backend.workers import node\nfrom backend.workers.attached import Attached\n"
        f"folder, port = {str(tmp_path)!r}, {free_port()}\n"
        f"settings = dataclasses.replace(bootstrap.load_settings(), {BAD_STARTS[trouble][0]})\n"
        f"sys.exit(node.main(Attached(settings, 'n', {names}), 1, settings))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "hidden-word" not in done.stderr
    assert BAD_STARTS[trouble][1] in done.stderr


def test_each_database_connection_uses_one_tls_context(mariadb_template: MariaDbTemplate) -> None:
    engine = create_engine_for(mariadb_template.server.url(mariadb_template.name), pooled=False)
    with engine.connect() as one, engine.connect() as two:
        contexts = [connection.connection.dbapi_connection.ctx for connection in (one, two)]  # type: ignore[union-attr]
    assert contexts[0] is contexts[1]
