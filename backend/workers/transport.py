"""How a node reaches its parent: what the node process asks of it, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from backend.dispatch.queues import DEFAULT_QUEUE, PUBLISH_SUFFIX
from backend.domain.ports import Ledger
from backend.workers.deaths import Death
from backend.workers.outbox import Outbox
from backend.workers.presence import SharedCount
from backend.workers.vitals import Start


@dataclass(frozen=True, slots=True)
class Place:
    """What a node process must know of its node; found out by a child before anything else starts."""

    node_id: str
    name: str
    capacity: int
    queues: tuple[str, ...]
    lease_seconds: float
    renew_seconds: float

    @property
    def delivers(self) -> bool:
        """Whether it serves deliveries: then it is the parent's own."""
        return DEFAULT_QUEUE in self.queues

    @property
    def publish_queue(self) -> str:
        """The queue that is served on demand; empty when this process serves none."""
        return next((name for name in self.queues if name.endswith(PUBLISH_SUFFIX)), "")

    @property
    def steady_queues(self) -> tuple[str, ...]:
        """The queues whose workers always run."""
        return tuple(name for name in self.queues if name != self.publish_queue)

    @property
    def updates(self) -> bool:
        """Whether it collects feeds."""
        return bool(self.steady_queues) and not self.delivers


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the workers share by fork."""

    sources: dict[str, Any]
    notifiers: dict[str, Any]
    publishers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What one worker process works with. `flowed` hears of each queue whose work was taken; `prove` serves canaries."""

    ledger: Ledger
    outbox: Outbox
    flowed: Callable[[str], None] = lambda _queue: None
    prove: Callable[[str, str], bool] | None = None


@dataclass(frozen=True, slots=True)
class PresenceParts:
    """What the presence of a node is made of, besides its parent. `heard` are the deaths of workers since it was last asked.

    `demand`: how many jobs wait for workers that run on demand; the presence looks (`watch_demand`), the supervisor reads.
    """

    place: Place
    instance: str
    workers: SharedCount
    heard: Callable[[], list[Death]]
    plugins: Plugins
    demand: SharedCount = field(default_factory=SharedCount)


class Transport(Protocol):
    """By database and Redis (`attached`), or by HTTPS (`remote`). Nothing connects before a method is called."""

    @property
    def told_name(self) -> str:
        """How the log calls the node before its place is known."""
        ...

    def look_around(self, instance: str) -> Place:
        """Check what this start of the node needs, find the node and the queues to serve. Raises `CascadeError`."""
        ...

    def worker(self, place: Place, start: Start) -> WorkerParts:
        """In a worker, after its fork: what connects."""
        ...

    def presence(self, parts: PresenceParts) -> int:
        """In the presence, after its fork: beat, drain, give back what the dead held, until SIGTERM and the end of the workers."""
        ...
