"""How a remote node's presence stands with its parent: beats, sign-off, what dead workers held, and when to drain."""

from __future__ import annotations

import logging
import platform
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backend.domain import wire
from backend.domain.errors import ConfigurationError, ParentAway, ParentRefused
from backend.domain.nodes import OutboxReport
from backend.domain.ports import Lease, Standing
from backend.domain.protocol import INSTANCE_REFUSED, PROTOCOL, Capabilities, offered
from backend.domain.reconnecting import return_wait, staggered
from backend.domain.signs import DiskSign
from backend.domain.wire import FullBeat, Heard, PresenceBeat, Renewal, Renewed
from backend.workers.copied_lists import TICK
from backend.workers.deaths import Death
from backend.workers.estates import START_GONE, worker_gone
from backend.workers.http_ledger import HttpLedger
from backend.workers.journal import CLAIMED, FINISHED, Entry, Journal
from backend.workers.outbox import Outbox
from backend.workers.parent import Call, Parent, understood

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
SIGN_OFF_SECONDS = 3.0
SPREAD_SECONDS = 30.0
# As the parent waits (`store.recovery.DRAIN_SECONDS`), and what a beat and the drain itself may take of it.
GAP_SECONDS = 30.0
LATE_SECONDS = 22.0


class InstanceRefused(ConfigurationError):
    """Another live process has this node's identity: this one must stop."""

    default_code = "refused"


def longest_return(lease_seconds: float) -> float:
    """Over how many seconds children may spread what they kept: after a gap, the parent waits for one lease and half a minute before
    it recovers what it heard nothing of, and a beat may come a quarter of a minute late."""
    return min(SPREAD_SECONDS, lease_seconds + GAP_SECONDS - LATE_SECONDS)


@dataclass(slots=True)
class Contact:
    """What the threads of a presence know of the parent: its last answer, and since when it is away."""

    heard: Heard | None = None
    away_since: float | None = None
    drain_after: float = 0.0
    clock: Callable[[], float] = time.monotonic
    roll: Callable[[], float] = random.random
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def away_seconds(self) -> float:
        """For how long the parent has not answered a beat; 0 while it does."""
        return 0.0 if self.away_since is None else self.clock() - self.away_since

    def answered(self, heard: Heard) -> None:
        """A beat went through. After an absence, what waits here is drained a little later, so that not all children come at once."""
        with self.lock:
            if self.away_since is not None:
                self.drain_after = self.clock() + return_wait(
                    self.away_seconds, self.roll(), longest_return(heard.lease_seconds)
                )
                log.info("the parent is back after %.0f s", self.away_seconds)
            self.heard, self.away_since = heard, None

    def failed(self) -> None:
        """A beat did not go through."""
        with self.lock:
            if self.away_since is None:
                self.away_since = self.clock()

    def may_drain(self) -> bool:
        """Whether the parent is there and it is this child's turn."""
        return self.heard is not None and self.away_since is None and self.clock() >= self.drain_after


