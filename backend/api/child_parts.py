"""What the children's routes work with, built once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.api.claiming import Claiming, Leases
from backend.api.heartbeats import Heartbeats
from backend.api.waiting import WorkWaits
from backend.domain.errors import Conflict
from backend.domain.retry import RetryPolicy
from backend.store.children import Holder
from backend.store.phases import Terms

if TYPE_CHECKING:
    from backend.store.credentials import NodeIdentity


@dataclass(frozen=True, slots=True)
class ChildParts:
    """Group commit of beats and claims, the long polls, how long leases hold, and what follows a failed feed."""

    heartbeats: Heartbeats
    claiming: Claiming
    waits: WorkWaits
    leases: Leases
    policy: RetryPolicy
    terms: Terms

    def require_instance(self, node: NodeIdentity, instance: str) -> None:
        """Raise `Conflict` for a start of the node that another one has replaced."""
        if instance and node.instance and instance != node.instance:
            raise Conflict("instance_replaced", name=node.name)

    def holder(self, node: NodeIdentity) -> Holder:
        """The node as the holder of work."""
        return Holder(node.id, node.instance, self.leases.seconds_for(node))
