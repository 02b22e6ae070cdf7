"""One round of a remote node in this process, without a Redis and without other processes: beat, claim, work, settle, sign off."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version

from backend import metrics
from backend.dispatch import queues
from backend.domain.errors import CascadeError
from backend.domain.identifiers import new_id
from backend.domain.wire import Heard
from backend.workers.autonomy import TickTeller
from backend.workers.building import build_kit
from backend.workers.claimer import Claimer, Scope
from backend.workers.contact import Contact, HttpKeeper, HttpTeller
from backend.workers.estates import Heir
from backend.workers.execution import Executor
from backend.workers.http_ledger import HttpLedger
from backend.workers.identity import recall_any
from backend.workers.introduction import Introduction
from backend.workers.journal import CLAIMED, Journal, Who
from backend.workers.kit import Kit
from backend.workers.lane import Lane
from backend.workers.leases import Leases
from backend.workers.outbox import Outbox
from backend.workers.parent import Parent
from backend.workers.presence import BEAT_SECONDS
from backend.workers.remote import UPDATE, Remote, capabilities, load_plugins
from backend.workers.signals import Signals
from backend.workers.transport import Place, Plugins

# The parent plans for a node only once it has heard of it.
CLAIM_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round did: pieces claimed and begun (work of an earlier start may be among the begun), and what waits for the parent still."""

    claimed: int
    begun: int
    kept: int


@dataclass(frozen=True, slots=True)
class Round:
    """The parts of one round; made by `open_round`."""

    remote: Remote
    place: Place
    heard: Heard
    instance: str
    parent: Parent
    journal: Journal
    outbox: Outbox
    plugins: Plugins

    def run(self) -> RoundReport:
        """Claim once and work all of it. Raises `CascadeError` when the parent can't be claimed from."""
        contact = Contact()
        contact.answered(self.heard)
        with self._beating(self._teller(contact)):
            return self._work_all(contact)

    @contextmanager
    def _beating(self, teller: HttpTeller) -> Iterator[None]:
        """The node lives as long as the round works: nobody else may take its place, and nothing that waits for it goes elsewhere."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_SECONDS):
                try:
                    teller.beat(1, self.outbox.report(), None)
                except CascadeError as error:
                    log.warning("%s", error)

        thread = threading.Thread(target=beat, name="beats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(BEAT_SECONDS)
            with suppress(CascadeError):
                teller.sign_off()

    def _work_all(self, contact: Contact) -> RoundReport:
        ledger = self.remote.ledger(self.parent, self.place.node_id, Who(self.instance, self.instance))
        self._settle_estates(ledger)
        try:
            claimed = len(self._claimer(contact).claim(CLAIM_SECONDS))
            begun = self._work(ledger)
        finally:
            self.outbox.drain(ledger)
            # What a start that ran on collected by itself.
            self.remote.kept(self.place.node_id).drain(TickTeller(self.parent, self.remote.copy()))
            self.remote.instances(self.place.node_id, self.instance).forget(self.instance)
        return RoundReport(claimed, begun, self.outbox.report().entries)

    def _settle_estates(self, ledger: HttpLedger) -> None:
        """What an earlier start finished is told, and what it had begun is given back."""
        instances = self.remote.instances(self.place.node_id, self.instance)
        heir = Heir(HttpKeeper(ledger, self.outbox), self.outbox, ledger, list, instances)
        heir.settle_estates()
        self.outbox.drain(ledger)

    def _claimer(self, contact: Contact) -> Claimer:
        return Claimer(
            parent=self.parent,
            contact=contact,
            journal=self.journal,
            outbox=self.outbox,
            instance=self.instance,
            capabilities=capabilities(self.plugins, self.place),
            # What publishes belongs into processes of its own, which a round does not have.
            scope=Scope("update", UPDATE, self.place.capacity),
            offer=lambda _pieces: None,
        )

    def _teller(self, contact: Contact) -> HttpTeller:
        return HttpTeller(
            parent=self.parent,
            contact=contact,
            journal=self.journal,
            outbox=self.outbox,
            instance=self.instance,
            version=version("cascade-workers"),
            capabilities=capabilities(self.plugins, self.place),
            full_seconds=self.remote.settings.heartbeat_seconds,
        )

    def _work(self, ledger: HttpLedger) -> int:
        settings, queue = self.remote.settings, self.place.queues[0]
        signals = Signals(None, queue)
        kit = build_kit(settings, signals, self.place.capacity, self.plugins, self.place.lease_seconds)
        _stop_on_signals(kit)
        leases = Leases(ledger, self.place.renew_seconds)
        leases.start()
        executor = Executor(ledger, self.outbox, leases, kit, settled=lambda: None)
        lane = Lane(
            queue=queue, ledger=ledger, executor=executor, backlog=lambda: 0, withdraw=lambda _order: None
        )
        begun = 0
        try:
            while self._waits() and not kit.stop.is_set():
                before = begun
                begun += lane.serve()
                if begun == before:
                    break
        finally:
            leases.stop()
        return begun

    def _waits(self) -> bool:
        return any(entry.stage == CLAIMED for entry in self.journal.entries())


def _stop_on_signals(kit: Kit) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: kit.stop.set())


def open_round(remote: Remote) -> Round:
    """Be known to the parent. Raises `CascadeError` when it is away, refuses, or another process of this node lives."""
    settings, instance = remote.settings, new_id()
    metrics.share(settings.metrics_dir)
    known = recall_any(settings.data_dir)
    parent = remote.parent()
    heard = Introduction(parent, remote.first_beat(instance, known)).ask()
    identity = remote.keep(heard, instance)
    place = remote.place_of(identity, (queues.node_queue(identity.slug),))
    remote.instances(identity.node_id, instance).arrive()
    return Round(
        remote=remote,
        place=place,
        heard=heard,
        instance=instance,
        parent=parent,
        journal=remote.journal(),
        outbox=remote.outbox(identity.node_id),
        plugins=load_plugins(),
    )
