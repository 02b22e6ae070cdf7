"""What Redis lost comes back, and what nobody wants in it goes, on a real Redis and whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy import Engine

from backend.dispatch import queues, registries
from backend.dispatch.broker import connect
from backend.dispatch.queue_repairs import LostFinder, Tidier
from backend.domain.identifiers import new_id
from backend.store import node_changes, nodes
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, Node
from tests import building
from tests.building import World
from tests.servers import RedisServer

QUEUE = "node:n"
LIST = f"rq:queue:{QUEUE}"
BETWEEN = f"{LIST}:intermediate"


@pytest.fixture
def backend() -> str:
    """What only Redis decides is looked at on one database."""
    return "sqlite"


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """The product's own client, without its patience."""
    client = connect(redis_server.url, retries=0, answer_seconds=2)
    yield client
    client.close()


def enqueued(engine: Engine, client: Redis, count: int = 3) -> World:
    """So many allocations of one feed each, in their queue."""
    world = building.make_world(engine, count, capacity=count)
    finder = LostFinder(seconds=-1)
    for _ in range(2):
        finder.repair(engine, client, 120.0)
    assert queues.length(client, QUEUE) == count
    return world


def tidy(tidier: Tidier) -> dict[str, int]:
    """One pass; by repair, how much was changed."""
    found = [repair.run() for repair in tidier.repairs]
    return {one.name.removeprefix("sweep_"): one.mended for one in found if one.mended}


def job_ids(engine: Engine, attempt: int = 1) -> list[str]:
    return [queues.job_id(one, attempt) for one in building.allocation_ids(engine)]


# --- lost


def flush(client: Redis, _server: RedisServer) -> None:
    client.flushall()


def restart_without_its_file(_client: Redis, server: RedisServer) -> None:
    server.kill()
    server.start()
    with server.client() as fresh:
        fresh.flushall()


def evict_the_list(client: Redis, _server: RedisServer) -> None:
    client.delete(LIST)


def take_and_die(client: Redis, _server: RedisServer) -> None:
    """As workers do that die between their pop and the start."""
    while client.lmove(LIST, BETWEEN):
        pass


def start_and_die(client: Redis, server: RedisServer) -> None:
    """RQ takes it for running: hash and registry say so."""
    take_and_die(client, server)
    for one in registries.intermediate(client, QUEUE, 100):
        job = Job.fetch(one, connection=client, serializer=JSONSerializer)
        job.set_status(JobStatus.STARTED)
        client.zadd(StartedJobRegistry(QUEUE, connection=client).key, {f"{job.id}:x": 4e9})
    client.delete(BETWEEN)


def fail(client: Redis, _server: RedisServer) -> None:
    """RQ takes it for failed."""
    for one in queues.waiting_jobs(client, QUEUE):
        job = Job.fetch(one, connection=client, serializer=JSONSerializer)
        job.set_status(JobStatus.FAILED)
        FailedJobRegistry(QUEUE, connection=client).add(job, ttl=3600)
    client.delete(LIST)


ACCIDENTS: list[Callable[[Redis, RedisServer], None]] = [
    flush,
    restart_without_its_file,
    evict_the_list,
    take_and_die,
    start_and_die,
    fail,
]


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda one: one.__name__)
def test_whatever_redis_lost_and_whatever_it_says_of_it_is_enqueued_again_in_the_second_pass(
    engine: Engine, client: Redis, redis_server: RedisServer, accident: Callable[[Redis, RedisServer], None]
) -> None:
    enqueued(engine, client)
    accident(client, redis_server)
    finder = LostFinder(seconds=-1)
    assert [finder.repair(engine, client, 120.0) for _ in range(3)] == [0, 3, 0]
    assert queues.waiting_jobs(client, QUEUE) == job_ids(engine)
    for one in job_ids(engine):
        found = Job.fetch(one, connection=client, serializer=JSONSerializer)
        assert found.get_status() == JobStatus.QUEUED


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Node, {"workers_alive": 0}),
        (Node, {"presence_at": now(-200)}),
        (Node, {"transport": "remote"}),
        (Allocation, {"updated_at": now()}),
    ],
)
def test_young_work_and_work_that_nobody_would_begin_is_not_enqueued_again(
    engine: Engine, client: Redis, table: type[Node] | type[Allocation], values: dict[str, Any]
) -> None:
    building.make_world(engine, 2, capacity=2)
    building.change(engine, Allocation, updated_at=now(-31))
    building.change(engine, table, **values)
    finder = LostFinder()
    assert [finder.repair(engine, client, 120.0) for _ in range(3)] == [0, 0, 0]


