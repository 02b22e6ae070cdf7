"""What a lane asks Redis beside RQ: never worth waiting for."""

from __future__ import annotations

import time

from backend.domain.orders import WorkOrder
from backend.workers.signals import MUTE_SECONDS, Signals, signals_for
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
    now = [0.0]
    real = signals_for(f"redis://127.0.0.1:{free_port()}/0", "node:n")
    signals = Signals(real.redis, "node:n", clock=lambda: now[0])
    signals.wake()
    assert signals.muted_until == MUTE_SECONDS
    now[0] = MUTE_SECONDS + 0.1
    signals.wake()
    assert signals.muted_until == 2 * MUTE_SECONDS + 0.1
