"""A remote node: it reaches its parent by HTTPS only, and has a Redis and a journal of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend import bootstrap
from backend.dispatch import queues
from backend.dispatch.broker import fault_of, note_fault
from backend.domain.errors import ConfigurationError, CredentialsRefused, ParentAway
from backend.domain.nodes import OutboxReport
from backend.domain.protocol import PROTOCOL, Capabilities
from backend.domain.wire import FullBeat, Heard
from backend.outbound.trusted import TrustedHttpClient
from backend.workers.autonomy import AutonomousLedger, Autonomy, TickTeller
from backend.workers.claimer import Claimer, Scope
from backend.workers.condition import ConditionWriter
from backend.workers.contact import Contact, HttpKeeper, HttpTeller, held
from backend.workers.copied_lists import LocalCopy
from backend.workers.credentials import CurrentPair
from backend.workers.demand import watch_demand
from backend.workers.estates import Heir
from backend.workers.identity import Identity, identity_of, recall, recall_any, remember
from backend.workers.instances import Instances
from backend.workers.introduction import Introduction, this_machine
from backend.workers.journal import CLAIMED, Journal, Who
from backend.workers.local_queues import LocalQueues
from backend.workers.outbox import Outbox, left_by_others
from backend.workers.parent import Pair, Parent
from backend.workers.presence import Presence
from backend.workers.remote_progress import RemoteProgress
from backend.workers.signals import signals_for
from backend.workers.syncing import Syncer
from backend.workers.transport import Place, Plugins, PresenceParts, WorkerParts
from backend.workers.vitals import Start

if TYPE_CHECKING:
    from redis import Redis

    from config import Settings

log = logging.getLogger(__name__)

NOTE_SECONDS = 5.0
UPDATE = frozenset({"update"})
ON_PLATFORMS = frozenset({"publish", "account"})


@dataclass(frozen=True, slots=True)
class Remote:
    """Implements `Transport`. Without queues, the node's own one."""

    settings: Settings
    names: Sequence[str] = ()

    @property
    def told_name(self) -> str:
        """See `Transport.told_name`."""
        return "child"

    def look_around(self, instance: str) -> Place:
        """Check Redis, be known to the parent, and check the queue names; a parent that is away is waited for at a first start.

        Raises `CascadeError`: also when another live process has this node's identity.
        """
        try:
            bootstrap.build_redis(self.settings, says=False).ping()
        except RedisError as error:
            fault = fault_of(error)
            raise ConfigurationError(fault.code, detail=fault.detail) from error
        bootstrap.build_cipher(self.settings)
        identity = self.be_known(instance)
        own = (queues.node_queue(identity.slug), queues.publish_queue(identity.slug))
        named = tuple(dict.fromkeys(queues.check_queue_name(name, own) for name in self.names))
        return self.place_of(identity, named or (own if self.settings.publish_workers else own[:1]))

    def place_of(self, identity: Identity, names: tuple[str, ...]) -> Place:
        """The place of this node, serving these queues."""
        return Place(
            identity.node_id,
            identity.name,
            identity.capacity,
            names,
            identity.lease_seconds,
            identity.renew_seconds,
        )

    def be_known(self, instance: str) -> Identity:
        """Who this node is: what the parent says, else what it said before. Raises `CascadeError`."""
        known = recall(self.settings.data_dir, self.settings.parent_url)
        before = recall_any(self.settings.data_dir)
        introduction = Introduction(self.parent(), self.first_beat(instance, before))
        if known is None:
            return self.keep(introduction.wait_for_answer(), instance)
        try:
            return self.keep(introduction.ask(), instance)
        except (ParentAway, CredentialsRefused) as error:
            log.warning("%s", error)
            return known

    def keep(self, heard: Heard, instance: str) -> Identity:
        """Remember what the parent said of this node."""
        identity = identity_of(self.settings.parent_url, heard, instance, this_machine())
        remember(self.settings.data_dir, identity)
        for node_id, count in left_by_others(self.settings.outbox_dir, identity.node_id).items():
            log.error(
                "ALARM: results of another node (%d) wait in %s, and nobody sends them: join as that node again, or remove the directory",
                count,
                self.settings.outbox_dir / node_id,
            )
        return identity

    def first_beat(self, instance: str, known: Identity | None) -> FullBeat:
        """What this start says of itself before anything runs."""
        outbox = None if known is None else self.outbox(known.node_id)
        return FullBeat(
            instance=instance,
            version=version("cascade-workers"),
            host=this_machine(),
            protocol=PROTOCOL,
            capabilities=self.announced(),
            callback_url=self.settings.callback_url,
            outbox=OutboxReport() if outbox is None else outbox.report(),
            holds=() if outbox is None else held(self.journal(), outbox),
            replaces=self._departed(known),
        )

    def _departed(self, known: Identity | None) -> str:
        """The start that the parent knows, when it has ended for sure: no process of it is left on this machine."""
        if known is None or known.machine != this_machine():
            return ""
        lives = self.instances(known.node_id, "").lives(known.instance)
        return "" if lives else known.instance

    def instances(self, node_id: str, own: str) -> Instances:
        """The starts of this node on this machine."""
        return Instances(self.settings.data_dir / "instances" / node_id, own)

    def worker(self, place: Place, start: Start) -> WorkerParts:
        """See `Transport.worker`."""
        progress = RemoteProgress(signals_for(self.settings.redis_url, place.queues[0]))
        plain = self.ledger(self.parent(), place.node_id, Who(start.instance, start.worker))
        ledger = replace(plain, progress=progress.words, began=progress.began)
        return WorkerParts(ledger, self.outbox(place.node_id))

    def ledger(self, parent: Parent, node_id: str, who: Who) -> AutonomousLedger:
        """Where work begins and is settled: at the parent, and what this node made itself here."""
        kept, seconds = self.kept(node_id), self.settings.update_seconds
        return AutonomousLedger(parent, self.journal(), who, copy=self.copy(), kept=kept, seconds=seconds)

    def presence(self, parts: PresenceParts) -> int:
        """See `Transport.presence`."""
        place, stop = parts.place, threading.Event()
        contact, parent = Contact(), self.parent(stop)
        parent.speaks = True
        journal, outbox = self.journal(), self.outbox(place.node_id)
        ledger = self.ledger(parent, place.node_id, Who(parts.instance))
        heir = Heir(
            keeper=HttpKeeper(ledger, outbox),
            outbox=outbox,
            ledger=ledger,
            listen=parts.heard,
            instances=self.instances(place.node_id, parts.instance),
        )
        teller = HttpTeller(
            parent=parent,
            contact=contact,
            journal=journal,
            outbox=outbox,
            kept=self.kept(place.node_id),
            instance=parts.instance,
            version=version("cascade-workers"),
            capabilities=capabilities(parts.plugins, place),
            full_seconds=self.settings.heartbeat_seconds,
            callback_url=self.settings.callback_url,
            instance_lost=_end_node,
        )
        self._start_claiming(parts, contact, parent, stop)
        writer = ConditionWriter(
            self.settings.data_dir, parts, contact, self.journal(), outbox, lambda: parent.refused
        )
        threading.Thread(target=writer.keep_writing, args=(stop,), name="condition", daemon=True).start()
        return Presence(
            teller=teller,
            ledger=ledger,
            outbox=outbox,
            workers=parts.workers,
            inherit=heir.settle_estates,
            others_live=heir.instances.others_live,
            may_drain=contact.may_drain,
            stop=stop,
        ).serve()

    def _start_claiming(
        self, parts: PresenceParts, contact: Contact, parent: Parent, stop: threading.Event
    ) -> None:
        local = LocalQueues(
            bootstrap.build_redis(self.settings),
            self.journal(),
            bootstrap.build_limits(self.settings).work_seconds,
        )
        threading.Thread(target=local.keep_mended, args=(stop,), name="queues", daemon=True).start()
        claimers: list[Claimer] = []
        for scope in self._scopes(parts.place):
            claimer = Claimer(
                parent=parent,
                contact=contact,
                journal=self.journal(),
                outbox=self.outbox(parts.place.node_id),
                instance=parts.instance,
                capabilities=capabilities(parts.plugins, parts.place),
                scope=scope,
                offer=local.offer,
                stop=stop,
            )
            threading.Thread(target=claimer.serve, name=f"claims {scope.name}", daemon=True).start()
            claimers.append(claimer)
        if self.settings.listens_on:
            redis = bootstrap.build_redis(self.settings, answer_seconds=2 * NOTE_SECONDS)
            threading.Thread(
                target=_hear_notes, args=(redis, claimers, stop), name="notes", daemon=True
            ).start()
        queue = parts.place.publish_queue
        watch_demand(self.settings.redis_url, queue, parts.demand, lambda: _waiting_in(self.journal(), queue))
        syncer = Syncer(parent, self.copy(), self.settings.sync_seconds, stop)
        threading.Thread(target=syncer.serve, name="sync", daemon=True).start()
        autonomy = self._autonomy(parts.place, contact, parent, local, stop)
        threading.Thread(target=autonomy.serve, name="autonomy", daemon=True).start()

    def _scopes(self, place: Place) -> Iterator[Scope]:
        if place.updates:
            yield Scope("update", UPDATE, place.capacity)
        if place.publish_queue:
            yield Scope("publish", ON_PLATFORMS, self.settings.publish_workers)

    def announced(self) -> Capabilities:
        """What this program can do here by its settings and the names of its plug-ins, which are not loaded for that."""
        sources, publishers = (
            tuple(sorted(one.name for one in entry_points(group=group)))
            for group in (bootstrap.SOURCES, bootstrap.PUBLISHERS)
        )
        if not self.settings.publish_workers:
            return Capabilities(tuple(UPDATE), sources)
        return Capabilities(("update", "publish", "account"), sources, publishers)

    def _autonomy(
        self, place: Place, contact: Contact, parent: Parent, local: LocalQueues, stop: threading.Event
    ) -> Autonomy:
        return Autonomy(
            copy=self.copy(),
            journal=self.journal(),
            contact=contact,
            kept=self.kept(place.node_id),
            teller=TickTeller(parent, self.copy()),
            queue=place.queues[0],
            offer=local.offer,
            enabled=self.settings.autonomous,
            after_seconds=self.settings.autonomous_after_seconds,
            stop=stop,
        )

    def parent(self, stop: threading.Event | None = None) -> Parent:
        """The line to the parent; waits between tries end with `stop`."""
        client = TrustedHttpClient(Path(self.settings.ca_file) if self.settings.ca_file else None)
        line = Parent(self.settings.parent_url, client, self.pair())
        if stop is not None:
            line.wait = stop.wait
        return line

    def pair(self) -> CurrentPair:
        """The credentials, as they stand now."""
        settings = self.settings
        files = [settings.config_file, Path(settings.api_secret_file) if settings.api_secret_file else None]

        def read() -> Pair:
            now = bootstrap.load_settings(data_dir=settings.data_dir, config_file=settings.config_file)
            return Pair(now.api_key, now.api_secret)

        return CurrentPair(read, tuple(one for one in files if one is not None))

    def journal(self) -> Journal:
        """What this node has claimed."""
        return Journal(self.settings.data_dir / "journal.db")

    def copy(self) -> LocalCopy:
        """The parent's feeds and message tasks as they were pulled last."""
        return LocalCopy(self.settings.data_dir / "copy.db")

    def kept(self, node_id: str) -> Outbox:
        """What this node collected by itself and has not told yet."""
        return Outbox(self.settings.outbox_dir / f"{node_id}.ticks", bootstrap.build_cipher(self.settings))

    def outbox(self, node_id: str) -> Outbox:
        """What this node has finished and not told yet."""
        return Outbox(self.settings.outbox_dir / node_id, bootstrap.build_cipher(self.settings))


def capabilities(plugins: Plugins, place: Place) -> Capabilities:
    """What this process can do as a remote node, with the plug-ins that could be loaded."""
    kinds = (*(UPDATE if place.updates else ()), *(sorted(ON_PLATFORMS) if place.publish_queue else ()))
    return Capabilities(kinds, tuple(sorted(plugins.sources)), tuple(sorted(plugins.publishers)))


def _hear_notes(redis: Redis, claimers: Sequence[Claimer], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            if queues.wait_for_note(redis, NOTE_SECONDS):
                for claimer in claimers:
                    claimer.woken.set()
        except RedisError as error:
            note_fault(log, error, "the parent's calls are not heard; the claims look by themselves")
            stop.wait(NOTE_SECONDS)


def _waiting_in(journal: Journal, queue: str) -> int:
    return sum(1 for entry in journal.entries() if entry.queue == queue and entry.stage == CLAIMED)


def load_plugins() -> Plugins:
    """What a remote node needs for the work that it does."""
    return Plugins(sources=bootstrap.load_plugins(bootstrap.SOURCES), notifiers={})


def _end_node() -> None:
    # The supervisor stops everything warm: results are kept, and another start will be refused with a sentence.
    os.kill(os.getppid(), signal.SIGTERM)
