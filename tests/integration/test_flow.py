"""Canaries go through a queue's real worker and its ledger; late and repeated ones change nothing; no more than one waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

import config
from backend import bootstrap, bootstrap_parent
from backend.dispatch import queues
from backend.dispatch.broker import connect
from backend.dispatch.health import readiness
from backend.dispatch.queue_repairs import Tidier
from backend.dispatch.watching import Watching
from backend.domain.alarms import Thresholds
from backend.store import flow, nodes, recovery
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.session import read, transact
from backend.store.tables import Allocation, Node, QueueHealth, Watch
from backend.workers.flow_mark import FlowMark
from backend.workers.run import canary, use_lane
from tests import building
from tests.building import change, rows_of
from tests.integration.test_alarms import only, open_rules, watching_of
from tests.servers import RedisServer

QUEUE = "node:n"
STOPPED = only("alert_queue_stopped")


@pytest.fixture
def node_id(engine: Engine) -> Iterator[str]:
    """A node of which this process serves the canaries."""
    node_id = building.make_node(engine)
    use_lane(None, building.ledger_for(engine, node_id).prove)
    yield node_id
    use_lane(None)


@pytest.fixture
def watching(engine: Engine, tmp_path: Path, redis_client: Redis, node_id: str) -> Watching:
    """What sends canaries; the node is there."""
    assert node_id
    return watching_of(engine, tmp_path, redis_client, thresholds=STOPPED)


def serve(redis: Redis) -> None:
    """RQ's worker takes what is in the queue."""
    SimpleWorker([queues.queue(redis, QUEUE)], connection=redis, serializer=JSONSerializer).work(burst=True)


def health(engine: Engine) -> QueueHealth:
    found: QueueHealth = next(one for one in rows_of(engine, QueueHealth) if one.queue == QUEUE)
    return found


def watched_long(engine: Engine) -> None:
    """Somebody has watched for hours."""
    transact(engine, lambda session: insert_missing(session, Watch, [{"id": 1}]))
    change(engine, Watch, since=now(-9999))


def tokens(redis: Redis) -> list[str]:
    """The tokens of the canaries in the queue."""
    ids = queues.waiting_jobs(redis, QUEUE)
    return [Job.fetch(one, redis, serializer=JSONSerializer).args[1] for one in ids]


def sign(engine: Engine) -> tuple[float | None, bool]:
    """How long proof is awaited, and whether the queue counts as stopped after five minutes."""

    def look(session: Session) -> tuple[float | None, bool]:
        [one] = [
            one for one in flow.queue_signs(session, flow.served_queues(session), 1e6) if one.name == QUEUE
        ]
        return one.awaited_seconds, one.is_stopped(300.0)

    return read(engine, look)


def test_an_idle_queue_gets_a_canary_that_its_worker_begins_and_settles(
    engine: Engine, watching: Watching, redis_client: Redis
) -> None:
    watching.look(1e6)
    [token] = tokens(redis_client)
    assert (health(engine).canary, health(engine).canary_begun_at) == (token, None)
    serve(redis_client)
    row = health(engine)
    assert (row.canary, row.canary_since) == (None, None)
    assert row.canary_begun_at is not None
    assert row.canary_settled_at is not None
    assert row.canary_begun_at <= row.canary_settled_at
    assert rows_of(engine, Allocation) == []
    watching.look(1e6)
    assert tokens(redis_client) == [], "its minute is not over"
    assert redis_client.keys("rq:job:*") == []


def test_late_and_repeated_canaries_change_nothing(
    engine: Engine, watching: Watching, redis_client: Redis
) -> None:
    watching.look(1e6)
    [late] = tokens(redis_client)
    change(engine, QueueHealth, canary_sent_at=now(-61))
    watching.look(1e6)
    [token] = tokens(redis_client)
    assert token != late, "the late one was taken out of the queue"
    assert canary(QUEUE, late) is False
    assert health(engine).canary == token
    assert canary(QUEUE, token) is True
    settled_at = health(engine).canary_settled_at
    assert canary(QUEUE, token) is False
    assert canary("node:other", token) is False
    assert health(engine).canary_settled_at == settled_at


def test_a_canary_that_was_begun_twice_is_settled_once(engine: Engine, watching: Watching) -> None:
    watching.look(1e6)
    token = str(health(engine).canary)
    begun = [transact(engine, lambda session: flow.begin_canary(session, QUEUE, token)) for _ in range(2)]
    settled = [transact(engine, lambda session: flow.settle_canary(session, QUEUE, token)) for _ in range(2)]
    assert (begun, settled) == ([True, False], [True, False])


def test_a_queue_whose_canary_does_not_come_back_is_an_alarm_until_it_does(
    engine: Engine, watching: Watching, redis_client: Redis
) -> None:
    watching.look(1e6)
    change(engine, QueueHealth, served_since=now(-9999), canary_since=now(-301))
    watching.look(1e6)
    assert open_rules(engine) == {("alert_queue_stopped", QUEUE)}
    watched_long(engine)
    found = readiness(engine, redis_client, verbose=True, flow_seconds=300.0)
    # Nothing is proved of the queue whose workers start when there is work.
    assert {one.name: one.stopped for one in found.queues} == {QUEUE: True, f"{QUEUE}:publish": False}
    serve(redis_client)
    watching.look(1e6)
    assert open_rules(engine) == set()


