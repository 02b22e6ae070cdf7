"""A pass of the sweeper: it mends everything, changes nothing in a dry run, and any number may be made at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from sqlalchemy import Engine, select

from backend.cli.main import cascade
from backend.dispatch import queues
from backend.dispatch.broker import connect
from backend.dispatch.pump import pump
from backend.dispatch.sweeper import lines_of, sweep_once
from backend.dispatch.sweeping import Pass, Sweeper
from backend.domain.identifiers import new_id
from backend.store import nodes
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, Base, History, Node, Run, WorkItem
from tests import building
from tests.building import LIMITS, World, outcome_of, row_of, rows_of
from tests.servers import MariaDb, RedisServer, wait_until


def sweeper_of(engine: Engine, redis: Redis | None) -> Sweeper:
    """A sweeper that finds at once what Redis has lost."""
    made = Sweeper(engine, redis, delivery_attempts=6, work_seconds=120.0)
    made.finder.seconds = -1
    return made


def mended(made: Pass) -> dict[str, int]:
    """By repair, how much was changed."""
    return {one.name.removeprefix("sweep_"): one.mended for one in made.findings if one.mended}


def end_a_run(engine: Engine) -> None:
    """A run whose one item has ended, and that nobody closed."""
    feeds = building.make_feeds(engine, 1, "ended.example")
    run_id = building.start_run(engine, building.make_task(engine, feeds))
    (item,) = [one for one in building.items_of(engine) if one.run_id == run_id]
    building.change(engine, WorkItem, item.id, state="done")


def break_everything(engine: Engine) -> World:
    """Eight feeds: some work is lost with its worker, some waits for a node that is gone, some in a queue that Redis lost."""
    world = building.make_world(engine, 8, capacity=19)
    lost, failed = (world.ledger.begin(one, 1, new_id()) for one in building.allocation_ids(engine)[:2])
    assert lost is not None
    assert failed is not None
    world.ledger.settle(outcome_of(failed, building.BROKEN))
    building.change(engine, WorkItem, failed.feeds[0].item_id, not_before=now(-1))
    building.change(engine, Allocation, lost.allocation_id, alone=True)
    building.expire(engine, lost.allocation_id)
    gone = building.make_node(engine, "gone", presence_at=now(-181))
    stranded = building.allocation_ids(engine)[0]
    building.change(engine, Allocation, stranded, node_id=gone, queue="node:gone")
    end_a_run(engine)
    return world


EVERYTHING = {"turned": 1, "expired": 1, "gone": 1, "due_items": 1, "runs": 1, "lost": 5}


def everything(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in Base.metadata.sorted_tables
        }


def test_a_pass_mends_everything_and_the_next_one_finds_nothing(engine: Engine, redis_client: Redis) -> None:
    break_everything(engine)
    sweeper = sweeper_of(engine, redis_client)
    assert sweeper.look_ahead()
    made = sweeper.sweep()
    assert (mended(made), made.complete) == (EVERYTHING, True)
    assert queues.length(redis_client, "node:n") == 5
    assert building.counted(engine, WorkItem) == {"assigned": 5, "waiting": 3, "done": 1}
    assert redis_client.exists(queues.WAKE_KEY)
    assert sweeper.sweep().found == []
    pump(engine, redis_client, LIMITS)
    assert building.counted(engine, WorkItem) == {"assigned": 8, "done": 1}


def test_a_dry_run_says_the_same_and_changes_no_row_and_no_key(engine: Engine, redis_client: Redis) -> None:
    break_everything(engine)
    redis_client.rpush("rq:queue:node:n", queues.job_id("01000000-0000-7000-8000-000000000001", 1))
    redis_client.sadd("rq:queues", "rq:queue:node:n", "rq:queue:node:deleted")
    redis_client.sadd("rq:workers", "rq:worker:dead")
    before = everything(engine), sorted(redis_client.scan_iter())
    sweeper = sweeper_of(engine, redis_client)
    sweeper.look_ahead()
    made = sweeper.sweep(dry=True)
    assert mended(made) == {}
    found = {one.name.removeprefix("sweep_"): one.found for one in made.found}
    assert found == EVERYTHING | {"unwanted": 1, "deserted": 1, "ghosts": 1}
    assert (everything(engine), sorted(redis_client.scan_iter())) == before
    assert "allocations whose lease is over: recovered: 1 found; nothing was changed" in lines_of(made, "en")


def test_passes_at_the_same_moment_do_everything_once(engine: Engine, redis_client: Redis) -> None:
    break_everything(engine)
    sweepers = [sweeper_of(engine, redis_client) for _ in range(3)]
    for one in sweepers:
        one.look_ahead()
    made = building.together(*[one.sweep for one in sweepers])
    assert all(one.complete for one in made)
    for name in ("turned", "expired", "gone", "due_items", "runs"):
        assert sum(mended(one).get(name, 0) for one in made) == 1, name
    assert building.counted(engine, WorkItem) == {"assigned": 5, "waiting": 3, "done": 1}
    assert sum(item.deaths for item in building.items_of(engine)) == 1
    ended = [row for row in rows_of(engine, History) if row.to_state in {"failed", "cancelled"}]
    assert len(ended) == len({row.subject_id for row in ended}) == 2
    # Enqueued twice is harmless: begun once.
    assert len(set(queues.waiting_jobs(redis_client, "node:n"))) == 5


def test_a_row_that_one_repair_can_t_digest_does_not_stop_the_others(
    engine: Engine, redis_client: Redis
) -> None:
    break_everything(engine)
    building.change(engine, Node, feed_quota={"feed": "many"})
    made = sweeper_of(engine, redis_client).sweep()
    assert set(made.broken) == {"sweep_gone", "sweep_lost"}
    assert not made.complete
    assert mended(made) == {name: EVERYTHING[name] for name in ("turned", "expired", "due_items", "runs")}


def test_without_redis_the_rest_is_mended_and_the_pass_says_so(
    engine: Engine, redis_server: RedisServer
) -> None:
    break_everything(engine)
    redis_server.stop()
    with connect(redis_server.url, retries=0, answer_seconds=2) as away:
        made = sweeper_of(engine, away).sweep()
    assert (made.away, made.complete) == (["redis"], False)
    assert mended(made) == {name: count for name, count in EVERYTHING.items() if name != "lost"}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_without_its_database_a_pass_ends_and_the_next_one_mends(engine: Engine, mariadb: MariaDb) -> None:
    break_everything(engine)
    sweeper = sweeper_of(engine, None)
    mariadb.stop()
    made = sweeper.sweep()
    assert (made.away, made.findings) == (["database"], [])
    mariadb.start()
    assert mended(sweeper.sweep())["expired"] == 1


def test_a_single_pass_looks_twice_for_what_redis_lost(engine: Engine, redis_client: Redis) -> None:
    """As cron calls it: nothing is remembered from the pass before."""
    building.make_world(engine, 3, capacity=9)
    stop = FakeStop()
    made = sweep_once(sweeper_of(engine, redis_client), stop, dry=False)  # type: ignore[arg-type]
    assert mended(made) == {"lost": 3}
    assert stop.waited == [3.0]


class FakeStop:
    """Notes how long it was waited for instead of waiting."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def wait(self, seconds: float) -> bool:
        """Do not wait."""
        self.waited.append(seconds)
        return False


