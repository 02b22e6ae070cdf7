"""Claiming for a remote node: long polls while there is room, never more than it can run, and a careful return after trouble."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backend.domain import wire
from backend.domain.errors import CascadeError, CredentialsRefused, ParentAway
from backend.domain.protocol import PROTOCOL, Capabilities, offered
from backend.domain.reconnecting import Backoff
from backend.domain.wire import Claim, Piece
from backend.workers.contact import Contact, held
from backend.workers.journal import FINISHED, Journal
from backend.workers.outbox import Outbox
from backend.workers.parent import Call, Parent, understood

log = logging.getLogger(__name__)

POLL_SECONDS = 25.0
# What an answer may take on top of the poll.
ANSWER_SECONDS = 15.0
FULL_SECONDS = 0.3
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What one claimer takes: kinds of work that share slots, and how many slots there are."""

    name: str
    kinds: frozenset[str]
    slots: int


@dataclass(frozen=True, slots=True)
class OutboxLimit:
    """When too much waits for the parent to take on more: entries, and megabytes on the disk."""

    entries: int = 1000
    megabytes: float = 512.0

    def is_reached(self, outbox: Outbox) -> bool:
        """Whether nothing more may be claimed."""
        sizes = outbox.sizes()
        return len(sizes) >= self.entries or sum(sizes) >= self.megabytes * 1_048_576


@dataclass(slots=True)
class Claimer:
    """Claims work of one scope into the journal and offers it to the node's own queues.

    `offer` enqueues; what it could not, the mending of the queues does. `woken` ends a wait: the parent says that there is work.
    """

    parent: Parent
    contact: Contact
    journal: Journal
    outbox: Outbox
    instance: str
    capabilities: Capabilities
    scope: Scope
    offer: Callable[[Sequence[Piece]], None]
    limit: OutboxLimit = field(default_factory=OutboxLimit)
    # The first wait is long already: a parent that starts again cuts all polls in the same moment.
    backoff: Backoff = field(default_factory=lambda: Backoff(base=3.0, longest=60.0))
    stop: threading.Event = field(default_factory=threading.Event)
    roll: Callable[[], float] = random.random
    told_full: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> None:
        """Until `stop` is set."""
        failures = 0
        while not self.stop.is_set():
            try:
                self._turn(trying=failures > 0)
                failures = 0
            except CredentialsRefused as error:
                log.debug("nothing is claimed: %s", error)
                self.stop.wait(LOOK_SECONDS)
            except CascadeError as error:
                failures += 1
                wish = error.retry_after if isinstance(error, ParentAway) else None
                pause = self.backoff.wait(failures, self.roll(), wish)
                say = log.warning if failures == 1 else log.debug
                say("no work is claimed now, the next try comes within a minute: %s", error)
                self._pause(pause)

    def _pause(self, seconds: float) -> None:
        """So long, unless the process ends, the parent calls, or it is back after an absence and this is the child's turn."""
        until, was_away = time.monotonic() + seconds, False
        while not self.stop.is_set() and (left := until - time.monotonic()) > 0:
            is_away = not self.contact.may_drain()
            if (was_away and not is_away) or self.woken.wait(min(left, LOOK_SECONDS)):
                break
            was_away = is_away
        self.woken.clear()

    def _turn(self, *, trying: bool) -> None:
        if self.room() <= 0:
            self.stop.wait(FULL_SECONDS)
        elif self._is_outbox_full():
            self.stop.wait(LOOK_SECONDS)
        else:
            # On a line that is cut more often than a poll lasts, no poll would ever end the waits, which grow.
            self.claim(0.0 if trying else POLL_SECONDS)

    def room(self) -> int:
        """How many slots are free: all but those of what waits here and runs here."""
        taken = sum(
            entry.size
            for entry in self.journal.entries()
            if entry.kind in self.scope.kinds and entry.stage != FINISHED
        )
        heard = self.contact.heard
        # What an operator has changed since this start counts at once.
        wanted = heard.capacity if heard and heard.capacity else self.scope.slots
        return min(self.scope.slots, wanted) - taken

    def _is_outbox_full(self) -> bool:
        is_full = self.limit.is_reached(self.outbox)
        if is_full and not self.told_full:
            log.error(
                "ALARM: %d finished results wait for the parent in %s: nothing more is claimed until some have been taken",
                len(self.outbox.entries()),
                self.outbox.directory,
            )
        if self.told_full and not is_full:
            log.warning("the outbox has room again: work is claimed")
        self.told_full = is_full
        return is_full

    def claim(self, wait: float = 0.0) -> list[Piece]:
        """One claim, of as much as there is room for; `wait` seconds for work to come. What was new of it.

        Raises `CascadeError`; the next call then repeats this very claim.
        """
        room = self.room()
        if room <= 0:
            return []
        capabilities = self._offered()
        if not capabilities.kinds:
            self.stop.wait(LOOK_SECONDS if wait else 0)
            return []
        claim = Claim(
            claim_id=self.journal.open_claim(self.scope.name),
            instance=self.instance,
            slots=room,
            protocol=PROTOCOL,
            capabilities=capabilities,
            holds=held(self.journal, self.outbox),
        )
        path = f"/claim-task?wait={wait:g}"
        said = self.parent.call(
            Call("POST", path, wire.plain(claim), seconds=wait + ANSWER_SECONDS, patience=0.0)
        )
        pieces = understood(list[Piece], said.data or [])
        new = self.journal.close_claim(claim.claim_id, pieces)
        if new:
            self.offer(new)
        elif said.retry_after is not None and wait:
            # Too many wait there already.
            self._pause(self.backoff.wait(1, self.roll(), said.retry_after))
        return new

    def _offered(self) -> Capabilities:
        heard = self.contact.heard
        told = offered(self.capabilities, heard.protocol if heard else PROTOCOL)
        return replace(told, kinds=tuple(kind for kind in told.kinds if kind in self.scope.kinds))
