"""Claims and long polls on the real server: every piece of work goes out once, waiters wake, and those who hung up leave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from select import select

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.api.waiting import WorkWaits
from backend.dispatch import queues
from backend.domain.identifiers import new_id
from backend.store import transitions
from backend.store.credentials import Pair
from backend.store.migrate import upgrade
from backend.store.session import create_engine_for, transact
from backend.store.tables import Allocation, Node
from tests.building import change, counted, dispatch, make_task, row_of
from tests.integration.api.playing import make_accounts, make_child
from tests.servers import MariaDb, RedisServer, wait_until
from tests.serving import Parent, serving

CLAIM = "/api/v1/wx/cascade/claim-task"
CLAIMERS = 32
PIECES = 300


def header(pair: Pair) -> str:
    """The child's Authorization."""
    return f"AK-SK {pair.api_key}:{pair.api_secret}"


def make_pending(engine: Engine, node_id: str, count: int) -> list[str]:
    """Pending allocations of the node; their ids."""
    node = row_of(engine, Node, node_id)
    rows = [
        {"id": new_id(), "kind": "update", "queue": queues.node_queue(node.slug), "node_id": node_id}
        for _ in range(count)
    ]
    transact(engine, lambda session: transitions.create(session, Allocation, rows, "test"))
    return [str(row["id"]) for row in rows]


@pytest.fixture(scope="module")
def url(mariadb_session: MariaDb) -> Iterator[str]:
    """A migrated database of its own: the servers of this module outlive single tests."""
    name = mariadb_session.create_database()
    yield mariadb_session.url(name)
    mariadb_session.drop_database(name)


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[Engine]:
    """An engine beside the servers."""
    engine = create_engine_for(url, pooled=True)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def parent(
    engine: Engine, url: str, redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parent]:
    """A server with two processes."""
    with serving(tmp_path_factory.mktemp("parent"), url, redis_session.url, processes=2, threads=4) as parent:
        yield parent


@pytest.mark.mariadb
def test_many_claimers_drain_the_work_of_a_node_and_each_piece_goes_out_once(
    parent: Parent, engine: Engine
) -> None:
    node_id, pair = make_child(engine, "drained")
    pieces = make_pending(engine, node_id, PIECES)

    def drain(_number: int) -> list[str]:
        found, connection = [], parent.connection()
        while package := parent.call("POST", CLAIM, authorization=header(pair), connection=connection).data:
            found.append(package["allocation_id"])
        connection.close()
        return found

    with ThreadPoolExecutor(CLAIMERS) as pool:
        claimed = [one for part in pool.map(drain, range(CLAIMERS)) for one in part]
    assert sorted(claimed) == sorted(pieces)
    assert counted(engine, Allocation)["claimed"] >= PIECES
    assert row_of(engine, Node, node_id).empty_claims == CLAIMERS


@pytest.mark.mariadb
def test_a_waiting_child_gets_work_as_soon_as_it_is_planned(
    parent: Parent, engine: Engine, redis_session: RedisServer
) -> None:
    change(engine, Node, is_active=False)  # nobody else takes it
    _, pair = make_child(engine, "waiting")
    task_id = make_task(engine, make_accounts(engine, 1, 500))
    with ThreadPoolExecutor(1) as pool, redis_session.client() as redis:
        waiting = pool.submit(parent.call, "POST", f"{CLAIM}?wait=20", authorization=header(pair))
        wait_until(lambda: _listeners(redis) > 0, 10, "a listener for announcements")
        planned = time.monotonic()
        dispatch(engine, task_id, redis)
        package = waiting.result(30).data
    assert package["feeds"][0]["id"] == "MP_WXS_500"
    assert time.monotonic() - planned < 5


def _listeners(redis: Redis) -> int:
    return int(redis.pubsub_numsub(queues.WORK_CHANNEL)[0][1])


