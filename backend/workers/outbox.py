"""The outbox: outcomes that wait for their database, as fsynced, encrypted files of the node (never in Redis)."""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter
from sqlalchemy.exc import DBAPIError

from backend.domain.errors import ParentFailed, Unavailable
from backend.domain.identifiers import made_at, new_id
from backend.domain.nodes import OutboxReport
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Standing
from backend.store.cipher import Cipher
from backend.store.verdicts import is_refused

log = logging.getLogger(__name__)

SUFFIX = ".outcome"
DEAD = "dead"
LOCK = ".lock"
FINAL = "final"
PARTIAL = "partial"


@functools.cache
def _outcomes() -> TypeAdapter[Outcome]:
    """Made when it is needed: it keeps 1 MB, and most processes never have anything to put away."""
    return TypeAdapter(Outcome)


class Settler(Protocol):
    """The part of a ledger that takes what waited."""

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        """See `Ledger.checkpoint`."""
        ...

    def settle(self, outcome: Outcome) -> Standing:
        """See `Ledger.settle`."""
        ...


@dataclass(frozen=True, slots=True)
class Outbox:
    """A directory of outcomes. Names sort by time of writing, so order holds for each allocation."""

    directory: Path
    cipher: Cipher
    told: set[str] = field(default_factory=set, repr=False)

    def put(self, outcome: Outcome, *, final: bool) -> Path:
        """Keep an outcome so that it survives this process and the machine's power: both the file and its name are synced."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{new_id()}.{outcome.allocation_id}.{FINAL if final else PARTIAL}{SUFFIX}"
        sealed = self.cipher.encrypt(_outcomes().dump_json(outcome).decode())
        return write_durably(self.directory / name, sealed)

    def fold(self, outcome: Outcome) -> None:
        """Keep the last outcome of an execution together with the parts that were kept before, as one entry."""
        parts = [
            one for one in self.entries() if _allocation(one) == outcome.allocation_id and not _is_final(one)
        ]
        before = [self._read(one) for one in parts]
        items = [one for part in before if part.execution == outcome.execution for one in part.items]
        self.put(replace(outcome, items=(*items, *outcome.items)), final=True)
        # Killed in between, they are told twice, which changes nothing.
        for path, part in zip(parts, before, strict=True):
            if part.execution == outcome.execution:
                path.unlink(missing_ok=True)

    def entries(self) -> list[Path]:
        """What waits, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            path for path in self.directory.iterdir() if path.suffix == SUFFIX and path.name[0] != "."
        )

    def reseal(self) -> int:
        """Encrypt what waits, and the dead letters, under the first key; how many were not.

        Raises `ConfigurationError` for an entry that none of the keys opens.
        """
        if not self.directory.is_dir():
            return 0
        with (self.directory / LOCK).open("a") as file:
            # Whoever drains now would find an entry again that it has just settled.
            fcntl.flock(file, fcntl.LOCK_EX)
            return sum(self._reseal_one(path) for path in (*self.entries(), *self._dead()))

    def _reseal_one(self, path: Path) -> int:
        try:
            sealed = path.read_text(encoding="ascii")
        except FileNotFoundError:
            # Its worker has settled it meanwhile.
            return 0
        fresh = self.cipher.refresh(sealed)
        if fresh == sealed:
            return 0
        write_durably(path, fresh)
        return 1

    def _dead(self) -> list[Path]:
        grave = self.directory / DEAD
        return sorted(grave.iterdir()) if grave.is_dir() else []

    def allocations(self) -> set[str]:
        """Whose outcomes wait here."""
        return {_allocation(path) for path in self.entries()}

    def sizes(self) -> list[int]:
        """How many bytes each entry takes."""
        found: list[int] = []
        for path in self.entries():
            # Settled meanwhile.
            with suppress(FileNotFoundError):
                found.append(path.stat().st_size)
        return found

    def report(self) -> OutboxReport:
        """What the node says of it: how many entries wait, how old the oldest is, how many are dead letters."""
        waiting = self.entries()
        return OutboxReport(
            entries=len(waiting),
            oldest_seconds=_age(waiting[0]) if waiting else None,
            dead=len(self._dead()),
        )

    def drain(self, ledger: Settler) -> int:
        """Settle what waits, oldest first, until the database can't take any; how many entries are gone.

        An entry that is unreadable, refused or can never be stored goes to the dead letters with an alarm: it must not
        block the others. After an error that nobody foresaw it stays, with all of its allocation, and the others go on.
        """
        with self._turn() as mine:
            return self._drain(ledger) if mine else 0

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether nobody else drains right now: a node that starts again may meet the one that still stops."""
        if not self.entries():
            yield False
            return
        with (self.directory / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _drain(self, ledger: Settler) -> int:
        gone, held = 0, set[str]()
        for path in self.entries():
            if _allocation(path) in held:
                continue
            try:
                self._drain_one(ledger, path)
            except Unavailable:
                break
            except FileNotFoundError:
                # Its worker has settled it meanwhile: during a stop both try.
                continue
            except ParentFailed as error:
                self._leave(path, error.sentence())
                held.add(_allocation(path))
                continue
            except DBAPIError as error:
                if is_refused(error):
                    self._bury(path, type(error).__name__)
                else:
                    self._leave(path, type(error).__name__)
                    held.add(_allocation(path))
                    continue
            except Exception as error:  # noqa: BLE001
                # A job edge. The text of such an error may hold what the entry holds: only its class is told.
                self._bury(path, type(error).__name__)
            gone += 1
        return gone

    def _drain_one(self, ledger: Settler, path: Path) -> None:
        final = _is_final(path)
        standing = _deliver(ledger, self._read(path), final=final)
        if final and standing is Standing.SUPERSEDED:
            self._bury(path, "it came too late, other work took its place; what was useful was kept")
        else:
            path.unlink(missing_ok=True)

    def _leave(self, path: Path, why: str) -> None:
        # It is tried again every few seconds; one line is enough.
        if path.name not in self.told:
            log.error(
                "the outbox entry %s can't be settled now (%s); it stays and is tried again", path.name, why
            )
            self.told.add(path.name)

    def _read(self, path: Path) -> Outcome:
        return _outcomes().validate_json(self.cipher.decrypt(path.read_text(encoding="ascii")))

    def _bury(self, path: Path, why: str) -> None:
        grave = self.directory / DEAD
        grave.mkdir(exist_ok=True, mode=0o700)
        path.rename(grave / path.name)
        log.error("ALARM: the outbox entry %s can't be used (%s); it is kept in %s", path.name, why, grave)


def _is_final(path: Path) -> bool:
    return path.name.endswith(f".{FINAL}{SUFFIX}")


def _allocation(path: Path) -> str:
    return path.name.split(".")[1]


def _age(path: Path) -> float:
    try:
        written = made_at(path.name.split(".")[0]).timestamp()
    except ValueError:
        # Somebody put it there by hand.
        written = path.stat().st_mtime
    return max(0.0, time.time() - written)


def _deliver(ledger: Settler, outcome: Outcome, *, final: bool) -> Standing:
    if final:
        return ledger.settle(outcome)
    order = WorkOrder(outcome.allocation_id, outcome.attempt, outcome.execution, outcome.kind, "", 0.0)
    return ledger.checkpoint(order, outcome)


def write_durably(path: Path, text: str) -> Path:
    """Write or replace the file in one step, for its owner only; it survives the machine's power."""
    temporary = path.with_name(f".{path.name}")
    # Of somebody who died while replacing it.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        # What a full disk took of it would only keep the disk full.
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return path


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_by_others(top: Path, node_id: str) -> dict[str, int]:
    """By directory, how many entries wait in the outboxes of other nodes than this one."""
    mine = {node_id, f"{node_id}.ticks"}
    others = [one for one in top.iterdir() if one.name not in mine] if top.is_dir() else []
    found = {one.name: len([*one.glob(f"[!.]*{SUFFIX}")]) for one in sorted(others) if one.is_dir()}
    return {name: count for name, count in found.items() if count}
