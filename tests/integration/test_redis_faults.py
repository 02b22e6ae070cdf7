"""Our Redis client on a real server that misbehaves in every way: it says what is wrong, soon, once, and goes on by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError

from backend.dispatch import queues
from backend.dispatch.broker import RedisPatience, connect, fault_of
from tests.redis_faults import FAULTS, FaultyRedis
from tests.servers import wait_until

LOG = "backend.dispatch.patience"


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRedis]:
    """A server that is new for each fault: some of them change it for good."""
    with FaultyRedis(tmp_path_factory.mktemp("faulty")) as made:
        yield made


def takes_writes(client: Redis) -> bool:
    """Whether Redis takes one now."""
    try:
        queues.probe(client)
    except RedisError:
        return False
    return True


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_soon_and_once_and_the_client_goes_on_by_itself(
    redis: FaultyRedis, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, patience = FAULTS[name], RedisPatience(1, seconds=1.0, rest_seconds=0.5)
    client = connect(redis.url, answer_seconds=1.0, patience=patience)
    queues.probe(client)
    with caplog.at_level(logging.WARNING, LOG), fault.make(redis):
        begun = time.monotonic()
        if fault.code:
            for _ in range(3):
                with pytest.raises(RedisError) as raised:
                    queues.probe(client)
                assert fault_of(raised.value).code == fault.code
            assert len([one for one in caplog.records if "answers again" not in one.getMessage()]) == 1
        else:
            takes_writes(client)
        # The first try may take its whole time, twice; those behind it don't wait at all.
        assert time.monotonic() - begun < 8
    wait_until(lambda: takes_writes(client), 15, "a write after the fault")
    client.close()


def test_while_redis_is_left_alone_nobody_waits_for_it_and_then_one_asks(redis: FaultyRedis) -> None:
    now = [0.0]
    patience = RedisPatience(0, rest_seconds=5.0, clock=lambda: now[0])
    client = connect(redis.url, answer_seconds=0.5, patience=patience)
    with redis.server.frozen():
        assert not takes_writes(client)
        begun = time.monotonic()
        assert [takes_writes(client) for _ in range(100)] == [False] * 100
        assert time.monotonic() - begun < 0.4
    assert not takes_writes(client), "it does not know yet"
    now[0] = 5.1
    assert takes_writes(client)
    assert takes_writes(client)
    client.close()
