"""Turns on hosts over a real Redis: workers that share it keep their distance together, without it each by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.dispatch.broker import connect
from backend.domain.orders import Postponement
from backend.domain.politeness import HostLimits
from backend.workers.hosts import PATIENCE_SECONDS, HostGate
from backend.workers.signals import Signals
from tests.servers import RedisServer


class Worker:
    """One worker process's gate, on a clock of its own; it notes its waits instead of waiting."""

    def __init__(self, url: str, gap: float = 1.0) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.redis = connect(url, retries=0, answer_seconds=1.0)
        signals = Signals(self.redis, "node:n")
        self.gate = HostGate(signals, HostLimits(8, gap), lambda: self.now, self.waits.append)


@pytest.fixture
def pair(redis_server: RedisServer) -> Iterator[tuple[Worker, Worker]]:
    workers = Worker(redis_server.url), Worker(redis_server.url)
    yield workers
    for worker in workers:
        worker.redis.close()


def test_workers_that_share_redis_keep_the_gap_between_them(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    assert [one.gate.enter("a"), other.gate.enter("a"), one.gate.enter("a")] == [None] * 3
    assert [round(wait) for wait in (*one.waits, *other.waits)] == [2, 1]
    assert other.gate.enter("b") is None
    assert len(other.waits) == 1, "another host has its own turns"


def test_a_wait_that_takes_too_long_is_not_waited_for_and_takes_no_turn(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    turns = int(PATIENCE_SECONDS) + 1
    assert [one.gate.enter("a") for _ in range(turns)] == [None] * turns
    for _ in range(2):
        postponed = other.gate.enter("a")
        assert postponed is not None
        assert postponed.seconds == pytest.approx(turns, abs=0.5)
    assert other.waits == []


def test_a_host_that_asked_for_quiet_gets_it_from_every_worker(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    one.gate.hold("a", 30)
    one.gate.hold("a", 5)
    assert one.gate.enter("a") == Postponement("a", 30)
    postponed = other.gate.enter("a")
    assert postponed is not None
    assert postponed.seconds == pytest.approx(30, abs=1)
    one.now += 31
    other.redis.flushall()
    assert (one.gate.enter("a"), other.gate.enter("a")) == (None, None)


def test_a_host_that_asks_for_quiet_while_one_waits_for_its_turn_is_not_asked(
    pair: tuple[Worker, Worker],
) -> None:
    one, _ = pair
    assert one.gate.enter("a") is None
    one.gate.pause = lambda _: one.gate.hold("a", 30)
    assert one.gate.enter("a") == Postponement("a", 30)


def test_what_lives_nowhere_waits_for_nobody(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    one.gate.hold("", 30)
    assert [one.gate.enter("") for _ in range(10)] == [None] * 10
    assert one.waits == []


def test_without_redis_a_worker_keeps_its_own_distance_and_its_own_quiet(redis_server: RedisServer) -> None:
    redis_server.stop()
    worker = Worker(redis_server.url)
    assert [worker.gate.enter("a") for _ in range(3)] == [None] * 3
    assert worker.waits == [1.0, 2.0]
    worker.gate.hold("b", 30)
    assert worker.gate.enter("b") == Postponement("b", 30)
    worker.redis.close()
