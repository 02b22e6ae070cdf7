"""Queue names are explicit: wildcards are refused wherever one can be named, and what is enqueued is served."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import Engine

import config
from backend.dispatch import queues
from backend.dispatch.pump import pump
from backend.domain.errors import CascadeError, InvalidInput
from backend.store import nodes
from backend.store.session import read
from backend.store.tables import Allocation
from backend.workers.attached import Attached
from tests import building
from tests.building import LIMITS, rows_of
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]
EXISTING = ["default", "node:node-1", "node:node-2"]
WILDCARDS = ["*", "node:*", "user:*", "node:node-?", "node:[ab]", "default*"]


@pytest.mark.parametrize("name", WILDCARDS)
def test_a_wildcard_is_refused_with_what_to_write_instead(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        queues.check_queue_name(name, EXISTING)
    assert refused.value.code == "wildcard_queue"
    assert "default node:node-1 node:node-2" in str(refused.value)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize(
    "name", ["user:1", "user:5", "node:node-3", "node:node-1:publish", "high", "", "a b", "队列"]
)
def test_a_name_that_nothing_enqueues_to_is_refused_with_the_queues_that_exist(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        queues.check_queue_name(name, EXISTING)
    assert refused.value.code in {"unknown_queue", "bad_queue_name"}
    assert refused.value.code != "unknown_queue" or "default, node:node-1, node:node-2" in str(refused.value)


@given(st.text(max_size=30))
def test_only_existing_names_are_ever_accepted(name: str) -> None:
    try:
        assert queues.check_queue_name(name, EXISTING) in EXISTING
    except InvalidInput:
        assert name not in EXISTING


@dataclass(frozen=True)
class Machine:
    """A data directory with a migrated database, a Redis, and two attached nodes."""

    settings: config.Settings
    engine: Engine
    environment: dict[str, str]


@pytest.fixture
def machine(
    tmp_path: Path, engine: Engine, migrated_url: str, redis_server: RedisServer
) -> Iterator[Machine]:
    environment = {
        "CASCADE_DATA_DIR": str(tmp_path),
        "DATABASE_URL": migrated_url,
        "REDIS_URL": redis_server.url,
        "CASCADE_SECRET_KEY": "a key for tests only",
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
    }
    for name in ("node-1", "node-2"):
        building.make_node(engine, name)
    building.make_node(engine, "far", transport="remote")
    yield Machine(config.load(environment, data_dir=tmp_path), engine, environment)


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("command", ["start_workers.sh", "cascade node run"])
def test_the_start_scripts_refuse_a_wildcard(machine: Machine, command: str) -> None:
    commands = {
        "start_workers.sh": ["/bin/sh", str(ROOT / "start_workers.sh"), "node:*"],
        "cascade node run": [sys.executable, "-m", "backend.cli.main", "node", "run", "node-1", "*"],
    }
    done = subprocess.run(
        commands[command],
        env=machine.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert "RQ does not serve wildcards" in said
    assert "Traceback" not in said


@on_sqlite
@pytest.mark.parametrize("names", [["*"], ["node:node-1", "node:*"], ["user:1"], ["node:far"]])
def test_the_node_process_itself_refuses_what_nothing_enqueues_to(machine: Machine, names: list[str]) -> None:
    with pytest.raises(CascadeError) as refused:
        Attached(machine.settings, "node-1", names).look_around()
    assert refused.value.code in {"wildcard_queue", "unknown_queue"}
    assert "node:node-1" in str(refused.value)
    assert "node:node-2" in str(refused.value)


@on_sqlite
def test_a_node_serves_its_own_queues_and_no_other_nodes(machine: Machine) -> None:
    own = ("node:node-1", "node:node-1:publish")
    assert Attached(machine.settings, "node-1", []).look_around().queues == own
    assert Attached(machine.settings, "node-1", own[1:]).look_around().queues == own[1:]
    unpublishing = replace(machine.settings, publish_workers=0)
    assert Attached(unpublishing, "node-1", []).look_around().queues == own[:1]
    assert Attached(machine.settings, None, []).look_around().queues == ("default",)
    for foreign in ("node:node-2", "node:node-2:publish", "default"):
        with pytest.raises(CascadeError) as refused:
            Attached(machine.settings, "node-1", [foreign]).look_around()
        assert "node:node-1:publish" in str(refused.value)


@on_sqlite
def test_every_queue_that_something_enqueues_to_is_served_by_a_default_start(
    machine: Machine, redis_client: Redis
) -> None:
    """`up` and start_workers.sh start each attached node without naming a queue, and the parent's own workers."""
    building.make_node(machine.engine, "北京")
    task_id = building.make_task(machine.engine, building.make_feeds(machine.engine, 6))
    building.dispatch(machine.engine, task_id, redis_client)
    for row in rows_of(machine.engine, Allocation)[:2]:
        ledger = building.ledger_for(machine.engine, row.node_id)
        order = ledger.begin(row.id, 1, row.id)
        assert order is not None
        ledger.settle(building.outcome_of(order))
    pump(machine.engine, redis_client, LIMITS)
    enqueued = {row.queue for row in rows_of(machine.engine, Allocation)} - {"node:far"}
    attached = [
        view.name
        for view in read(machine.engine, nodes.list_nodes)
        if view.transport == "attached" and view.node_type == 1
    ]
    served = {
        queue
        for name in [None, *attached]
        for queue in Attached(machine.settings, name, []).look_around().queues
    }
    assert {"default", "node:node-1", "node:node-2"} <= enqueued <= served
    assert served == set(queues.existing_queues(read(machine.engine, nodes.all_slugs)))
    # A remote node claims its work by HTTPS: it has no queue in the parent's Redis.
    keys = [key for key in redis_client.keys("rq:queue:*") if isinstance(key, bytes)]
    in_redis = {key.decode().removeprefix("rq:queue:") for key in keys}
    assert in_redis == enqueued


def test_no_other_module_makes_up_queue_names_or_enqueues() -> None:
    """Names come from `dispatch.queues`; the store may show them, and nobody else builds an RQ queue."""
    found = set()
    for path in sorted((ROOT / "backend").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {
                "enqueue",
                "enqueue_call",
                "Queue",
            }:
                found.add(path.relative_to(ROOT / "backend").as_posix())
    assert found <= {"dispatch/queues.py", "workers/worker.py"}
