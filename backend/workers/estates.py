"""What dead workers held is given back by the presence of their node."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Engine

from backend.domain.ports import Ledger
from backend.store import deaths, recovery
from backend.store.deaths import Orphan
from backend.store.planning import Placed
from backend.store.session import read, transact
from backend.workers.deaths import Death
from backend.workers.instances import Instances
from backend.workers.outbox import Outbox

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
START_GONE = "all processes of its node were gone when the node was started again"


def worker_gone(death: Death) -> str:
    """The cause, as people read it at the work that the worker held."""
    return f"its worker process ended: {death.cause}"


class Keeper(Protocol):
    """Gives back what the dead held; where the truth is, for one kind of node."""

    def give_back_worker(self, death: Death) -> None:
        """What that worker process held. Raises `Unavailable`; then it is called again."""
        ...

    def give_back_start(self, instance: str) -> None:
        """What that earlier start of the node held. Raises `Unavailable`; then it is called again."""
        ...


@dataclass(slots=True)
class Heir:
    """Gives back what the dead workers of a node held; what can't be done while the truth is away stays for later."""

    keeper: Keeper
    outbox: Outbox
    ledger: Ledger
    listen: Callable[[], list[Death]]
    instances: Instances
    waiting: list[Death] = field(default_factory=list)
    looked: float = float("-inf")

    def settle_estates(self) -> None:
        """Recover what each of them held. Raises `Unavailable`; the next call goes on."""
        self.waiting += self.listen()
        departed = self._departed()
        if not self.waiting and not departed:
            return
        # What a worker finished before it died is settled first: then it is done, and not lost.
        self.outbox.drain(self.ledger)
        while self.waiting:
            self.keeper.give_back_worker(self.waiting[0])
            del self.waiting[0]
        for instance in departed:
            self.keeper.give_back_start(instance)
            self.instances.forget(instance)

    def _departed(self) -> list[str]:
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return []
        self.looked = time.monotonic()
        return self.instances.departed()


@dataclass(frozen=True, slots=True)
class SqlKeeper:
    """Of attached nodes: straight in the database. `offer` enqueues what is pending again."""

    engine: Engine
    node_id: str
    delivery_attempts: int
    offer: Callable[[Sequence[Placed]], None]

    def give_back_worker(self, death: Death) -> None:
        """See `Keeper`."""
        self.give_back(self._held_by(death))

    def give_back_start(self, instance: str) -> None:
        """See `Keeper`."""
        self.give_back(self._held_before(instance))

    def _held_before(self, instance: str) -> list[Orphan]:
        return read(
            self.engine, lambda session: deaths.held_by_instance(session, self.node_id, instance, START_GONE)
        )

    def _held_by(self, death: Death) -> list[Orphan]:
        cause = worker_gone(death)
        return read(
            self.engine,
            lambda session: deaths.held_by_worker(
                session, self.node_id, death.worker, cause, blames=death.blames
            ),
        )

    def give_back(self, orphans: Sequence[Orphan]) -> None:
        """Recover these. Raises `Unavailable`."""
        recovered = [one for one in orphans if self._recover(one)]
        for one in recovered:
            log.warning("gave back %s allocation %s: %s", one.kind, one.allocation_id, one.cause)
        if recovered:
            # Update work goes to the planner instead, as work items.
            self.offer(
                [
                    Placed(one.queue, one.allocation_id, one.attempt + 1, one.kind)
                    for one in recovered
                    if one.kind != "update"
                ]
            )

    def _recover(self, orphan: Orphan) -> bool:
        return transact(
            self.engine, lambda session: recovery.recover(session, orphan, self.delivery_attempts)
        )