# --- nodes


def turns(engine: Engine) -> list[tuple[str, str, str]]:
    return [
        (row.from_state, row.to_state, row.reason) for row in rows_of(engine, History) if row.noun == "node"
    ]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"presence_at": now(-181)}, "silent for 180 s"),
        ({"presence_at": None}, "it signed off"),
        ({"is_active": False}, "it was switched off"),
    ],
)
def test_a_node_that_goes_offline_is_stored_and_its_history_says_why(
    engine: Engine, values: dict[str, Any], why: str
) -> None:
    node_id = building.make_node(engine)
    sweeper = sweeper_of(engine, None)
    assert "turned" not in mended(sweeper.sweep())
    building.change(engine, Node, **values)
    assert [mended(sweeper.sweep()).get("turned", 0) for _ in range(2)] == [1, 0]
    node = row_of(engine, Node, node_id)
    assert node.offline_at is not None
    assert node.workers_alive == int("is_active" in values)
    building.change(engine, Node, is_active=True)
    transact(engine, lambda one: nodes.beat(one, node_id, "i", workers_alive=1, version="test"))
    assert [mended(sweeper.sweep()).get("turned", 0) for _ in range(2)] == [1, 0]
    assert row_of(engine, Node, node_id).offline_at is None
    assert turns(engine) == [("online", "offline", why), ("offline", "online", "it beats again")]