def test_publish_queues_get_no_canaries_and_an_alarm_when_nobody_serves_what_waits_there(
    engine: Engine, watching: Watching, redis_client: Redis, node_id: str
) -> None:
    queue = f"{QUEUE}:publish"
    watching.look(1e6)
    assert (tokens(redis_client) != [], queues.waiting_jobs(redis_client, queue)) == (True, [])
    waiting = Allocation(id="p", kind="publish", queue=queue, node_id=node_id, state="pending")
    transact(engine, lambda session: session.add(waiting))
    change(engine, Node, node_id, workers_alive=0)
    change(engine, QueueHealth, served_at=now(-61))
    watching.limits = replace(watching.limits, thresholds=only("alert_queue_unserved"))
    watching.look(1e6)
    assert ("alert_queue_unserved", queue) in open_rules(engine)


def test_replaced_canaries_do_not_make_the_wait_begin_anew(engine: Engine, watching: Watching) -> None:
    watching.look(1e6)
    change(engine, QueueHealth, served_since=now(-9999), canary_since=now(-250), canary_sent_at=now(-61))
    watching.look(1e6)
    awaited, _ = sign(engine)
    assert awaited is not None
    assert awaited >= 250


def test_a_real_settle_is_proof_and_keeps_canaries_away(
    engine: Engine, watching: Watching, redis_client: Redis
) -> None:
    watching.look(1e6)
    change(engine, QueueHealth, served_since=now(-9999), canary_since=now(-301), canary_sent_at=now(-61))
    FlowMark(engine)(QUEUE)
    assert sign(engine)[1] is False
    redis_client.flushall()
    watching.look(1e6)
    assert tokens(redis_client) == []


def test_settles_are_noted_every_few_seconds_only(engine: Engine, watching: Watching) -> None:
    watching.look(1e6)
    moments = iter((0.0, 0.0, 4.9, 5.0, 5.0))
    mark = FlowMark(engine, lambda: next(moments))
    mark(QUEUE)
    first = health(engine).settled_at
    mark(QUEUE)
    assert health(engine).settled_at == first
    mark(QUEUE)
    assert first is not None
    later = health(engine).settled_at
    assert later is not None
    assert later > first


def test_queues_without_workers_and_of_remote_nodes_get_no_canary(
    engine: Engine, watching: Watching, redis_client: Redis, node_id: str
) -> None:
    change(engine, Node, node_id, workers_alive=0)
    building.make_third_party(engine)
    watching.look(1e6)
    assert redis_client.keys("rq:queue:*") == []


def test_without_redis_nobody_waits_for_proof_and_no_queue_is_blamed(
    engine: Engine, tmp_path: Path, redis_server: RedisServer, node_id: str
) -> None:
    assert node_id
    client = connect(redis_server.url, retries=0, answer_seconds=1)
    watching = watching_of(engine, tmp_path, client, thresholds=STOPPED)
    watching.look(1e6)
    change(engine, QueueHealth, served_since=now(-9999), canary_since=now(-999), canary_sent_at=now(-61))
    redis_server.stop()
    watching.look(1e6)
    client.close()
    assert open_rules(engine) == set()
    assert (health(engine).canary, sign(engine)[0]) == (None, None)


def test_workers_that_come_back_get_their_time(engine: Engine, watching: Watching) -> None:
    watching.look(1e6)
    change(engine, QueueHealth, served_at=now(-61), served_since=now(-9999), canary_since=now(-9999))
    watching.look(1e6)
    assert sign(engine)[1] is False


def test_the_sweeper_leaves_canaries_alone(engine: Engine, watching: Watching, redis_client: Redis) -> None:
    watching.look(1e6)
    [token] = tokens(redis_client)
    for repair in Tidier(engine, redis_client).repairs:
        repair.run()
    assert tokens(redis_client) == [token]


def test_readyz_asks_for_the_flow_of_default_only(
    engine: Engine, redis_client: Redis, tmp_path: Path
) -> None:
    parent_id = transact(engine, lambda session: nodes.ensure_parent(session).id)
    building.make_node(engine)
    change(engine, Node, workers_alive=1, presence_at=now())
    transact(engine, lambda session: recovery.stamp_pulse(session, "b", 45.0))
    watching_of(engine, tmp_path, redis_client, thresholds=Thresholds()).look(1e6)
    change(engine, QueueHealth, served_since=now(-9999))
    stuck = update(QueueHealth).where(QueueHealth.queue == QUEUE).values(canary_since=now(-999))
    transact(engine, lambda session: session.execute(stuck))
    watched_long(engine)
    assert readiness(engine, redis_client, verbose=False, flow_seconds=300.0).ready
    change(engine, QueueHealth, canary_since=now(-999))
    found = readiness(engine, redis_client, verbose=False, flow_seconds=300.0)
    assert [one.name for one in found.checks if not one.ok] == ["default_queue"]
    assert "nothing flows" in found.checks[-1].detail
    change(engine, Node, parent_id, workers_alive=0)
    assert (
        "nobody serves"
        in readiness(engine, redis_client, verbose=False, flow_seconds=300.0).checks[-1].detail
    )


def test_a_full_pool_does_not_silence_who_watches(tmp_path: Path, migrated_url: str) -> None:
    settings = config.load({"DATABASE_URL": migrated_url}, data_dir=tmp_path / "not made yet")
    pooled = bootstrap.build_engine(settings, pooled=True)
    watching = bootstrap_parent.build_watching(settings, pooled, None, "beat")
    size = watching.vitals.look().pool_size
    held = [pooled.connect() for _ in range(size)]
    for _ in range(3):
        watching.last_report = float("-inf")
        watching.step()
    watching.look(1e6)
    full = {rule for rule, _ in open_rules(watching.engine)} & {"alert_pool_full"}
    assert len(full) == bool(size), "SQLite has no pool"
    for one in held:
        one.close()
    pooled.dispose()
    watching.engine.dispose()
