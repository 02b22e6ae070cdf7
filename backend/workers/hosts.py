"""Politeness between workers: starts on one host stand apart, and a host that asked for quiet gets it from all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from backend.domain.orders import Postponement
from backend.domain.politeness import HostLimits
from backend.workers.signals import Signals

if TYPE_CHECKING:
    from redis import Redis

# Longer waits go back to the planner: a slot is too dear to wait in.
PATIENCE_SECONDS = 5.0
NEXT_KEY = "cascade:host:next:"
HELD_KEY = "cascade:host:held:"
# Redis' own clock, so that hosts with different clocks agree. Answers the wait in milliseconds, negative when the
# host is not to be asked now.
TAKE_TURN = """
local held = redis.call('PTTL', KEYS[2])
if held > 0 then return -held end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
if turn - now > tonumber(ARGV[2]) then return now - turn end
local after = turn + tonumber(ARGV[1])
redis.call('SET', KEYS[1], after, 'PX', after - now + 1000)
return turn - now
"""
HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


@dataclass(slots=True)
class HostGate:
    """Gives turns on hosts over all workers that share Redis; while Redis is away, over this process alone."""

    signals: Signals
    limits: HostLimits
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: dict[str, float] = field(default_factory=dict)
    holds: dict[str, float] = field(default_factory=dict)

    def enter(self, host: str) -> Postponement | None:
        """Wait for this host's turn; or, when that takes too long, how long to leave it alone."""
        if not host:
            return None
        wait = self._own_hold(host)
        if wait is None:
            wait = self.signals.ask(lambda redis: self._shared_turn(redis, host), None)
        if wait is None:
            wait = self._own_turn(host)
        if wait < 0:
            return Postponement(host, -wait)
        if wait:
            self.pause(wait)
            # The answer to another feed of the host may have come meanwhile.
            held = self._own_hold(host)
            return None if held is None else Postponement(host, -held)
        return None

    def hold(self, host: str, seconds: float) -> None:
        """The host asked to be left alone."""
        if not host:
            return
        with self.lock:
            self.holds[host] = max(self.holds.get(host, 0.0), self.clock() + seconds)
        milliseconds = max(1, int(seconds * 1000))
        self.signals.ask(lambda redis: redis.eval(HOLD, 1, HELD_KEY + host, milliseconds), None)

    def _own_hold(self, host: str) -> float | None:
        with self.lock:
            until = self.holds.get(host)
            if until is None:
                return None
            left = until - self.clock()
            if left <= 0:
                del self.holds[host]
                return None
            return -left

    def _shared_turn(self, redis: Redis, host: str) -> float:
        gap, patience = int(self.limits.gap_seconds * 1000), int(PATIENCE_SECONDS * 1000)
        answer = redis.eval(TAKE_TURN, 2, NEXT_KEY + host, HELD_KEY + host, gap, patience)
        return int(cast("Any", answer)) / 1000

    def _own_turn(self, host: str) -> float:
        with self.lock:
            now = self.clock()
            if len(self.turns) > 1000:
                self.turns = {name: turn for name, turn in self.turns.items() if turn > now}
            turn = max(now, self.turns.get(host, now))
            if turn - now > PATIENCE_SECONDS:
                return now - turn
            self.turns[host] = turn + self.limits.gap_seconds
            return turn - now
