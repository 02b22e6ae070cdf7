"""What the harness itself saw: faults, dispatches, and work of simulated children. The checker trusts these, not the tables.

Times are seconds since the epoch, by this machine's true clock.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected. `pid` is the process it fell on, where it was one. `until`: when it was over."""

    kind: str
    target: str
    at: float
    until: float
    detail: str = ""
    pid: int | None = None


@dataclass(slots=True)
class Dispatched:
    """One dispatch that a client asked for under one key, with all of its tries."""

    key: str
    task_id: str
    asked_at: float
    tries: int = 0
    outcome: Outcome = "unknown"
    run_id: str = ""
    items: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """An article that a source shows from `at` on. `feed` is the source's own address or id, `link` the article's."""

    feed: str
    link: str
    at: float


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An article that a child uploaded, and was told that it was taken."""

    feed_id: str
    link: str
    at: float


@dataclass
class Journals:
    """Everything that was seen; append-only, from any thread."""

    injected: list[Injected] = field(default_factory=list)
    dispatched: list[Dispatched] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    uploaded: list[Uploaded] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    broken_answers: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, one: Injected) -> None:
        """Note a fault."""
        with self._lock:
            self.injected.append(one)

    def dispatch(self, key: str, task_id: str) -> Dispatched:
        """Note, before it is asked for the first time, what will be asked."""
        one = Dispatched(key, task_id, self.clock())
        with self._lock:
            self.dispatched.append(one)
        return one

    def publish(self, feed: str, link: str) -> None:
        """Note an article; afterwards it may be shown."""
        with self._lock:
            self.published.append(Published(feed, link, self.clock()))

    def upload(self, feed_id: str, link: str) -> None:
        """Note an article that a child gave away."""
        with self._lock:
            self.uploaded.append(Uploaded(feed_id, link, self.clock()))

    def answer(self, name: str, status: int, text: str) -> None:
        """Count an answer of the API; a 500 is a broken promise whatever caused it."""
        with self._lock:
            self.asked[f"{name} {status}"] += 1
            if status == 500:
                self.broken_answers.append(f"{name}: {text[:300]}")

    def trouble(self, text: str) -> None:
        """Note something of the harness itself that went wrong."""
        with self._lock:
            self.troubles.append(text)
