"""What a lane asks Redis beside RQ: never worth waiting for."""

from __future__ import annotations

import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from backend.dispatch.broker import NotNow, RedisPatience, connect
from backend.domain.orders import WorkOrder
from backend.workers.signals import REST_SECONDS, signals_for
from tests.servers import free_port

ORDER = WorkOrder("a", 1, "x", "update", "node:n", 1.0)


def test_a_redis_that_refuses_holds_nobody_up() -> None:
    signals = signals_for(f"redis://127.0.0.1:{free_port()}/0", "node:n")
    begun = time.monotonic()
    signals.wake()
    signals.withdraw(ORDER)
    assert signals.backlog() == 0
    assert time.monotonic() - begun < 2


def test_a_redis_that_failed_is_left_alone_for_some_seconds_and_then_asked_again() -> None:
    now, asked = [0.0], []
    patience = RedisPatience(0, rest_seconds=REST_SECONDS, says=False, clock=lambda: now[0])
    redis = connect(f"redis://127.0.0.1:{free_port()}/0", patience=patience)

    def ask() -> None:
        with pytest.raises(RedisConnectionError) as raised:
            redis.ping()
        asked.append(not isinstance(raised.value, NotNow))

    for moment in (0.0, REST_SECONDS - 0.1, REST_SECONDS + 0.1, REST_SECONDS + 0.2):
        now[0] = moment
        ask()
    assert asked == [True, False, True, False]
