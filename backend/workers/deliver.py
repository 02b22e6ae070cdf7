"""Phase 2 of deliver work: fix each body before its first attempt, send, record each answer as it arrives."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from backend.domain.errors import InvalidInput, Unavailable, WorkError
from backend.domain.orders import DeliveryOrder, Failure, Freeze, FrozenMessage, Outcome, Receipt, WorkOrder
from backend.domain.ports import Notifier, Standing
from backend.domain.receivers import receiver_of
from backend.domain.rendering import render_message
from backend.workers.batch import Batch
from backend.workers.kit import Kit, Reporter
from backend.workers.update import failure_of, unexpected

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A delivery with its message and its notifier."""

    delivery: DeliveryOrder
    message: FrozenMessage
    notifier: Notifier


@dataclass(slots=True)
class Sending:
    """One order's sending. `receipts` holds what failed before anything was sent."""

    kit: Kit
    reporter: Reporter
    receipts: list[Receipt] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def prepare(self, delivery: DeliveryOrder) -> Ready | None:
        """Render what has no body yet. A job edge: whatever goes wrong is this delivery's failure and no other's."""
        try:
            notifier = self.kit.notifiers[receiver_of(delivery.web_hook_url, delivery.message_type).notifier]
            message = delivery.frozen or render_message(
                delivery, datetime.now(UTC), ZoneInfo(delivery.time_zone)
            )
        except WorkError as error:
            self._refuse(delivery, failure_of(error))
        except InvalidInput as error:
            self._refuse(delivery, Failure(error.code, error.sentence(), permanent=True))
        except KeyError as missing:
            refused = WorkError("no_such_notifier", permanent=True, name=missing.args[0])
            self._refuse(delivery, failure_of(refused))
        except Exception as error:
            log.exception("delivery %s: its message could not be made", delivery.delivery_id)
            self._refuse(delivery, unexpected(error))
        else:
            return Ready(delivery, message, notifier)
        return None

    def _refuse(self, delivery: DeliveryOrder, failure: Failure) -> None:
        self.receipts.append(Receipt(delivery.delivery_id, failure=failure))

    def freeze(self, ready: list[Ready]) -> list[Ready]:
        """Fix the bodies that may be repeated, in one transaction; the rest is fixed right before it is sent."""
        together = [one for one in ready if one.notifier.recognises_repeats]
        alone = [one for one in ready if not one.notifier.recognises_repeats]
        try:
            return self._freeze_together(together) + alone
        except Exception as error:
            # A job edge: nothing of it was sent yet, so it is a failure like any other.
            log.exception("the bodies of %d deliveries could not be fixed", len(together))
            for one in together:
                self._refuse(one.delivery, unexpected(error))
            return alone

    def _freeze_together(self, ready: list[Ready]) -> list[Ready]:
        standing = self._standing(ready) if ready else Standing.HELD
        if standing is Standing.SUPERSEDED:
            # One of them may have been acknowledged late: that one is not sent again, the others are.
            return [one for one in ready if self._frozen(one)]
        if standing is not Standing.HELD:
            self.left += [one.delivery.delivery_id for one in ready]
            return []
        return ready

    def _frozen(self, ready: Ready) -> bool:
        held = self._standing([ready]) is Standing.HELD
        if not held:
            self.left.append(ready.delivery.delivery_id)
        return held

    def _standing(self, ready: list[Ready]) -> Standing | None:
        """What the ledger says to sending these; `None` while the database is away."""
        try:
            return self.reporter.report(Freeze({one.delivery.delivery_id: one.message for one in ready}))
        except Unavailable as error:
            log.warning("nothing is sent while the database is away (%s)", error)
            return None

    def send(self, ready: Ready) -> Receipt | None:
        """Send one message; `None` when it was not sent at all. A job edge: any error ends this delivery only."""
        delivery_id = ready.delivery.delivery_id
        sending = ready.notifier.recognises_repeats
        try:
            if not sending and not self._frozen(ready):
                return None
            sending = True
            return ready.notifier.send(ready.delivery, ready.message, self.kit.http)
        except WorkError as error:
            log.info("delivery %s: %s", delivery_id, error)
            return Receipt(delivery_id, error.response_status, error.detail, failure=failure_of(error))
        except (Exception, SystemExit) as error:
            log.exception("delivery %s: unexpected error", delivery_id)
            # Once the notifier has it, nobody knows how far it came, so it counts as possibly sent.
            return Receipt(delivery_id, failure=replace(unexpected(error), ambiguous=sending))


def work_deliver(order: WorkOrder, kit: Kit, reporter: Reporter) -> Outcome:
    """Send every delivery of the order; failures are results of their deliveries, never of the order."""
    empty = Outcome(order.allocation_id, order.attempt, order.execution, order.kind)
    sending = Sending(kit, reporter)
    prepared = [sending.prepare(delivery) for delivery in order.deliveries]
    ready = sending.freeze([one for one in prepared if one is not None])
    batch = Batch(
        futures={kit.submit(order, sending.send, one): one.delivery.delivery_id for one in ready},
        deadline=time.monotonic() + order.seconds,
        stop=kit.stop,
        is_cancelled=reporter.is_cancelled,
        abandon=kit.slots.abandon,
        report=lambda results: _record(reporter, replace(empty, receipts=_receipts(results))),
        # An acknowledgement is recorded as soon as it arrives: a crash can repeat only what has no answer.
        report_seconds=0.0,
    )
    kit.slots.give_back(order.execution)
    batch.run()
    return replace(
        empty,
        receipts=(
            *sending.receipts,
            *_receipts(batch.results),
            *map(_unanswered, (*batch.late, *batch.interrupted)),
        ),
        handed_back=(*sending.left, *batch.left),
    )


def _unanswered(delivery_id: str) -> Receipt:
    """A message that was being sent when its time was over."""
    error = WorkError("answer_lost", ambiguous=True)
    return Receipt(delivery_id, failure=failure_of(error))


def _receipts(results: list[Receipt | None]) -> tuple[Receipt, ...]:
    return tuple(receipt for receipt in results if receipt is not None)


def _record(reporter: Reporter, progress: Outcome) -> Standing | None:
    try:
        standing = reporter.report(progress)
    except Unavailable as error:
        log.warning("receipts could not be written (%s); they stay for the settle", error)
        return None
    except Exception:
        # A job edge: what was answered is kept for the settle, and what is being sent goes on.
        log.exception("receipts could not be written; they stay for the settle")
        return None
    # Sending goes on when only the lease was lost: what was begun must still be recorded.
    return Standing.HELD if standing is Standing.SUPERSEDED else standing
