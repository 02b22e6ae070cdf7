"""What alarms are decided from: plain facts about work, nodes, queues, processes and machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DEFAULT_QUEUE = "default"
SAMPLES_NEEDED = 20


@dataclass(frozen=True, slots=True)
class RunningWork:
    """An allocation that is being worked on."""

    allocation_id: str
    kind: str
    queue: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NodeSign:
    """What an active node's beats say. `silent_seconds` since the last one; `None` when it never beat or signed off."""

    name: str
    slug: str
    silent_seconds: float | None = None
    outbox_entries: int = 0
    outbox_oldest_seconds: float | None = None
    outbox_dead: int = 0


@dataclass(frozen=True, slots=True)
class QueueSign:
    """One queue: its live workers, how long it has had none, how long its oldest pending work waits, and how long a
    proof that work flows through it has been awaited (`None`: it is not).
    """

    name: str
    consumers: int
    unserved_seconds: float = 0.0
    oldest_pending_seconds: float | None = None
    awaited_seconds: float | None = None
    settled_seconds: float | None = None
    proved_seconds: float | None = None

    def is_stopped(self, flow_seconds: float) -> bool:
        """Whether nothing flows although workers live."""
        return bool(
            flow_seconds and self.consumers and self.awaited_seconds and self.awaited_seconds >= flow_seconds
        )


@dataclass(frozen=True, slots=True)
class PoolSign:
    """A process's pool of database connections: how many were used for its last few looks, of how many."""

    process: str
    used: int
    size: int


@dataclass(frozen=True, slots=True)
class RunSign:
    """The newest run of a message task: how many of its items ended, and how many of those failed."""

    task_id: str
    task_name: str
    run_id: str
    failed: int
    ended: int


@dataclass(frozen=True, slots=True)
class DiskSign:
    """The file system of a data directory, in bytes."""

    machine: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class AccountSign:
    """An account that a person must log in to, or (`expiring`) must soon; `held` tasks wait for it."""

    account_id: str
    name: str
    platform: str
    health: str
    reason: str = ""
    held: int = 0


@dataclass(frozen=True, slots=True)
class PublishSign:
    """What publishing wants of people: logins, and a word about tasks of which nobody knows whether they were published."""

    accounts: Sequence[AccountSign] = ()
    unconfirmed: int = 0
    oldest_task_id: str = ""
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known now. A group that is `None` could not be found out: its rules say nothing."""

    running: Sequence[RunningWork] | None = None
    usual_seconds: Mapping[str, float] = field(default_factory=dict)
    nodes: Sequence[NodeSign] | None = None
    queues: Sequence[QueueSign] | None = None
    flows: Sequence[QueueSign] | None = None
    pools: Sequence[PoolSign] | None = None
    runs: Sequence[RunSign] | None = None
    disks: Sequence[DiskSign] | None = None
    beat_silent_seconds: float | None = None
    sweep_silent_seconds: float | None = None
    publishing: PublishSign | None = None


def percentile(values: Sequence[float], share: float = 0.99) -> float | None:
    """The nearest-rank percentile; `None` below twenty values, of which none would be unusual."""
    if len(values) < SAMPLES_NEEDED:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]
