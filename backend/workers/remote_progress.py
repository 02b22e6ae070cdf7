"""How far a remote node's publish and account work is: told by the work to the node's own Redis, and to the parent with each renewal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.dispatch import progress
from backend.domain.orders import WorkOrder
from backend.workers.signals import Signals


@dataclass(frozen=True, slots=True)
class RemoteProgress:
    """One working process's. The work speaks of its publish task or account, the parent asks by allocation."""

    signals: Signals
    subjects: dict[str, str] = field(default_factory=dict)

    def began(self, order: WorkOrder) -> None:
        """Remember what the order is about."""
        if order.publish is not None:
            self.subjects[order.allocation_id] = order.publish.task_id
        elif order.account is not None:
            self.subjects[order.allocation_id] = order.account.account_id

    def words(self, allocation_ids: Sequence[str]) -> Mapping[str, str]:
        """By allocation, what was told last."""
        asked = {self.subjects[one]: one for one in allocation_ids if one in self.subjects}
        if not asked:
            return {}
        nothing: dict[str, str] = {}
        told = self.signals.ask(lambda redis: progress.read(redis, list(asked)), nothing)
        return {asked[subject]: words for subject, words in told.items()}
