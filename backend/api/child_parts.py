"""What the children's routes work with, built once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.api.heartbeats import Heartbeats
from backend.api.waiting import WorkWaits
from backend.domain.retry import RetryPolicy
from backend.store.children import Holder

if TYPE_CHECKING:
    from backend.store.credentials import NodeIdentity


@dataclass(frozen=True, slots=True)
class ChildParts:
    """Group commit of beats, the long polls, how long leases hold (in seconds), and what follows a failed feed."""

    heartbeats: Heartbeats
    waits: WorkWaits
    lease_seconds: float
    child_lease_seconds: float
    policy: RetryPolicy

    def holder(self, node: NodeIdentity) -> Holder:
        """The node as the holder of work: WeRSS children get long leases, because they renew them by chance only."""
        seconds = self.lease_seconds if node.instance else self.child_lease_seconds
        return Holder(node.id, node.instance, seconds)
