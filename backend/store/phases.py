"""Phases 1 and 3 over the store, for whichever ledger or route asks: begin with its order, checkpoint, settle.

`SqlLedger` calls this for attached nodes and the API for remote ones; there is no second way to begin or end work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from sqlalchemy.orm import Session

from backend.domain.orders import Freeze, Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.domain.publish_endings import PublishPolicy
from backend.domain.publishing import DraftSaved, LoginPrompt, LoginScreenshot, Submission
from backend.domain.retry import RetryPolicy
from backend.store import allocations, deliveries, publish_checkpoints, publish_work, settlement
from backend.store.allocations import Begun, Taker
from backend.store.cipher import Cipher
from backend.store.deliveries import DeliveryPolicy
from backend.store.publish_work import ACCOUNT, PUBLISH, PublishTerms
from backend.store.settlement import Report

UPDATE = "update"
DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms work is given out and taken back. `seconds` gives each kind's own overall limit."""

    cipher: Cipher
    items: RetryPolicy
    deliveries: DeliveryPolicy
    seconds: Mapping[str, float]
    publishing: PublishPolicy = field(default_factory=PublishPolicy)

    @property
    def publish_terms(self) -> PublishTerms:
        """The part of them for publish and account work."""
        return PublishTerms(self.cipher, self.publishing)


def begin(
    session: Session, terms: Terms, allocation_id: str, attempt: int, execution: str, taker: Taker
) -> WorkOrder | None:
    """Take the allocation and load its order; the same again for the same execution, `None` for any other."""
    begun = allocations.begin(session, allocation_id, attempt, execution, taker)
    return order_of(session, terms, execution, begun)


def order_of(session: Session, terms: Terms, execution: str, begun: Begun | None) -> WorkOrder | None:
    """The order of what the execution has begun, everything that phase 2 needs.

    `None` also for publish and account work that may not go on now after all; it was given back.
    """
    if begun is None:
        return None
    one = begun.allocation_id
    publish = publish_work.publish_order(session, terms.publish_terms, one) if begun.kind == PUBLISH else None
    account = publish_work.account_order(session, terms.publish_terms, one) if begun.kind == ACCOUNT else None
    if begun.kind in (PUBLISH, ACCOUNT) and publish is None and account is None:
        return None
    if begun.kind == DELIVER:
        deliveries.take_over(session, begun.allocation_id, terms.deliveries)
    return WorkOrder(
        allocation_id=begun.allocation_id,
        attempt=begun.attempt,
        execution=execution,
        kind=begun.kind,
        queue=begun.queue,
        alone=begun.alone,
        seconds=terms.seconds[begun.kind],
        feeds=allocations.feed_orders(session, begun.allocation_id) if begun.kind == UPDATE else (),
        deliveries=(
            deliveries.delivery_orders(session, begun.allocation_id, terms.cipher)
            if begun.kind == DELIVER
            else ()
        ),
        publish=publish,
        account=account,
    )


def checkpoint(session: Session, terms: Terms, lease: Lease, progress: Checkpoint) -> Standing:
    """Record what is final so far; what still holds of the execution. Update work reports by `apply_reports`."""
    if isinstance(progress, Freeze):
        return deliveries.freeze(session, lease, progress.messages)
    if isinstance(progress, DraftSaved):
        return publish_checkpoints.save_draft(session, lease, progress)
    if isinstance(progress, Submission):
        return publish_checkpoints.submit(session, terms.publishing, lease, progress)
    if isinstance(progress, LoginPrompt | LoginScreenshot):
        return publish_checkpoints.show(session, terms.cipher, lease, progress)
    if isinstance(progress, Outcome):
        if progress.kind == UPDATE:
            return apply_reports(session, terms, [Report(progress, final=False)])[0]
        return deliveries.apply_receipts(session, progress, terms.deliveries)
    assert_never(progress)


def settle(session: Session, terms: Terms, outcome: Outcome) -> Standing:
    """Apply the outcome. `SUPERSEDED` when other work took its place; repeated, it changes nothing."""
    if outcome.kind == UPDATE:
        return apply_reports(session, terms, [Report(outcome, final=True)])[0]
    if outcome.kind in (PUBLISH, ACCOUNT):
        return publish_work.settle(session, terms.publish_terms, outcome)
    return deliveries.settle_deliver(session, outcome, terms.deliveries)


def apply_reports(session: Session, terms: Terms, reports: Sequence[Report]) -> list[Standing]:
    """Checkpoints and outcomes of several executions' update work in one transaction; see `settlement.apply_reports`."""
    return settlement.apply_reports(session, reports, terms.items)
