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
from backend.domain.orders import Freeze, Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.domain.retry import RetryPolicy
from backend.store import allocations, deliveries, flow, settlement
from backend.store.allocations import Begun, Taker
from backend.store.cipher import Cipher
from backend.store.deliveries import DeliveryPolicy
from backend.store.session import short_transaction, transact
from backend.store.settlement import Report
from backend.workers.sharing import SharedTransactions

T = TypeVar("T")

UPDATE = "update"
DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements `Ledger` over the database. Every call is one short transaction; `Unavailable` when it stays away.

    `seconds` gives each kind's own overall limit.
    """

    engine: Engine
    cipher: Cipher
    taker: Taker
    items: RetryPolicy
    deliveries: DeliveryPolicy
    seconds: dict[str, float]
    _shared: SharedTransactions = field(init=False, default_factory=SharedTransactions)

    def begin(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """See `Ledger.begin`."""
        return self._begin(
            lambda session: self._order(
                session, execution, allocations.begin(session, allocation_id, attempt, execution, self.taker)
            )
        )

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        """See `Ledger.begin_next`."""
        tries = count()

        def begin(session: Session) -> WorkOrder | None:
            # Only a repeated transaction may have begun something already, whose answer was lost.
            begun = allocations.begun_by(session, queue, execution) if next(tries) else None
            if begun is None:
                begun = allocations.begin_next(session, queue, execution, max_size, self.taker, idle=idle)
            return self._order(session, execution, begun)

        return self._begin(begin)

    def _begin(self, work: Callable[[Session], WorkOrder | None]) -> WorkOrder | None:
        started = time.monotonic()
        order = self._transact(work)
        if order is not None:
            metrics.observe(metrics.PHASES, time.monotonic() - started, phase="begin", kind=order.kind)
        return order

    def _order(self, session: Session, execution: str, begun: Begun | None) -> WorkOrder | None:
        if begun is None:
            return None
        if begun.kind == DELIVER:
            deliveries.take_over(session, begun.allocation_id, self.deliveries)
        return WorkOrder(
            allocation_id=begun.allocation_id,
            attempt=begun.attempt,
            execution=execution,
            kind=begun.kind,
            queue=begun.queue,
            alone=begun.alone,
            seconds=self.seconds[begun.kind],
            feeds=allocations.feed_orders(session, begun.allocation_id) if begun.kind == UPDATE else (),
            deliveries=(
                deliveries.delivery_orders(session, begun.allocation_id, self.cipher)
                if begun.kind == DELIVER
                else ()
            ),
        )

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """See `Ledger.checkpoint`."""
        if isinstance(progress, Outcome) and progress.kind == UPDATE:
            return self._report(Report(progress, final=False))
        return self._transact(lambda session: self._checkpoint(session, order, progress))

    def _checkpoint(self, session: Session, order: WorkOrder, progress: Checkpoint) -> Standing:
        if isinstance(progress, Freeze):
            lease = Lease(order.allocation_id, order.attempt, order.execution)
            return deliveries.freeze(session, lease, progress.messages)
        if isinstance(progress, Outcome):
            return deliveries.apply_receipts(session, progress, self.deliveries)
        raise TypeError(progress)

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """See `Ledger.renew`."""
        return self._transact(lambda session: allocations.renew(session, leases, self.taker.lease_seconds))

    def settle(self, outcome: Outcome) -> Standing:
        """See `Ledger.settle`."""
        if outcome.kind == UPDATE:
            return self._report(Report(outcome, final=True))
        return self._transact(lambda session: deliveries.settle_deliver(session, outcome, self.deliveries))

    def prove(self, queue: str, token: str) -> bool:
        """Begin and settle a canary of the queue, each in a short transaction as for work; `False` when it is late."""
        return self._transact(lambda session: flow.begin_canary(session, queue, token)) and self._transact(
            lambda session: flow.settle_canary(session, queue, token)
        )

    def _report(self, report: Report) -> Standing:
        return self._shared.submit(report, self._apply)

    def _apply(self, reports: Sequence[Report]) -> list[Standing]:
        return self._transact(lambda session: settlement.apply_reports(session, reports, self.items))

    def _transact(self, work: Callable[[Session], T]) -> T:
        with short_transaction():
            return transact(self.engine, work)
