"""One execution of one allocation: begin has happened; work, then settle, as named steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend import metrics
from backend.domain.errors import Unavailable
from backend.domain.orders import Failure, ItemOutcome, Outcome, Receipt, WorkOrder
from backend.domain.ports import Checkpoint, Ledger, Standing
from backend.domain.publishing import PublishReport
from backend.store.session import long_work
from backend.workers.account import work_account
from backend.workers.deliver import work_deliver
from backend.workers.kit import Kit, Reporter
from backend.workers.leases import Leases
from backend.workers.outbox import Outbox
from backend.workers.publish import work_publish
from backend.workers.update import unexpected, work_update

log = logging.getLogger(__name__)

NO_ROOM_SECONDS = 2.0

Work = Callable[[WorkOrder, Kit, Reporter], Outcome]
KINDS: dict[str, Work] = {
    "update": work_update,
    "deliver": work_deliver,
    "publish": work_publish,
    "account": work_account,
}


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs phases 2 and 3 of begun orders. `settled` is called after each settle: the beats may plan again.

    `flowed` hears of each queue whose work the database took.
    """

    ledger: Ledger
    outbox: Outbox
    leases: Leases
    kit: Kit
    settled: Callable[[], None]
    flowed: Callable[[str], None] = lambda _queue: None
    kinds: Mapping[str, Work] = field(default_factory=lambda: KINDS)

    def execute(self, order: WorkOrder) -> Standing:
        """Work and settle; the lease is renewed until the outcome is safe in the database or in the outbox."""
        with self.leases.held(order):
            with metrics.timed(metrics.PHASES, phase="work", kind=order.kind):
                outcome = self._work(order)
            with metrics.timed(metrics.PHASES, phase="settle", kind=order.kind):
                standing = self._settle(outcome, order.queue)
        self.settled()
        return standing

    def _work(self, order: WorkOrder) -> Outcome:
        safe: set[str] = set()
        reporter = Reporter(
            order,
            lambda progress: self._checkpoint(order, progress, safe),
            lambda: self.leases.is_cancelled(order.execution),
        )
        with long_work():
            try:
                return self.kinds[order.kind](order, self.kit, reporter)
            except Exception as error:
                # A job edge: a bug must end as a failure that a person can read, not as a lease that runs out.
                log.exception("allocation %s: unexpected error in its work", order.allocation_id)
                return _failed(order, unexpected(error))
            finally:
                self.kit.slots.give_back(order.execution)

    def _checkpoint(self, order: WorkOrder, progress: Checkpoint, safe: set[str]) -> Standing:
        """Record progress; `safe` names the deliveries whose receipts are in the outbox already. Raises `Unavailable`."""
        try:
            if isinstance(progress, Outcome) and self.kit.stop.is_set():
                # As in `_keep_first`.
                with suppress(OSError):
                    self._keep(progress, safe)
            standing = self.ledger.checkpoint(order, progress)
        except Unavailable:
            if isinstance(progress, Outcome):
                self._keep(progress, safe)
            raise
        if isinstance(progress, Outcome):
            self.settled()
        return standing

    def _keep(self, progress: Outcome, safe: set[str]) -> None:
        """What a receiver answered must survive this process even while the database is away.

        It comes with the settle too: one that succeeds first would otherwise let what was answered be sent again.
        """
        fresh = tuple(receipt for receipt in progress.receipts if receipt.delivery_id not in safe)
        if fresh:
            self.outbox.put(replace(progress, receipts=fresh), final=False)
            safe.update(receipt.delivery_id for receipt in fresh)

    def _settle(self, outcome: Outcome, queue: str) -> Standing:
        """In the database, else in the outbox; a full disk may have room for neither: then it is held here and tried again."""
        while True:
            try:
                return self._settle_or_keep(outcome, queue)
            except OSError:
                if self.kit.stop.grace_is_over():
                    raise
                log.exception(
                    "ALARM: the outcome of allocation %s can be kept neither in the database nor in the outbox; free space",
                    outcome.allocation_id,
                )
                self.kit.slots.wait(NO_ROOM_SECONDS)

    def _settle_or_keep(self, outcome: Outcome, queue: str) -> Standing:
        kept = self._keep_first(outcome)
        try:
            standing = self.ledger.settle(outcome)
        except Unavailable as error:
            kept = kept or self.outbox.put(outcome, final=True)
            log.warning("the outcome of allocation %s waits in the outbox (%s)", outcome.allocation_id, error)
            return Standing.HELD
        except Exception:
            # A job edge: what was done and answered must not be lost to a bug; the outbox tries again.
            log.exception("the outcome of allocation %s could not be settled", outcome.allocation_id)
            kept = kept or self.outbox.put(outcome, final=True)
            return Standing.HELD
        if kept is not None:
            kept.unlink(missing_ok=True)
        self.flowed(queue)
        if standing is Standing.SUPERSEDED:
            log.warning(
                "the outcome of allocation %s came too late: other work took its place", outcome.allocation_id
            )
        return standing

    def _keep_first(self, outcome: Outcome) -> Path | None:
        """During a stop, before the database is asked: one that hangs would be waited for longer than a stop may take."""
        if not self.kit.stop.is_set():
            return None
        try:
            return self.outbox.put(outcome, final=True)
        except OSError as error:
            log.warning("the outbox has no room for what is settled during a stop: %s", error)
            return None


def _failed(order: WorkOrder, failure: Failure) -> Outcome:
    return Outcome(
        order.allocation_id,
        order.attempt,
        order.execution,
        order.kind,
        items=tuple(ItemOutcome(feed.item_id, feed.feed_id, failure=failure) for feed in order.feeds),
        # Nobody knows how far it came, so each message counts as possibly sent.
        receipts=tuple(
            Receipt(delivery.delivery_id, failure=replace(failure, ambiguous=True))
            for delivery in order.deliveries
        ),
        publish=PublishReport(order.publish.task_id) if order.publish else None,
        failure=failure if order.publish or order.account else None,
    )