def test_a_long_list_is_not_read_as_a_whole_and_what_stands_in_its_middle_is_found(client: Redis) -> None:
    ids = [f"job-{number}" for number in range(9_000)]
    client.rpush(LIST, *ids)
    near, middle = [ids[0], ids[1999], ids[-500], ids[-1]], [ids[2000], ids[5000]]
    assert registries.missing(client, QUEUE, [*near, *middle, "lost"], 200) == ["lost"]
    # Beyond the bound nothing is said of the middle: the next pass looks again.
    assert registries.missing(client, QUEUE, [*near, *middle, "lost"], 2) == []
    before = client.info("stats")["total_net_output_bytes"]
    registries.missing(client, QUEUE, middle, 200)
    sent = client.info("stats")["total_net_output_bytes"] - before
    assert sent < 60_000 < sum(map(len, ids))


# --- unwanted


def test_jobs_whose_work_began_ended_was_cancelled_or_has_another_attempt_are_taken_out(
    engine: Engine, client: Redis
) -> None:
    world = enqueued(engine, client, 6)
    begun, ended, cancelled, again, *wanted = building.allocation_ids(engine)
    assert world.ledger.begin(begun, 1, new_id()) is not None
    order = world.ledger.begin(ended, 1, new_id())
    assert order is not None
    world.ledger.settle(building.outcome_of(order))
    building.change(engine, Allocation, cancelled, state="cancelled")
    building.change(engine, Allocation, again, attempt=2)
    unknown = queues.job_id(new_id(), 1)
    client.rpush(LIST, unknown, "canary-of-somebody")
    tidier = Tidier(engine, client)
    assert tidy(tidier)["unwanted"] == 5
    assert queues.waiting_jobs(client, QUEUE) == [
        *(queues.job_id(one, 1) for one in wanted),
        "canary-of-somebody",
    ]
    for one in (ended, cancelled, again):
        # A worker that has just popped it must find it.
        assert 0 < client.ttl(Job.key_for(queues.job_id(one, 1))) <= 60
    assert client.ttl(Job.key_for(queues.job_id(wanted[0], 1))) == -1
    assert "unwanted" not in tidy(tidier)


def test_long_lists_are_looked_through_over_several_passes(engine: Engine, client: Redis) -> None:
    enqueued(engine, client, 1)
    client.rpush(LIST, *(f"other-{number}" for number in range(450)), queues.job_id(new_id(), 1))
    tidier = Tidier(engine, client)
    assert [tidy(tidier).get("unwanted", 0) for _ in range(4)] == [0, 0, 1, 0]


def test_every_queue_has_its_turn(engine: Engine, client: Redis) -> None:
    for number in range(25):
        name = queues.node_queue(f"n{number}")
        building.make_node(engine, f"n{number}")
        client.sadd("rq:queues", f"rq:queue:{name}")
        client.rpush(f"rq:queue:{name}", queues.job_id(new_id(), 1))
    tidier = Tidier(engine, client)
    assert [tidy(tidier).get("unwanted", 0) for _ in range(4)] == [10, 10, 5, 0]


def test_a_job_that_its_worker_took_and_never_started_is_taken_out_in_the_second_pass(
    engine: Engine, client: Redis
) -> None:
    enqueued(engine, client, 2)
    client.lmove(LIST, BETWEEN)
    tidier = Tidier(engine, client)
    assert "stuck" not in tidy(tidier)
    # One that is on its way right now stays.
    client.lmove(LIST, BETWEEN)
    assert tidy(tidier)["stuck"] == 1
    assert client.llen(BETWEEN) == 1