@dataclass(slots=True)
class HttpTeller:
    """Implements `Teller` by HTTP: the short beat each time, the full one when something changed or `full_seconds` are over.

    `instance_lost` is called when another process took this node's identity; `kept`: what waits besides the outbox.
    """

    parent: Parent
    contact: Contact
    journal: Journal
    outbox: Outbox
    instance: str
    version: str
    capabilities: Capabilities
    full_seconds: float
    callback_url: str = ""
    kept: Outbox | None = None
    instance_lost: Callable[[], None] = lambda: None
    told: tuple[int, OutboxReport] | None = None
    next_full: float = 0.0

    def beat(self, workers: int, outbox: OutboxReport, disk: DiskSign | None) -> None:  # noqa: ARG002  (a parent asks for no disks)
        """See `Teller`."""
        now = self.contact.clock()
        outbox = outbox if self.kept is None else together(outbox, self.kept.report())
        seen = (workers, OutboxReport(outbox.entries, None, outbox.dead))
        is_full = self.contact.heard is None or seen != self.told or now >= self.next_full
        # As they stand before the question: what is claimed meanwhile is none of what the answer is about.
        entries = self.journal.entries()
        heard = self._send(self._full(workers, outbox) if is_full else PresenceBeat(self.instance))
        if is_full:
            self.told = seen
            self.next_full = now + staggered(self.full_seconds, self.contact.roll())
        self._forget(entries, set(heard.stale))
        self.contact.answered(heard)
        if workers:
            # Without a worker, others shall have what was claimed.
            self._renew_waiting()

    def _full(self, workers: int, outbox: OutboxReport) -> FullBeat:
        parent_protocol = self.contact.heard.protocol if self.contact.heard else PROTOCOL
        return FullBeat(
            instance=self.instance,
            version=self.version,
            host=platform.node(),
            protocol=PROTOCOL,
            capabilities=offered(self.capabilities, parent_protocol),
            workers=workers,
            outbox=outbox,
            callback_url=self.callback_url,
            holds=held(self.journal, self.outbox),
        )

    def _send(self, beat: FullBeat | PresenceBeat) -> Heard:
        try:
            said = self.parent.call(
                Call("POST", "/heartbeat", wire.plain(beat), seconds=BEAT_SECONDS, patience=0.0)
            )
        except ParentAway:
            self.contact.failed()
            raise
        except ParentRefused as error:
            if error.parent_code == INSTANCE_REFUSED:
                self.instance_lost()
                raise InstanceRefused(sentence=error.params["detail"]) from error
            raise
        return understood(Heard, said.data)

    def _renew_waiting(self) -> None:
        """What was claimed and has not begun is held by this; what runs, by the process that runs it."""
        waiting = [one for one in self.journal.entries() if one.stage == CLAIMED and not is_own(one)]
        # Each may need two leases.
        some = wire.MAX_LEASES // 2
        for start in range(0, len(waiting), some):
            self._renew(waiting[start : start + some])

    def _renew(self, waiting: Sequence[Entry]) -> None:
        claimed = [Lease(one.allocation_id, one.attempt, "") for one in waiting]
        # A begin that was never answered may have come through or not: one of the two leases is the right one.
        begun = [Lease(one.allocation_id, one.attempt, one.execution) for one in waiting if one.execution]
        leases = (*claimed, *begun)
        path = f"/allocations/{waiting[0].allocation_id}/renew"
        said = self.parent.call(
            Call("POST", path, wire.plain(Renewal(leases)), seconds=BEAT_SECONDS, patience=0.0)
        )
        standings = understood(Renewed, said.data).standings
        kept = {name for name, one in standings.items() if one is Standing.HELD}
        self._forget(
            waiting,
            {one.allocation_id for one in waiting if kept.isdisjoint((one.allocation_id, one.execution))},
        )

    def _forget(self, entries: Sequence[Entry], allocation_ids: set[str]) -> None:
        """Keep no place for what is not this node's any more; what runs hears it from its own renewals.

        What is finished is told by the outbox first.
        """
        for entry in entries:
            if entry.allocation_id in allocation_ids and entry.stage != FINISHED:
                log.info("allocation %s is not this node's any more, or was cancelled", entry.allocation_id)
                self.journal.drop(entry.allocation_id, entry.attempt, entry.execution)

    def sign_off(self) -> None:
        """See `Teller`."""
        self.parent.call(
            Call(
                "POST",
                "/heartbeat",
                wire.plain(PresenceBeat(self.instance, signs_off=True)),
                seconds=SIGN_OFF_SECONDS,
                patience=0.0,
            )
        )


def together(one: OutboxReport, other: OutboxReport) -> OutboxReport:
    """What waits in both, as one."""
    ages = [report.oldest_seconds for report in (one, other) if report.oldest_seconds is not None]
    return OutboxReport(one.entries + other.entries, max(ages, default=None), one.dead + other.dead)


def is_own(entry: Entry) -> bool:
    """Whether this node made that work itself."""
    return entry.allocation_id.startswith(TICK)


def held(journal: Journal, outbox: Outbox) -> tuple[str, ...]:
    """The parent's allocations that this node knows to be its own: in its journal, or finished and in its outbox."""
    known = {entry.allocation_id for entry in journal.entries()} | outbox.allocations()
    return tuple(sorted(one for one in known if not one.startswith(TICK)))


@dataclass(frozen=True, slots=True)
class HttpKeeper:
    """Implements `Keeper` for remote nodes: the journal knows what each worker had begun, the parent is told."""

    ledger: HttpLedger
    outbox: Outbox

    def give_back_worker(self, death: Death) -> None:
        """See `Keeper`."""
        self._give_back(lambda entry: entry.worker == death.worker, worker_gone(death), blames=death.blames)

    def give_back_start(self, instance: str) -> None:
        """See `Keeper`."""
        self._give_back(lambda entry: entry.instance == instance, START_GONE, blames=False)

    def _give_back(self, was_theirs: Callable[[Entry], bool], cause: str, *, blames: bool) -> None:
        finished = self.outbox.allocations()
        for entry in self.ledger.journal.entries():
            # What was finished is not lost: its outcome is in the outbox.
            if not entry.execution or not was_theirs(entry) or entry.allocation_id in finished:
                continue
            lease = Lease(entry.allocation_id, entry.attempt, entry.execution)
            self.ledger.give_back(lease, cause, blames=blames)
            log.warning("gave back %s allocation %s: %s", entry.kind, entry.allocation_id, cause)
