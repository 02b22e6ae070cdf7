"""What one piece of publish or account work runs between: its deadlines, the point of no return, and whoever waits for its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpClient, HttpRequest, HttpResponse
from backend.workers.kit import Stop

LOOK_SECONDS = 0.1
# What publishers wait for at most before they look whether they must stop.
PAUSE_SECONDS = 0.2
# After the point of no return the call has its own time; only one that never ends is left behind.
ANSWER_SECONDS = 180.0
READING = frozenset({"GET", "HEAD", "OPTIONS"})
# With these the HTTP client says that nothing reached anybody, unless the error is ambiguous.
UNSENT = frozenset(
    {"submission_late", "egress_refused", "dns_failed", "connect_failed", "tls_failed", "unsendable_request"}
)


def boot_seconds() -> float:
    """Seconds that also pass while the machine sleeps: a lease of somebody else's does."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Stage(Enum):
    """Where one piece of work stands towards its point of no return."""

    BEFORE = "before"
    PAST = "past"
    LEFT = "left"


class Threshold:
    """Either the work passes it, or whoever waits leaves the work before it: never both."""

    def __init__(self) -> None:
        self._stage = Stage.BEFORE
        self._lock = threading.Lock()

    def cross(self) -> bool:
        """The work wants to pass; `False` when nobody waits for it any more."""
        return self._become(Stage.PAST)

    def leave(self) -> bool:
        """Whoever waits wants to go; `False` when the work has passed."""
        return self._become(Stage.LEFT)

    @property
    def crossed(self) -> bool:
        """Whether the work has passed."""
        return self._stage is Stage.PAST

    def _become(self, stage: Stage) -> bool:
        with self._lock:
            if self._stage is Stage.BEFORE:
                self._stage = stage
            return self._stage is stage


@dataclass(slots=True)
class Limits:
    """The deadlines of one piece of work, by `clock`.

    `until` is its overall limit. `call_by`, set once the platform may be told to publish: the request that does it must begin by then.
    """

    seconds: float
    clock: Callable[[], float] = boot_seconds
    until: float = field(init=False)
    call_by: float | None = None

    def __post_init__(self) -> None:
        """It begins now."""
        self.until = self.clock() + self.seconds

    def seconds_left(self) -> float:
        """Until its own deadline."""
        return self.until - self.clock()

    def is_over(self) -> bool:
        """Whether nobody needs to wait any longer."""
        return self.seconds_left() + (ANSWER_SECONDS if self.call_by is not None else 0.0) <= 0


@dataclass(slots=True)
class BoundHttp:
    """The way out within the limits: right before each request they are looked at, whatever slept in between."""

    http: HttpClient
    limits: Limits
    has_called: bool = False

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `HttpClient`. Raises `WorkError` also when there is no time left for it: then nothing was sent."""
        if self.limits.call_by is not None:
            return self._call(request, self.limits.call_by)
        left = self.limits.seconds_left()
        if left <= 0:
            raise WorkError("deadline_exceeded", seconds=f"{self.limits.seconds:g}")
        return self.http.send(replace(request, seconds=min(request.seconds, left)))

    def _call(self, request: HttpRequest, call_by: float) -> HttpResponse:
        # Reading harms nobody, and what follows the call belongs to it.
        if request.method in READING or self.has_called:
            return self.http.send(request)
        if self.limits.clock() > call_by:
            raise WorkError("submission_late")
        self.has_called = True
        try:
            return self.http.send(request)
        except WorkError as error:
            self.has_called = error.code not in UNSENT or error.ambiguous
            raise


class Left(Exception):
    """The work must end here, without having come to anything: nothing was submitted."""


def desk_for(
    http: HttpClient,
    limits: Limits,
    tell: Callable[[str], None],
    must_end: Callable[[], bool],
    options: Mapping[str, str],
) -> Desk:
    """The desk of a publisher. `must_end`: a stop or a cancel was asked for and may still be obeyed."""

    def rest(seconds: float) -> bool:
        end = limits.clock() + seconds
        while not (must_end() or limits.seconds_left() <= 0):
            left = end - limits.clock()
            if left <= 0:
                return False
            time.sleep(min(left, PAUSE_SECONDS))
        return True

    return Desk(http, tell, rest, limits.seconds_left, options)


class Ending(StrEnum):
    """Why nobody waits for a piece of work any longer."""

    DONE = "done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Watch:
    """Waits for a piece of work in its thread, and leaves it behind when there is a reason: the process ends afterwards."""

    limits: Limits
    stop: Stop
    threshold: Threshold
    is_cancelled: Callable[[], bool]

    def must_end(self) -> bool:
        """Whether work that has not passed its threshold should end by itself."""
        return not self.threshold.crossed and (self.stop.is_set() or self.is_cancelled())

    def await_end(self, future: Future[Any]) -> Ending:
        """Until it has ended or is left behind."""
        while True:
            wait([future], timeout=LOOK_SECONDS)
            if future.done():
                return Ending.DONE
            if self.is_cancelled() and self.threshold.leave():
                return Ending.CANCELLED
            if self.stop.grace_is_over():
                self.threshold.leave()
                return Ending.STOPPED
            if self.limits.is_over():
                self.threshold.leave()
                return Ending.LATE
