"""The outbox: outcomes that wait for their database, as fsynced, encrypted files of the node (never in Redis)."""

from __future__ import annotations

import functools
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from backend.domain.errors import Unavailable
from backend.domain.identifiers import made_at, new_id
from backend.domain.nodes import OutboxReport
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Ledger, Standing
from backend.store.cipher import Cipher

log = logging.getLogger(__name__)

SUFFIX = ".outcome"
DEAD = "dead"
FINAL = "final"
PARTIAL = "partial"


@functools.cache
def _outcomes() -> TypeAdapter[Outcome]:
    """Made when it is needed: it keeps 1 MB, and most processes never have anything to put away."""
    return TypeAdapter(Outcome)


@dataclass(frozen=True, slots=True)
class Outbox:
    """A directory of outcomes. Names sort by time of writing, so order holds for each allocation."""

    directory: Path
    cipher: Cipher

    def put(self, outcome: Outcome, *, final: bool) -> Path:
        """Keep an outcome so that it survives this process and the machine's power: both the file and its name are synced."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{new_id()}.{outcome.allocation_id}.{FINAL if final else PARTIAL}{SUFFIX}"
        temporary = self.directory / f".{name}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self.cipher.encrypt(_outcomes().dump_json(outcome).decode()))
            file.flush()
            os.fsync(file.fileno())
        path = temporary.rename(self.directory / name)
        _sync_directory(self.directory)
        return path

    def entries(self) -> list[Path]:
        """What waits, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            path for path in self.directory.iterdir() if path.suffix == SUFFIX and path.name[0] != "."
        )

    def report(self) -> OutboxReport:
        """What the node says of it: how many entries wait, how old the oldest is, how many are dead letters."""
        waiting = self.entries()
        return OutboxReport(
            entries=len(waiting),
            oldest_seconds=_age(waiting[0]) if waiting else None,
            dead=sum(1 for _ in grave.iterdir()) if (grave := self.directory / DEAD).is_dir() else 0,
        )

    def drain(self, ledger: Ledger) -> int:
        """Settle what waits, oldest first, until the database is away again; how many entries are gone.

        An entry that is unreadable or refused goes to the dead letters with an alarm: it must not block the others.
        """
        gone = 0
        for path in self.entries():
            final = path.name.endswith(f".{FINAL}{SUFFIX}")
            try:
                standing = _deliver(ledger, self._read(path), final=final)
            except Unavailable:
                break
            except Exception as error:  # noqa: BLE001
                # A job edge. The text of such an error may hold what the entry holds: only its class is told.
                self._bury(path, type(error).__name__)
            else:
                if final and standing is Standing.SUPERSEDED:
                    self._bury(path, "it came too late, other work took its place; what was useful was kept")
                else:
                    path.unlink()
            gone += 1
        return gone

    def _read(self, path: Path) -> Outcome:
        return _outcomes().validate_json(self.cipher.decrypt(path.read_text(encoding="ascii")))

    def _bury(self, path: Path, why: str) -> None:
        grave = self.directory / DEAD
        grave.mkdir(exist_ok=True, mode=0o700)
        path.rename(grave / path.name)
        log.error("ALARM: the outbox entry %s can't be used (%s); it is kept in %s", path.name, why, grave)


def _age(path: Path) -> float:
    try:
        written = made_at(path.name.split(".")[0]).timestamp()
    except ValueError:
        # Somebody put it there by hand.
        written = path.stat().st_mtime
    return max(0.0, time.time() - written)


def _deliver(ledger: Ledger, outcome: Outcome, *, final: bool) -> Standing:
    if final:
        return ledger.settle(outcome)
    order = WorkOrder(outcome.allocation_id, outcome.attempt, outcome.execution, outcome.kind, "", 0.0)
    return ledger.checkpoint(order, outcome)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
