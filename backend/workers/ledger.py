"""`SqlLedger`: phases 1 and 3 straight on the store, for attached nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.store import allocations, flow, phases
from backend.store.allocations import Taker
from backend.store.phases import UPDATE, Terms
from backend.store.session import short_transaction, transact
from backend.store.settlement import Report
from backend.workers.sharing import SharedTransactions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements `Ledger` over the database. Every call is one short transaction; `Unavailable` when it stays away."""

    engine: Engine
    taker: Taker
    terms: Terms
    _shared: SharedTransactions = field(init=False, default_factory=SharedTransactions)

    def begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """See `Ledger.begin`."""
        return self._begin(
            lambda session: phases.begin(session, self.terms, allocation_id, attempt, execution, self.taker)
        )

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        """See `Ledger.begin_next`."""
        tries = count()

        def begin(session: Session) -> WorkOrder | None:
            # Only a repeated transaction may have begun something already, whose answer was lost.
            begun = allocations.begun_by(session, queue, execution) if next(tries) else None
            if begun is None:
                begun = allocations.begin_next(session, queue, execution, max_size, self.taker, idle=idle)
            return phases.order_of(session, self.terms, execution, begun)

        return self._begin(begin)

    def _begin(self, work: Callable[[Session], WorkOrder | None]) -> WorkOrder | None:
        started = time.monotonic()
        order = self._transact(work)
        if order is not None:
            metrics.observe(metrics.PHASES, time.monotonic() - started, phase="begin", kind=order.kind)
        return order

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """See `Ledger.checkpoint`."""
        if isinstance(progress, Outcome) and progress.kind == UPDATE:
            return self._report(Report(progress, final=False))
        lease = Lease(order.allocation_id, order.attempt, order.execution)
        return self._transact(lambda session: phases.checkpoint(session, self.terms, lease, progress))

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """See `Ledger.renew`."""
        return self._transact(lambda session: allocations.renew(session, leases, self.taker.lease_seconds))

    def settle(self, outcome: Outcome) -> Standing:
        """See `Ledger.settle`."""
        if outcome.kind == UPDATE:
            return self._report(Report(outcome, final=True))
        return self._transact(lambda session: phases.settle(session, self.terms, outcome))

    def prove(self, queue: str, token: str) -> bool:
        """Begin and settle a canary of the queue, each in a short transaction as for work; `False` when it is late."""
        return self._transact(lambda session: flow.begin_canary(session, queue, token)) and self._transact(
            lambda session: flow.settle_canary(session, queue, token)
        )

    def _report(self, report: Report) -> Standing:
        return self._shared.submit(report, self._apply)

    def _apply(self, reports: Sequence[Report]) -> list[Standing]:
        return self._transact(lambda session: phases.apply_reports(session, self.terms, reports))

    def _transact(self, work: Callable[[Session], T]) -> T:
        with short_transaction():
            return transact(self.engine, work)
