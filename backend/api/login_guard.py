"""Five wrong passwords lock a name from an address for a while: counted in Redis, so by all processes together.

While Redis does not answer, each process counts for itself, in a bounded memory: nobody is locked out because
Redis is away, and somebody who guesses gets five guesses from each process instead of five in all.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from backend.dispatch.broker import fault_of
from backend.domain.errors import TooManyRequests
from backend.domain.identifiers import digest

log = logging.getLogger(__name__)

WRONG_PASSWORDS = 5
# A password is checked in far less; a process that died while it checked one blocks nobody for longer.
CHECK_SECONDS = 10
# Others under the same name and address are waited for: their outcome decides.
BUSY_SECONDS = 3.0
LOOK_SECONDS = 0.05
AWAY_SECONDS = 5.0
REMEMBERED = 10_000

# Both count and compare in one step: many guesses at the same moment get five checks, not one each.
ADMIT = """
local wrong = tonumber(redis.call('GET', KEYS[1]) or '0')
if wrong >= tonumber(ARGV[1]) then return redis.call('PTTL', KEYS[1]) end
if wrong + tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return -1
"""
CONCLUDE = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > 0 then redis.call('DECR', KEYS[2]) end
if ARGV[1] == 'right' then redis.call('DEL', KEYS[1]) end
if ARGV[1] == 'wrong' then
    redis.call('INCR', KEYS[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
"""


class Counter(Protocol):
    """Counts the wrong passwords and the checks under way of one name from one address."""

    def admit(self, key: str) -> float | None:
        """`None`: check a password now. 0: wait for other checks. Else the seconds for which it is locked."""

    def conclude(self, key: str, outcome: str) -> None:
        """A check has ended: `right` forgets the wrong ones, `wrong` counts one more, `none` says nothing."""


class RedisCounter:
    """Counts in Redis. Raises `RedisError`."""

    def __init__(self, redis: Redis, lock_seconds: float) -> None:
        self._lock_milliseconds = int(lock_seconds * 1000)
        self._admit = redis.register_script(ADMIT)
        self._conclude = redis.register_script(CONCLUDE)

    def admit(self, key: str) -> float | None:
        """See `Counter`."""
        found = int(self._admit(keys=_names(key), args=[WRONG_PASSWORDS, CHECK_SECONDS * 1000]))
        return None if found < 0 else found / 1000

    def conclude(self, key: str, outcome: str) -> None:
        """See `Counter`."""
        self._conclude(keys=_names(key), args=[outcome, self._lock_milliseconds])


@dataclass(slots=True)
class _Count:
    wrong: int = 0
    until: float = 0.0
    checking: int = 0


@dataclass(slots=True)
class MemoryCounter:
    """Counts in this process, and forgets the oldest names rather than grow."""

    lock_seconds: float
    clock: Callable[[], float] = time.monotonic
    _counts: OrderedDict[str, _Count] = field(default_factory=OrderedDict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, key: str) -> float | None:
        """See `Counter`."""
        with self._mutex:
            count = self._count(key)
            if count.wrong >= WRONG_PASSWORDS:
                return count.until - self.clock()
            if count.wrong + count.checking >= WRONG_PASSWORDS:
                return 0.0
            count.checking += 1
            return None

    def conclude(self, key: str, outcome: str) -> None:
        """See `Counter`."""
        with self._mutex:
            count = self._count(key)
            count.checking = max(0, count.checking - 1)
            if outcome == "right":
                count.wrong = 0
            elif outcome == "wrong":
                count.wrong += 1
                count.until = self.clock() + self.lock_seconds

    def __len__(self) -> int:
        return len(self._counts)

    def _count(self, key: str) -> _Count:
        count = self._counts.setdefault(key, _Count())
        self._counts.move_to_end(key)
        if count.wrong and count.until <= self.clock():
            count.wrong = 0
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count


class LoginGuard:
    """Lets a password be checked, or says how long to wait."""

    def __init__(self, redis: Redis | None, lock_seconds: float, busy_seconds: float = BUSY_SECONDS) -> None:
        self._busy_seconds = busy_seconds
        self._redis = redis
        self._shared = RedisCounter(redis, lock_seconds) if redis is not None else None
        self._own = MemoryCounter(lock_seconds)
        self._away_until = 0.0
        self._fell_back = False

    @contextmanager
    def checking(self, name: str, address: str) -> Iterator[Check]:
        """Inside, the password may be checked; say `check.right()` or `check.wrong()`. Raises `TooManyRequests`."""
        key = digest(name, address)
        counter = self._admitted(key)
        check = Check()
        try:
            yield check
        finally:
            self._conclude(counter, key, check.outcome)

    def close(self) -> None:
        """Give the connections back."""
        if self._redis is not None:
            self._redis.close()

    def _admitted(self, key: str) -> Counter:
        end = time.monotonic() + self._busy_seconds
        while True:
            counter, wait = self._ask(key)
            if wait is None:
                return counter
            if wait > 0:
                raise TooManyRequests("login_locked", retry_after=math.ceil(wait))
            if time.monotonic() > end:
                raise TooManyRequests("login_busy", retry_after=1)
            time.sleep(LOOK_SECONDS)

    def _ask(self, key: str) -> tuple[Counter, float | None]:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                wait = self._shared.admit(key)
            except RedisError as error:
                self._fall_back(error)
            else:
                self._fell_back = False
                return self._shared, wait
        return self._own, self._own.admit(key)

    def _conclude(self, counter: Counter, key: str, outcome: str) -> None:
        try:
            counter.conclude(key, outcome)
        except RedisError as error:
            self._fall_back(error)
            self._own.conclude(key, outcome)

    def _fall_back(self, error: RedisError) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        level, self._fell_back = logging.DEBUG if self._fell_back else logging.WARNING, True
        log.log(level, "wrong passwords are counted per process: %s", fault_of(error).sentence())


@dataclass(slots=True)
class Check:
    """What a check found; until something is said, nothing is counted."""

    outcome: str = "none"

    def right(self) -> None:
        """It was the password."""
        self.outcome = "right"

    def wrong(self) -> None:
        """It was not."""
        self.outcome = "wrong"


def _names(key: str) -> list[str]:
    # The braces keep both on one server of a Redis Cluster.
    return [f"cascade:login:{{{key}}}:wrong", f"cascade:login:{{{key}}}:checking"]
