"""A child that runs message tasks by itself while its parent is away: it collects, keeps, and tells later. It never delivers.

The work goes through the node's own journal, queues and workers like any other; only begin, renew and settle stay here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cronsim import CronSimError

from backend.domain import wire
from backend.domain.autonomy import LocalTask, TickItem, TickReport, batches, tick_to_run
from backend.domain.errors import CascadeError, ParentRefused, Unavailable
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.domain.wire import Piece
from backend.workers.claimer import OutboxLimit
from backend.workers.contact import Contact
from backend.workers.copied_lists import TICK, Batch, LocalCopy
from backend.workers.http_ledger import HttpLedger
from backend.workers.journal import Journal
from backend.workers.outbox import Outbox
from backend.workers.parent import Call, Parent

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SEEN_SECONDS = 10.0
UPDATE = "update"
# What an expression or a zone that this machine does not know raises.
UNREADABLE = (CronSimError, ValueError, KeyError)


def is_own(allocation_id: str) -> bool:
    """Whether this child made that work itself."""
    return allocation_id.startswith(TICK)


@dataclass(frozen=True, slots=True)
class AutonomousLedger(HttpLedger):
    """`HttpLedger` for the parent's work; what this child made itself begins from its copy and is settled into its own outbox."""

    copy: LocalCopy = field(kw_only=True)
    kept: Outbox = field(kw_only=True)
    seconds: float = field(kw_only=True)
    """The overall limit of one batch."""

    def order_of(self, allocation_id: str, attempt: int, execution: str) -> WorkOrder | None:
        """See `HttpLedger.order_of`."""
        if not is_own(allocation_id):
            return HttpLedger.order_of(self, allocation_id, attempt, execution)
        feeds = self.copy.feed_orders(allocation_id)
        if not feeds:
            if feeds is not None:
                self.copy.end_batch(allocation_id, (), ())
            return None
        return WorkOrder(allocation_id, attempt, execution, UPDATE, "", self.seconds, feeds)

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """See `Ledger.checkpoint`."""
        if not is_own(order.allocation_id):
            return HttpLedger.checkpoint(self, order, progress)
        if isinstance(progress, Outcome):
            self._keep(progress, final=False)
        return Standing.HELD

    def renew(self, leases: Sequence[Lease]) -> dict[str, Standing]:
        """See `Ledger.renew`. Nobody takes this child's own work away."""
        own = {one.execution: Standing.HELD for one in leases if is_own(one.allocation_id)}
        others = [one for one in leases if not is_own(one.allocation_id)]
        return own | HttpLedger.renew(self, others)

    def settle(self, outcome: Outcome) -> Standing:
        """See `Ledger.settle`."""
        if not is_own(outcome.allocation_id):
            return HttpLedger.settle(self, outcome)
        self._keep(outcome, final=not outcome.handed_back)
        # In this order: what was kept and not noted is collected once more, what was noted and not kept would be lost.
        self.copy.end_batch(outcome.allocation_id, outcome.items, outcome.handed_back)
        if outcome.handed_back:
            self.journal.put_back(outcome.execution)
        else:
            self.journal.drop(outcome.allocation_id, outcome.attempt, outcome.execution)
        return Standing.HELD

    def give_back(self, lease: Lease, cause: str, *, blames: bool) -> None:
        """See `HttpLedger.give_back`: this child's own work waits again."""
        if is_own(lease.allocation_id):
            self.journal.put_back(lease.execution)
        else:
            HttpLedger.give_back(self, lease, cause, blames=blames)

    def _keep(self, outcome: Outcome, *, final: bool) -> None:
        if outcome.items or final:
            try:
                self.kept.fold(outcome) if final else self.kept.put(outcome, final=False)
            except OSError as error:
                raise Unavailable("journal_unusable", path=self.kept.directory, detail=str(error)) from error