@pytest.mark.mariadb
def test_half_of_the_threads_may_wait_until_they_hang_up_or_the_server_stops(
    engine: Engine, url: str, redis_session: RedisServer, tmp_path: Path
) -> None:
    pairs = [make_child(engine, f"patient-{number}")[1] for number in range(3)]
    with ExitStack() as stack:
        with serving(tmp_path, url, redis_session.url, processes=1, threads=4) as parent:
            connections = [stack.enter_context(closing(parent.connection())) for _ in range(2)]
            for connection, pair in zip(connections, pairs, strict=False):
                connection.request("POST", f"{CLAIM}?wait=25", headers={"Authorization": header(pair)})
                # Whoever came while the third one asks would find no place: they take theirs one after the other.
                assert select([connection.sock], [], [], 1.0)[0] == []
            wait_until(lambda: _is_refused(parent, pairs[2]), 20, "all places being taken")
            assert parent.call("GET", "/livez").status == 200
            connections[0].close()
            hung_up = time.monotonic()
            wait_until(lambda: not _is_refused(parent, pairs[2]), 5, "a free place")
            assert time.monotonic() - hung_up < 2.5
        # It got an answer, where a process that ends with its patience would have cut the connection.
        assert json.loads(connections[1].getresponse().read())["data"] is None


def _is_refused(parent: Parent, pair: Pair) -> bool:
    answer = parent.call("POST", f"{CLAIM}?wait=0.05", authorization=header(pair))
    assert answer.data is None
    return "retry-after" in answer.headers


def never() -> bool:
    """Nobody hangs up here."""
    return False


def test_an_announcement_wakes_who_waits_for_that_queue_and_nobody_else(
    engine: Engine, redis_client: Redis
) -> None:
    waits = WorkWaits(engine, redis_client, 2)
    waits._polled_at = time.monotonic() + 1000  # nobody looks into the database
    with waits.place("node:a") as mine, waits.place("node:b") as other, waits.place("node:c") as refused:
        assert (mine is None, other is None, refused is None, waits.count) == (False, False, True, 2)
        assert mine is not None
        assert other is not None
        # What was announced before the subscription reached nobody, so its beginning wakes everybody.
        deadline = time.monotonic() + 10
        assert waits.wait(mine, deadline, never)
        assert waits.wait(other, deadline, never)
        queues.announce(redis_client, ["node:a"])
        assert waits.wait(mine, deadline, never)
        assert not waits.wait(other, time.monotonic() + 0.2, never)
    assert waits.count == 0
    wait_until(lambda: not waits.listening, 10, "the end of the subscription")


def test_without_redis_the_waiters_find_new_work_in_the_database(engine: Engine) -> None:
    node_id, _ = make_child(engine, f"polled-{new_id()[-6:]}")
    waits, queue = WorkWaits(engine, None, 1), queues.node_queue(row_of(engine, Node, node_id).slug)
    with waits.place(queue) as event:
        assert event is not None
        assert not waits.wait(event, time.monotonic() + 0.1, never)
        make_pending(engine, node_id, 1)
        assert waits.wait(event, time.monotonic() + 10, never)


def test_when_redis_goes_away_the_waiters_look_into_the_database(
    engine: Engine, redis_server: RedisServer
) -> None:
    node_id, _ = make_child(engine, f"orphan-{new_id()[-6:]}")
    queue = queues.node_queue(row_of(engine, Node, node_id).slug)
    with redis_server.client() as redis:
        waits = WorkWaits(engine, redis, 1)
        with waits.place(queue) as event:
            assert event is not None
            assert waits.wait(event, time.monotonic() + 10, never)
            redis_server.kill()
            make_pending(engine, node_id, 1)
            assert waits.wait(event, time.monotonic() + 10, never)
        wait_until(lambda: not waits.listening, 10, "the end of the subscription")


def test_a_wait_ends_when_the_child_hangs_up_or_the_process_stops(engine: Engine) -> None:
    waits, hung_up = WorkWaits(engine, None, 1), threading.Event()
    with waits.place("node:a") as event:
        assert event is not None
        threading.Timer(0.1, hung_up.set).start()
        began = time.monotonic()
        assert not waits.wait(event, began + 30, hung_up.is_set)
        waits.stopping = lambda: True
        assert not waits.wait(event, began + 30, never)
        assert time.monotonic() - began < 10