def test_a_node_that_never_beat_did_not_go_offline(engine: Engine) -> None:
    transact(engine, lambda one: nodes.create_node(one, name="new", transport="remote"))
    assert sweeper_of(engine, None).sweep().found == []


def test_work_of_a_node_that_beats_without_a_living_worker_is_planned_again_after_a_minute(
    engine: Engine,
) -> None:
    world = building.make_world(engine, 2, capacity=19)
    other = building.make_node(engine, "other", capacity=40)
    sweeper = sweeper_of(engine, None)

    def beat(alive: int) -> None:
        transact(engine, lambda one: nodes.beat(one, world.node_id, "i", workers_alive=alive, version="t"))

    beat(0)
    assert "gone" not in mended(sweeper.sweep())
    building.change(engine, Node, world.node_id, workerless_at=now(-59))
    beat(0)
    assert "gone" not in mended(sweeper.sweep())
    building.change(engine, Node, world.node_id, workerless_at=now(-61))
    beat(0)
    assert mended(sweeper.sweep())["gone"] == 2
    pump(engine, None, LIMITS)
    assert {item.node_id for item in building.items_of(engine)} == {other}
    beat(1)
    assert row_of(engine, Node, world.node_id).workerless_at is None


def test_replanning_changes_a_bounded_number_of_items_in_each_transaction(engine: Engine) -> None:
    world = building.make_world(engine, 12, capacity=19)
    building.change(engine, Node, world.node_id, presence_at=None)
    building.change(engine, Allocation, item_count=150)
    made = sweeper_of(engine, None).sweep()
    assert mended(made)["gone"] == 12
    assert building.counted(engine, WorkItem) == {"waiting": 12}


# --- the processes


@pytest.fixture
def environment(migrated_url: str, redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """What a sweeper process is told."""
    return {
        **os.environ,
        "DATABASE_URL": migrated_url,
        "REDIS_URL": redis_server.url,
        "CASCADE_DATA_DIR": str(tmp_path / "data"),
        "LANG": "C",
    }


def start(environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "backend.dispatch.sweeper", *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_the_process_sweeps_until_sigterm_and_outlives_its_servers(
    engine: Engine, environment: dict[str, str], mariadb: MariaDb, redis_server: RedisServer
) -> None:
    world = building.make_world(engine)
    process = start(environment, "--interval", "0.2", "--json")
    stdout = process.stdout
    assert stdout is not None

    def until(seen: Callable[[dict[str, Any]], bool]) -> None:
        wait_until(lambda: seen(json.loads(stdout.readline())), 60, "that pass")

    try:
        until(lambda made: bool(made["complete"]))
        redis_server.stop()
        until(lambda made: made["away"] == ["redis"])
        redis_server.start()
        mariadb.stop()
        until(lambda made: "database" in made["away"])
        mariadb.start()
        building.change(engine, Node, world.node_id, presence_at=None)
        until(lambda made: any(one["name"] == "sweep_gone" and one["mended"] for one in made["findings"]))
        until(lambda made: bool(made["complete"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_single_pass_ends_0_an_incomplete_one_1_and_a_wrong_option_2(
    engine: Engine, environment: dict[str, str], redis_server: RedisServer
) -> None:
    end_a_run(engine)
    process = start(environment, "--once")
    told, _ = process.communicate(timeout=60)
    assert "runs whose items have all ended: closed: 1 found, 1 mended" in told
    assert (process.returncode, row_of(engine, Run).state) == (0, "completed")
    redis_server.stop()
    for options, code in ((("--once",), 1), (("--interval", "0"), 2)):
        process = start(environment, *options)
        process.communicate(timeout=60)
        assert process.returncode == code


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_command_does_the_same_and_makes_no_database_of_its_own(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    end_a_run(engine)
    runner = CliRunner(env=environment)
    done = runner.invoke(cascade, ["sweep", "--once", "--dry-run", "--json"], prog_name="cascade")
    assert done.exit_code == 0, done.output
    findings = {one["name"]: one["found"] for one in json.loads(done.stdout)["findings"]}
    assert (findings["sweep_runs"], row_of(engine, Run).state) == (1, "running")
    empty = tmp_path / "empty"
    done = runner.invoke(cascade, ["sweep", "--once", "--data-dir", str(empty)], env={"DATABASE_URL": None})
    assert done.exit_code == 2
    assert not empty.exists()
