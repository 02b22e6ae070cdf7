"""How long a Redis client tries, when it leaves Redis alone, and what the log hears of it: one for each client."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from backend.domain.redis_faults import FaultKind, RedisFault, fault_of_reply, fault_of_silence

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
# RQ starts a watched transaction over at once, for ever: without a wait a full Redis would keep a core busy.
WATCH_SECONDS = 0.5
# A blip that the next tries get over is nobody's business.
QUIET_TRIES = 3
CALM_SECONDS = 4.0
STILL_SECONDS = 600.0


class NotNow(RedisConnectionError):
    """Redis can't serve now, by its own reply or because it is left alone for a moment after one that failed."""

    def __init__(self, fault: RedisFault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


def fault_of(error: RedisError) -> RedisFault:
    """What the error means."""
    if isinstance(error, NotNow):
        return error.fault
    text, word = str(error), str(getattr(error, "status_code", None) or "")
    if word:
        return fault_of_reply(word, text)
    if isinstance(error, ResponseError):
        return fault_of_reply(text.partition(" ")[0], text)
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return fault_of_silence(text)
    return RedisFault(FaultKind.BUG, "redis_fault_unknown", f"{type(error).__name__} {text}")


def note_fault(logger: logging.Logger, error: RedisError, consequence: str) -> None:
    """What somebody does without Redis: of no interest while its client has said already why, loud for a bug."""
    fault = fault_of(error)
    logger.log(logging.DEBUG if fault.passes else logging.ERROR, "%s: %s", consequence, fault.sentence())


@dataclass(slots=True)
class Outage:
    """Says once that Redis is away, once in ten minutes that it still is, and once that it is back."""

    says: bool = True
    clock: Callable[[], float] = time.monotonic
    fault: RedisFault | None = None
    since: float = 0.0
    last: float = 0.0
    said: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def failed(self, error: RedisError) -> None:
        """A client gave up for now, or has tried for more than a moment."""
        with self.lock:
            now, fault = self.clock(), fault_of(error)
            self.since = now if self.fault is None else self.since
            self.last, self.fault = now, fault
            if now - self.said.get(fault.code, float("-inf")) >= STILL_SECONDS:
                self.said[fault.code] = now
                self._say(
                    logging.WARNING if fault.kind is FaultKind.AWAY else logging.ERROR, fault.sentence()
                )

    def answered(self) -> None:
        """A command succeeded. What fails again and again, while reads in between succeed, is not over."""
        if self.fault is None:
            return
        with self.lock:
            now = self.clock()
            if self.fault is not None and now - self.last >= CALM_SECONDS:
                self.fault = None
                self.said.clear()
                self._say(logging.WARNING, f"Redis answers again after {now - self.since:.0f} s")

    def _say(self, level: int, text: str) -> None:
        log.log(level if self.says else logging.DEBUG, "%s", text)


class _Place(threading.local):
    """Where a thread stands in its tries."""

    inside = False
    reaching = False


class RedisPatience(Retry):
    """Tries a command `retries` more times (-1: for ever) within `seconds`, then leaves Redis alone for `rest_seconds`.

    All connections of a client share it, and the tries of a connection inside those of its command don't multiply.
    `meanwhile` is called before each wait; what it raises ends the tries.
    """

    __hash__ = Retry.__hash__

    def __init__(
        self,
        retries: int,
        *,
        seconds: float = float("inf"),
        rest_seconds: float = 0.0,
        says: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        backoff = ExponentialWithJitterBackoff(base=FIRST_WAIT_SECONDS, cap=LONGEST_WAIT_SECONDS)
        errors = (RedisConnectionError, RedisTimeoutError, TimeoutError)
        # Who waits for ever waits for an ACL too; everybody else is told.
        super().__init__(backoff, retries, errors if retries >= 0 else (*errors, NoPermissionError))
        self.seconds, self.rest_seconds, self.clock = seconds, rest_seconds, clock
        self.outage = Outage(says, clock)
        self.meanwhile: Callable[[RedisError], None] = lambda _error: None
        self._place = _Place()
        self._lock = threading.Lock()
        self._resting: RedisFault | None = None
        self._rests_until = float("-inf")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: redis-py copies the retry for each connection, and a rest is the client's."""
        return self

    def __eq__(self, other: object) -> bool:
        """Each is one client's own."""
        return self is other

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Inside, a success says only that a connection was made: what it is for may be refused still."""
        self._place.reaching = True
        try:
            yield
        finally:
            self._place.reaching = False

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """See `redis.retry.Retry`. Raises the last error; while Redis is left alone, `NotNow` with the fault it had."""
        told = fail if with_failure_count else lambda error, _count: fail(error)
        if self._place.inside:
            return self._once(do, told)
        self._refuse_while_resting()
        self._place.inside = True
        try:
            return self._keep_trying(do, told, is_retryable or (lambda _error: True))
        finally:
            self._place.inside = False

    def _once(self, do: Callable[[], Any], fail: Callable[[Any, int], Any]) -> Any:
        try:
            return do()
        except self._supported_errors as error:
            fail(error, 1)
            raise

    def _keep_trying(
        self,
        do: Callable[[], Any],
        fail: Callable[[Any, int], Any],
        is_retryable: Callable[[Exception], bool],
    ) -> Any:
        failures, until = 0, self.clock() + self.seconds
        while True:
            try:
                answer = do()
            except self._supported_errors as error:
                if not is_retryable(error):
                    raise
                failures += 1
                self._tell(error, failures, fail)
                if 0 <= self._retries < failures or self.clock() >= until:
                    self._give_up(error)
                    raise
                self._wait(error, failures, self._backoff.compute(failures))
            else:
                self._succeeded()
                return answer

    def _tell(self, error: Any, failures: int, fail: Callable[[Any, int], Any]) -> None:
        try:
            fail(error, failures)
        except WatchError:
            self._wait(error, QUIET_TRIES, WATCH_SECONDS)
            raise

    def _wait(self, error: Any, failures: int, seconds: float) -> None:
        if failures >= QUIET_TRIES:
            self.outage.failed(error)
        self.meanwhile(error)
        time.sleep(seconds)

    def _succeeded(self) -> None:
        self._rests_until = float("-inf")
        if not self._place.reaching:
            self._resting = None
            self.outage.answered()

    def _give_up(self, error: Any) -> None:
        self.outage.failed(error)
        if self.rest_seconds:
            with self._lock:
                self._resting, self._rests_until = fault_of(error), self.clock() + self.rest_seconds

    def _refuse_while_resting(self) -> None:
        if self._resting is None:
            return
        with self._lock:
            fault, now = self._resting, self.clock()
            if fault is None:
                return
            if now < self._rests_until:
                raise NotNow(fault)
            # One asks whether it is back; meanwhile the others are spared its wait.
            self._rests_until = now + self.rest_seconds