@dataclass(frozen=True, slots=True)
class TickTeller:
    """The part of a ledger that an outbox needs, for outcomes of ticks: they are told to the parent with their tick."""

    parent: Parent
    copy: LocalCopy

    def settle(self, outcome: Outcome) -> Standing:
        """Tell what the last of the batch brought."""
        self.tell(outcome)
        self.copy.told(outcome.allocation_id)
        return Standing.HELD

    def checkpoint(self, _order: WorkOrder, progress: Checkpoint) -> Standing:
        """Tell what a part of the batch brought."""
        if isinstance(progress, Outcome):
            self.tell(progress)
        return Standing.HELD

    def tell(self, outcome: Outcome) -> None:
        """One report; the parent merges it, however often it comes. Raises `CascadeError`."""
        batch = self.copy.batch(outcome.allocation_id)
        if batch is None:
            raise ParentRefused(status=0, detail="the copy does not know its tick any more")
        items = tuple(
            TickItem(one.feed_id, one.result, one.failure)
            for one in outcome.items
            if one.result is not None or one.failure is not None
        )
        if items:
            report = TickReport(batch.task_id, batch.planned_at, outcome.execution, items)
            self.parent.call(Call("POST", "/report-result", wire.plain(report), seconds=120.0))


@dataclass(slots=True)
class Autonomy:
    """Makes this child's own work while the parent is away, and tells of it when it is back.

    `enabled`: `cascade.autonomous`. Without it only what was kept before is told.
    """

    copy: LocalCopy
    journal: Journal
    contact: Contact
    kept: Outbox
    teller: TickTeller
    queue: str
    offer: Callable[[Sequence[Piece]], None]
    enabled: bool
    after_seconds: float
    limit: OutboxLimit = field(default_factory=OutboxLimit)
    stop: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    told: set[str] = field(default_factory=set)
    seen_at: datetime | None = None

    def serve(self) -> None:
        """Until `stop` is set."""
        while not self.stop.wait(LOOK_SECONDS):
            try:
                self.turn()
            except CascadeError as error:
                log.warning("%s", error)

    def turn(self) -> None:
        """Note that the parent is there and tell it what was kept, or run what is due. Raises `CascadeError`."""
        now = self.now()
        if self.contact.heard is not None and self.contact.away_since is None:
            self._note_parent(now)
        elif self.enabled:
            self.run_due(now)
        if self.contact.may_drain():
            self.kept.drain(self.teller)

    def _note_parent(self, now: datetime) -> None:
        if self.seen_at is None or (now - self.seen_at).total_seconds() >= SEEN_SECONDS:
            self.copy.see_parent(now)
            self.seen_at = now
            self.told.clear()

    def run_due(self, now: datetime) -> int:
        """Make work of the ticks that have come while the parent is away; how many tasks fired."""
        self._resume()
        seen = self.copy.parent_seen_at()
        if seen is None or (now - seen).total_seconds() < self.after_seconds or self._is_full():
            return 0
        return sum(self._run(task, seen, now) for task in self.copy.tasks() if task.autonomous)

    def _run(self, task: LocalTask, seen: datetime, now: datetime) -> bool:
        try:
            due = tick_to_run(task, max(seen, self.copy.last_tick(task.id) or seen), now)
        except UNREADABLE as error:
            self._say(task.id, f"the schedule of message task {task.name} can't be read here: {error}")
            return False
        if due is None:
            return False
        feed_ids = self.copy.feed_ids()
        if task.feed_ids is not None:
            active = set(feed_ids)
            feed_ids = [one for one in task.feed_ids if one in active]
        made = self.copy.begin_tick(task.id, due.last, batches(feed_ids))
        self._enqueue(made)
        log.warning(
            "the parent is away: message task %s runs here (%d feeds, planned at %s)",
            *(task.name, len(feed_ids), due.last.isoformat()),
        )
        return True

    def _resume(self) -> None:
        """What was begun before a kill, and never came into the journal."""
        known = {entry.allocation_id for entry in self.journal.entries()}
        self._enqueue([one for one in self.copy.open_batches() if one.id not in known])

    def _enqueue(self, made: Sequence[Batch]) -> None:
        pieces = [Piece(one.id, 1, UPDATE, self.queue, len(one.feed_ids)) for one in made]
        if pieces:
            self.offer(self.journal.close_claim("", pieces))

    def _is_full(self) -> bool:
        is_full = self.limit.is_reached(self.kept)
        if is_full:
            self._say(
                "full",
                f"ALARM: so much waits for the parent in {self.kept.directory} that no further tick is run here",
            )
        return is_full

    def _say(self, about: str, text: str) -> None:
        if about not in self.told:
            self.told.add(about)
            log.error("%s", text)