def test_jobs_that_would_stay_for_ever_are_left_to_expire_unless_they_are_wanted(
    engine: Engine, client: Redis
) -> None:
    world = enqueued(engine, client, 3)
    running, ended, _ = building.allocation_ids(engine)
    assert world.ledger.begin(running, 1, new_id()) is not None
    building.change(engine, Allocation, ended, state="cancelled")
    client.delete(LIST)
    assert tidy(Tidier(engine, client))["leftovers"] == 1
    kept = {client.ttl(Job.key_for(queues.job_id(one, 1))) > 0: one for one in (running, ended)}
    assert kept == {False: running, True: ended}


# --- registries, workers, queues


def test_registries_do_not_grow_and_no_callback_runs(engine: Engine, client: Redis) -> None:
    enqueued(engine, client, 1)
    (job_id,) = job_ids(engine)
    job = Job.fetch(job_id, connection=client, serializer=JSONSerializer)
    job.set_status(JobStatus.STARTED)
    many = {f"job-{number}": number for number in range(1300)}
    client.zadd(StartedJobRegistry(QUEUE, connection=client).key, {f"{job_id}:x": 1.0, "alive:x": 4e9})
    client.zadd(FinishedJobRegistry(QUEUE, connection=client).key, {"over": 1.0})
    client.zadd(FailedJobRegistry(QUEUE, connection=client).key, {one: 4e9 + at for one, at in many.items()})
    client.zadd(CanceledJobRegistry(QUEUE, connection=client).key, many)
    assert tidy(Tidier(engine, client))["registries"] == 1 + 1 + 300 + 300
    assert client.zrange(StartedJobRegistry(QUEUE, connection=client).key, 0, -1) == [b"alive:x"]
    for kind in (FailedJobRegistry, CanceledJobRegistry):
        key = kind(QUEUE, connection=client).key
        # The newest ones stay.
        assert (client.zcard(key), client.zrange(key, 0, 0)) == (1000, [b"job-300"])
    # RQ's own tidying would have called it failed, and run what is to happen then.
    assert job.get_status() == JobStatus.STARTED
    assert client.exists(FinishedJobRegistry(QUEUE, connection=client).key) == 0


def test_workers_that_are_gone_are_forgotten_and_living_ones_stay(engine: Engine, client: Redis) -> None:
    enqueued(engine, client, 1)
    worker = SimpleWorker([QUEUE], name="living", connection=client)
    worker.register_birth()  # type: ignore[no-untyped-call]
    client.sadd("rq:workers", "rq:worker:dead")
    client.sadd(f"rq:workers:{QUEUE}", "rq:worker:dead")
    assert tidy(Tidier(engine, client)) == {"ghosts": 1}
    for key in ("rq:workers", f"rq:workers:{QUEUE}"):
        assert client.smembers(key) == {b"rq:worker:living"}


def test_queues_of_deleted_nodes_go_with_all_that_rq_kept_of_them(engine: Engine, client: Redis) -> None:
    world = enqueued(engine, client, 2)
    (one, _) = job_ids(engine)
    FailedJobRegistry(QUEUE, connection=client).add(
        Job.fetch(one, connection=client, serializer=JSONSerializer), ttl=3600
    )
    client.lmove(LIST, BETWEEN)
    for name in (f"{QUEUE}:publish", "default", "of-another-program"):
        client.sadd("rq:queues", f"rq:queue:{name}")
        client.rpush(f"rq:queue:{name}", "a-job")
    tidier = Tidier(engine, client)
    assert "deserted" not in tidy(tidier)
    transact(
        engine, lambda session: node_changes.delete_node(session, world.node_id, force=True, actor="ana")
    )
    assert tidy(tidier)["deserted"] == 2
    assert sorted(Queue.all(connection=client), key=lambda queue: queue.name) == [
        Queue("default", connection=client),
        Queue("of-another-program", connection=client),
    ]
    left = {key.decode() for key in client.scan_iter() if not key.startswith(b"rq:job:")}
    assert left == {"rq:queues", "rq:queue:default", "rq:queue:of-another-program"}
    assert all(client.ttl(key) > 0 for key in client.scan_iter("rq:job:*"))


def test_a_node_s_first_queue_is_not_taken_for_a_deserted_one(engine: Engine, client: Redis) -> None:
    enqueued(engine, client, 1)
    transact(engine, lambda session: nodes.create_node(session, name="m", transport="attached"))
    client.sadd("rq:queues", "rq:queue:node:m")
    assert tidy(Tidier(engine, client)) == {}
