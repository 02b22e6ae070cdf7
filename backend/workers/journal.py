"""The journal of a remote node: what it has claimed and not yet settled. One small file, synced, without any secret.

It survives the death of every process of the node: the local Redis may lose everything.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.domain.identifiers import new_id
from backend.domain.wire import Piece
from backend.workers.local_database import LocalDatabase

CLAIMED = "claimed"
BEGUN = "begun"
FINISHED = "finished"

TABLES = """
CREATE TABLE IF NOT EXISTS work (
    allocation_id TEXT PRIMARY KEY, attempt INTEGER NOT NULL, kind TEXT NOT NULL, queue TEXT NOT NULL,
    size INTEGER NOT NULL, alone INTEGER NOT NULL, stage TEXT NOT NULL, claimed_at REAL NOT NULL,
    execution TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '', instance TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS work_queue ON work (queue, stage, allocation_id);
CREATE TABLE IF NOT EXISTS claims (scope TEXT PRIMARY KEY, claim_id TEXT NOT NULL);
"""
COLUMNS = "allocation_id, attempt, kind, queue, size, alone, stage, execution, worker, instance"


@dataclass(frozen=True, slots=True)
class Entry(Piece):
    """Work in the journal.

    `claimed`: it waits here. `begun`: `execution` runs it, or nobody knows whether its begin came through. `finished`: its
    outcome waits in the outbox.
    """

    stage: str = CLAIMED
    execution: str = ""
    worker: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Who:
    """The process that begins work: the start of its node, and its own name."""

    instance: str
    worker: str = ""


class Journal:
    """Shared by all processes of a node; each one, and each of its forks, opens a connection of its own.

    Every call is one synced transaction. Raises `Unavailable` while the disk takes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._database = LocalDatabase(path, TABLES)

    def open_claim(self, scope: str = "") -> str:
        """The id to claim with: that of a claim whose answer never came, else a new one. One claim per scope at a time."""
        with self._database.transaction() as db:
            row = db.execute("SELECT claim_id FROM claims WHERE scope = ?", (scope,)).fetchone()
            if row is not None:
                return str(row[0])
            claim_id = new_id()
            db.execute("INSERT INTO claims VALUES (?, ?)", (scope, claim_id))
            return claim_id

    def close_claim(self, claim_id: str, works: Sequence[Piece]) -> list[Piece]:
        """The claim was answered: keep what it brought; what of it is new here.

        A repeated answer may name what has begun meanwhile: that stays as it is.
        """
        with self._database.transaction() as db:
            db.execute("DELETE FROM claims WHERE claim_id = ?", (claim_id,))
            return [one for one in works if _insert(db, one)]

    def take(self, allocation_id: str, attempt: int, execution: str, who: Who) -> str | None:
        """Reserve this work for the execution; the one to begin it with, `None` when another one runs it.

        That is an earlier one, if its begin was sent and never answered: only with that can the parent recognise it. Work that
        is not in the journal may be begun too: the parent decides.
        """
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT attempt, stage, execution FROM work WHERE allocation_id = ?", (allocation_id,)
            ).fetchone()
            if row is None or row[0] != attempt:
                return execution
            _, stage, known = row
            if stage != CLAIMED:
                return execution if known == execution else None
            return _mark_begun(db, allocation_id, known or execution, who)

    def take_next(
        self, queue: str, execution: str, max_size: int, who: Who, *, idle: bool = True
    ) -> Entry | None:
        """Reserve the oldest waiting work of the queue that fits; see `Ledger.begin_next`."""
        with self._database.transaction() as db:
            row = db.execute(
                f"SELECT {COLUMNS} FROM work WHERE queue = ? AND stage = ? AND size <= ? AND alone <= ?"  # noqa: S608
                " ORDER BY allocation_id LIMIT 1",
                (queue, CLAIMED, max_size, int(idle)),
            ).fetchone()
            if row is None:
                return None
            found = _entry(row)
            with_which = _mark_begun(db, found.allocation_id, found.execution or execution, who)
            return Entry(
                *_work(found), stage=BEGUN, execution=with_which, worker=who.worker, instance=who.instance
            )

    def put_back(self, execution: str) -> None:
        """The begin was not answered: the work waits again, and the next to begin it does so with this execution."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE work SET stage = ?, worker = '', instance = '' WHERE execution = ? AND stage = ?",
                (CLAIMED, execution, BEGUN),
            )

    def finish(self, execution: str) -> None:
        """Its outcome waits in the outbox: it takes no slot any more."""
        with self._database.transaction() as db:
            db.execute("UPDATE work SET stage = ? WHERE execution = ?", (FINISHED, execution))

    def drop(self, allocation_id: str, attempt: int, execution: str = "") -> None:
        """It is settled, or not this node's any more. `execution`: only if that one runs it."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM work WHERE allocation_id = ? AND attempt = ? AND (? = '' OR execution = ?)",
                (allocation_id, attempt, execution, execution),
            )

    def entries(self) -> list[Entry]:
        """Everything, oldest first."""
        with self._database.transaction() as db:
            return [_entry(row) for row in db.execute(f"SELECT {COLUMNS} FROM work ORDER BY allocation_id")]  # noqa: S608


def _insert(db: sqlite3.Connection, one: Piece) -> bool:
    values = (*_work(one), CLAIMED, time.time())
    return bool(
        db.execute(
            "INSERT INTO work (allocation_id, attempt, kind, queue, size, alone, stage, claimed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (allocation_id) DO UPDATE SET"
            " attempt = excluded.attempt, stage = excluded.stage, queue = excluded.queue, size = excluded.size,"
            " alone = excluded.alone, claimed_at = excluded.claimed_at, execution = '', worker = '', instance = ''"
            " WHERE excluded.attempt > work.attempt",
            values,
        ).rowcount
    )


def _work(one: Piece) -> tuple[str, int, str, str, int, bool]:
    return one.allocation_id, one.attempt, one.kind, one.queue, one.size, one.alone


def _mark_begun(db: sqlite3.Connection, allocation_id: str, execution: str, who: Who) -> str:
    db.execute(
        "UPDATE work SET stage = ?, execution = ?, worker = ?, instance = ? WHERE allocation_id = ?",
        (BEGUN, execution, who.worker, who.instance, allocation_id),
    )
    return execution


def _entry(row: tuple[str, int, str, str, int, int, str, str, str, str]) -> Entry:
    allocation_id, attempt, kind, queue, size, alone, *rest = row
    return Entry(allocation_id, attempt, kind, queue, size, bool(alone), *rest)
