"""The presence process of a node: beats, drains the outbox, signs off."""

from __future__ import annotations

import logging
import mmap
import os
import platform
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backend import metrics
from backend.domain.errors import CascadeError, CredentialsRefused, ParentAway
from backend.domain.nodes import OutboxReport
from backend.domain.ports import Ledger
from backend.domain.signs import DiskSign
from backend.store import nodes, signs
from backend.store.session import transact
from backend.workers.outbox import Outbox
from backend.workers.redis_watch import RedisWatch

log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
DRAIN_SECONDS = 2.0
LOOK_SECONDS = 0.1
TELL_SECONDS = 60.0


class SharedCount:
    """A number that the supervisor writes and the presence process reads: a page shared over fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 8)

    def set(self, value: int) -> None:
        """Write it."""
        self._page[:8] = struct.pack("q", value)

    def get(self) -> int:
        """Read it."""
        return int(struct.unpack("q", self._page[:8])[0])


class Teller(Protocol):
    """Tells those who plan that this start of the node lives."""

    def beat(self, workers: int, outbox: OutboxReport, disk: DiskSign | None) -> None:
        """With so many living workers. Raises `CascadeError`."""
        ...

    def sign_off(self) -> None:
        """It ends. Raises `CascadeError`."""
        ...


@dataclass(frozen=True, slots=True)
class SqlTeller:
    """Tells it to the database.

    `sources` are the kinds of feeds whose plug-ins were loaded, `publishers` the platforms; `None` where this process does nothing
    of the kind.
    """

    engine: Engine
    node_id: str
    instance: str
    version: str
    sources: tuple[str, ...] | None = None
    publishers: tuple[str, ...] | None = None

    def beat(self, workers: int, outbox: OutboxReport, disk: DiskSign | None) -> None:
        """See `Teller`."""

        def write(session: Session) -> None:
            nodes.beat(
                session,
                self.node_id,
                self.instance,
                workers_alive=workers,
                version=self.version,
                outbox=outbox,
                sources=self.sources,
                publishers=self.publishers,
            )
            if disk is not None:
                signs.note_disk(session, self.node_id, disk)

        transact(self.engine, write, attempts=2)

    def sign_off(self) -> None:
        """See `Teller`."""
        transact(
            self.engine, lambda session: nodes.sign_off(session, self.node_id, self.instance), attempts=2
        )


@dataclass(slots=True)
class Presence:
    """Beats for one node. After SIGTERM it signs off at once and drains until the workers have ended.

    `inherit` gives back what dead workers held, `others_live` says whether another start of the node goes on, and
    `may_drain` whether the outbox may be drained now.
    """

    teller: Teller
    ledger: Ledger
    outbox: Outbox
    workers: SharedCount
    inherit: Callable[[], None] = lambda: None
    others_live: Callable[[], bool] = lambda: False
    may_drain: Callable[[], bool] = lambda: True
    redis: RedisWatch | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    last_beat: float = float("-inf")
    last_count: int = -1
    last_drain: float = float("-inf")
    told: dict[str, float] = field(default_factory=dict)

    def serve(self) -> int:
        """Until SIGTERM and the end of the workers, or of the supervisor that would tell of it."""
        supervisor = os.getppid()
        signal.signal(signal.SIGTERM, lambda *_: self.stop.set())
        while not self.stop.wait(LOOK_SECONDS):
            self.tick()
        self._try(self._sign_off)
        while self.workers.get() and os.getppid() == supervisor:
            time.sleep(LOOK_SECONDS)
        self._try(self._drain)
        self._try(self.inherit)
        return 0

    def tick(self) -> None:
        """Beat and drain as far as each is due. A change in the number of workers is told at once."""
        self._try(self.inherit)
        now = time.monotonic()
        count = self.workers.get()
        if now - self.last_beat >= BEAT_SECONDS or count != self.last_count:
            self.last_beat, self.last_count = now, count
            self._try(self._beat)
            if self.redis is not None:
                self._try(self.redis.look)
        if now - self.last_drain >= DRAIN_SECONDS and self.may_drain():
            self.last_drain = now
            self._try(self._drain)

    def _beat(self) -> None:
        metrics.tidy()
        self.teller.beat(self.last_count, self.outbox.report(), _disk(self.outbox.directory))

    def _drain(self) -> None:
        settled = self.outbox.drain(self.ledger)
        if settled:
            log.info("%d outcomes from the outbox are settled", settled)

    def _sign_off(self) -> None:
        if self.others_live():
            # The node goes on: without its presence, what waits for it would be planned elsewhere.
            return
        self.teller.sign_off()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except CredentialsRefused as error:
            # Whoever met it first has said so.
            log.debug("%s", error)
        except ParentAway as error:
            self._tell(error.sentence())
        except CascadeError as error:
            log.warning("%s", error)
        except (OSError, SQLAlchemyError) as error:
            # A disk that can't be written, or a row that nobody can digest: the other steps go on, the beat above all.
            self._tell(f"the presence could not do one of its steps: {_sentence(error)}")

    def _tell(self, text: str) -> None:
        # Some steps come ten times a second.
        if time.monotonic() - self.told.get(text, float("-inf")) >= TELL_SECONDS:
            log.error("%s", text)
            self.told[text] = time.monotonic()


def _sentence(error: OSError | SQLAlchemyError) -> str:
    # What a database says may hold what a row holds.
    return str(error) if isinstance(error, OSError) else type(error).__name__


def _disk(directory: Path) -> DiskSign | None:
    """The room on the disk of the data directory, in which the outbox may not have been made yet."""
    try:
        usage = shutil.disk_usage(next(path for path in (directory, *directory.parents) if path.is_dir()))
    except OSError as error:
        log.debug("the room on the disk can't be told: %s", error)
        return None
    return DiskSign(platform.node(), usage.free, usage.total)
