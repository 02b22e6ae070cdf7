"""Our own remote nodes are told about new work, signed and in the background; a beat never waits for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch import notifying as notifying_module
from backend.dispatch.broker import connect
from backend.dispatch.notifying import Notifying
from backend.dispatch.pump import pump
from backend.domain.identifiers import hash_secret
from backend.domain.signing import verify
from backend.outbound.client import GuardedHttpClient
from backend.store import credentials
from backend.store.credentials import new_pair
from backend.store.session import transact
from backend.store.tables import Allocation, Node
from tests import building
from tests.building import LIMITS, change, rows_of
from tests.servers import RedisServer, free_port, wait_until
from tests.standins.odd_http import Exchange, OddServer, Script

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def serve() -> Iterator[Callable[[Script], OddServer]]:
    """Starts children that stop with the test."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(OddServer({"*": script}))


@pytest.fixture
def make(engine: Engine, redis_client: Redis) -> Iterator[Callable[..., Notifying]]:
    """Makes the notifications of one beat."""
    made: list[Notifying] = []

    def build(redis: Redis = redis_client, clock: Callable[[], float] = time.monotonic) -> Notifying:
        made.append(Notifying(engine, redis, GuardedHttpClient(("127.0.0.0/8",), {}), clock))
        return made[-1]

    yield build
    for one in made:
        one.pool.shutdown(wait=True)


def ok(exchange: Exchange) -> None:
    exchange.answer(200, b"{}")


def our_child(engine: Engine, url: str, **values: Any) -> tuple[str, str]:
    """A remote node of ours with credentials: its id and its secret."""
    told = {"instance": "i", "callback_url": url, "max_capacity": 4} | values
    node_id, pair = building.make_third_party(engine, "child", **told), new_pair()
    transact(engine, lambda session: credentials.rotate(session, node_id, pair))
    return node_id, pair.api_secret


def give_work(engine: Engine, feeds: int = 1, host: str = "a.example") -> None:
    task_id = building.make_task(engine, building.make_feeds(engine, feeds, host))
    building.start_run(engine, task_id)
    pump(engine, None, LIMITS)


def idle(notifying: Notifying) -> None:
    wait_until(lambda: not notifying.busy, 10, "the end of the notifications")


def test_a_child_is_told_once_what_waits_for_it_signed_with_its_secret(
    engine: Engine, make: Callable[..., Notifying], serve: Callable[[Script], OddServer]
) -> None:
    child, notifying = serve(ok), make()
    _, secret = our_child(engine, child.url)
    assert notifying.tell() == 0
    give_work(engine, 3)
    assert [notifying.tell() for _ in range(3)] == [1, 0, 0]
    idle(notifying)
    (request,) = child.requests
    headers = {name: request.header(name) for name in ("x-cascade-timestamp", "x-cascade-signature")}
    verify(headers, request.body, secret_hash=hash_secret(secret), now=time.time())
    content = json.loads(request.body)
    assert (request.method, request.target) == ("POST", "/api/v1/cascade/notify")
    assert content.keys() == {"type", "allocation_id", "feed_count", "timestamp"}
    assert (content["type"], content["feed_count"]) == ("new_task", 3)
    assert content["allocation_id"] == rows_of(engine, Allocation)[0].id
    give_work(engine, 1, "b.example")
    assert notifying.tell() == 1
    idle(notifying)
    assert json.loads(child.requests[-1].body)["feed_count"] == 1


def test_two_beats_tell_it_once(
    engine: Engine, make: Callable[..., Notifying], serve: Callable[[Script], OddServer]
) -> None:
    child = serve(ok)
    our_child(engine, child.url)
    give_work(engine, 2)
    beats = [make(), make()]
    for one in beats:
        one.tell()
    for one in beats:
        idle(one)
    assert len(child.requests) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"instance": ""},
        {"callback_url": ""},
        {"is_active": False},
        {"transport": "attached"},
    ],
)
def test_only_our_own_remote_children_with_a_callback_are_told(
    engine: Engine,
    make: Callable[..., Notifying],
    serve: Callable[[Script], OddServer],
    values: dict[str, Any],
) -> None:
    child, notifying = serve(ok), make()
    node_id, _ = our_child(engine, child.url)
    give_work(engine)
    change(engine, Node, node_id, **values)
    assert notifying.tell() == 0
    assert child.requests == []


def test_a_child_that_hangs_delays_nobody_and_is_asked_once_at_a_time(
    engine: Engine,
    make: Callable[..., Notifying],
    serve: Callable[[Script], OddServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang(exchange: Exchange) -> None:
        exchange.stopping.wait(10)

    assert notifying_module.SECONDS <= 3
    monkeypatch.setattr(notifying_module, "SECONDS", 1.0)
    child, notifying = serve(hang), make()
    our_child(engine, child.url)
    give_work(engine)
    began = time.monotonic()
    assert notifying.tell() == 1
    give_work(engine, 1, "b.example")
    assert notifying.tell() == 0
    assert time.monotonic() - began < 3
    idle(notifying)


def test_a_child_that_is_away_is_left_alone_for_a_while_and_named_once(
    engine: Engine, make: Callable[..., Notifying], caplog: pytest.LogCaptureFixture
) -> None:
    seconds = [0.0]
    notifying = make(clock=lambda: seconds[0])
    our_child(engine, f"http://127.0.0.1:{free_port()}")
    told = []
    for moment in (0.0, 29.0, 31.0):
        seconds[0] = moment
        give_work(engine, 1, f"at-{moment:.0f}.example")
        told.append(notifying.tell())
        idle(notifying)
    assert told == [1, 0, 1]
    said = [record for record in caplog.records if "could not be told" in record.message]
    assert [record.levelname for record in said if record.levelname != "DEBUG"] == ["WARNING"]
    assert "127.0.0.1" in said[0].message


def test_without_redis_children_are_told_all_the_same(
    engine: Engine,
    make: Callable[..., Notifying],
    serve: Callable[[Script], OddServer],
    redis_server: RedisServer,
) -> None:
    child = serve(ok)
    our_child(engine, child.url)
    give_work(engine)
    redis = connect(redis_server.url, retries=0)
    notifying = make(redis)
    redis_server.kill()
    assert notifying.tell() == 1
    idle(notifying)
    assert len(child.requests) == 1
    redis.close()
