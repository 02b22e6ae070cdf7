"""A child's copy of its parent's feeds and message tasks, and the ticks that it ran by itself. Nothing in it is secret."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.domain.autonomy import LocalTask
from backend.domain.identifiers import new_id
from backend.domain.orders import FeedOrder, ItemOutcome
from backend.workers.local_database import LocalDatabase

FEEDS = "feeds"
TASKS = "message-tasks"
TICK = "tick-"
LOGS_KEPT = 1000
TICKS_KEPT_DAYS = 30

TABLES = """
CREATE TABLE IF NOT EXISTS lists (name TEXT PRIMARY KEY, etag TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY CHECK (id = 1), parent_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS validators (feed_id TEXT PRIMARY KEY, etag TEXT NOT NULL, last_modified TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ticks (task_id TEXT NOT NULL, planned_at TEXT NOT NULL, PRIMARY KEY (task_id, planned_at));
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, task_id TEXT NOT NULL, planned_at TEXT NOT NULL, feeds TEXT NOT NULL,
    collected INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS sync_logs (
    id TEXT PRIMARY KEY, operation TEXT NOT NULL, data_count INTEGER NOT NULL, error TEXT NOT NULL, at TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some feeds of one tick, which are collected together."""

    id: str
    task_id: str
    planned_at: datetime
    feed_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyncLog:
    """One pull as this side saw it; `error` is empty when it went well."""

    operation: str
    data_count: int
    error: str
    at: datetime


class LocalCopy:
    """One small file; every call is one transaction. Raises `Unavailable` while the disk takes nothing."""

    def __init__(self, path: Path) -> None:
        self._database = LocalDatabase(path, TABLES)

    def etag(self, name: str) -> str:
        """The tag of the list as it was pulled last; empty before."""
        with self._database.transaction() as db:
            row = db.execute("SELECT etag FROM lists WHERE name = ?", (name,)).fetchone()
            return str(row[0]) if row else ""

    def keep(self, name: str, etag: str, content: Sequence[Mapping[str, Any]]) -> None:
        """Replace the list."""
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO lists VALUES (?, ?, ?)", (name, etag, json.dumps(content)))

    def tasks(self) -> list[LocalTask]:
        """The message tasks."""
        return [
            LocalTask(**one | {"feed_ids": None if one["feed_ids"] is None else tuple(one["feed_ids"])})
            for one in self._list(TASKS)
        ]

    def feed_ids(self) -> list[str]:
        """Every feed that is collected."""
        return [str(one["id"]) for one in self._list(FEEDS) if one["is_active"]]

    def _list(self, name: str) -> list[dict[str, Any]]:
        with self._database.transaction() as db:
            row = db.execute("SELECT content FROM lists WHERE name = ?", (name,)).fetchone()
            return list(json.loads(row[0])) if row else []

    def see_parent(self, at: datetime) -> None:
        """The parent was there at that time."""
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO seen VALUES (1, ?)", (at.isoformat(),))

    def parent_seen_at(self) -> datetime | None:
        """When the parent was there last, over all starts of this node."""
        with self._database.transaction() as db:
            row = db.execute("SELECT parent_at FROM seen").fetchone()
            return datetime.fromisoformat(row[0]) if row else None

    def last_tick(self, task_id: str) -> datetime | None:
        """The newest tick of the task that this child ran."""
        with self._database.transaction() as db:
            row = db.execute("SELECT max(planned_at) FROM ticks WHERE task_id = ?", (task_id,)).fetchone()
            return datetime.fromisoformat(row[0]) if row[0] else None

    def begin_tick(
        self, task_id: str, planned_at: datetime, batches: Sequence[tuple[str, ...]]
    ) -> list[Batch]:
        """Own the tick and make its batches; none when it was begun before."""
        moment = planned_at.astimezone(UTC).isoformat()
        made = [Batch(f"{TICK}{new_id()}", task_id, planned_at, feed_ids) for feed_ids in batches]
        with self._database.transaction() as db:
            if not db.execute("INSERT OR IGNORE INTO ticks VALUES (?, ?)", (task_id, moment)).rowcount:
                return []
            db.executemany(
                "INSERT INTO batches (id, task_id, planned_at, feeds) VALUES (?, ?, ?, ?)",
                [(one.id, task_id, moment, json.dumps(one.feed_ids)) for one in made],
            )
            db.execute(
                "DELETE FROM ticks WHERE planned_at < ? AND NOT EXISTS"
                " (SELECT 1 FROM batches WHERE batches.task_id = ticks.task_id)",
                (_days_before(planned_at),),
            )
        return made

    def batch(self, batch_id: str) -> Batch | None:
        """The batch of that id, if it is not told yet."""
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT id, task_id, planned_at, feeds FROM batches WHERE id = ?", (batch_id,)
            ).fetchone()
            return None if row is None else _batch(row)

    def open_batches(self) -> list[Batch]:
        """What is begun and not collected yet, oldest first."""
        with self._database.transaction() as db:
            query = "SELECT id, task_id, planned_at, feeds FROM batches WHERE NOT collected ORDER BY id"
            return [_batch(row) for row in db.execute(query)]

    def feed_orders(self, batch_id: str) -> tuple[FeedOrder, ...] | None:
        """What is to be collected of the batch, by the copy of the feeds; `None` when there is no such work."""
        batch = self.batch(batch_id)
        if batch is None:
            return None
        feeds = {one["id"]: one for one in self._list(FEEDS) if one["is_active"]}
        with self._database.transaction() as db:
            known = {row[0]: row[1:] for row in db.execute("SELECT * FROM validators")}
        return tuple(
            FeedOrder(
                one, one, feeds[one]["kind"], feeds[one]["name"], feeds[one]["url"], *known.get(one, ())
            )
            for one in batch.feed_ids
            if one in feeds
        )

    def end_batch(self, batch_id: str, items: Sequence[ItemOutcome], left: Sequence[str]) -> None:
        """These feeds' results are kept safely; `left` still has to be collected."""
        with self._database.transaction() as db:
            for one in items:
                if one.result is not None and not one.result.not_modified:
                    values = (one.feed_id, one.result.etag, one.result.last_modified)
                    db.execute("INSERT OR REPLACE INTO validators VALUES (?, ?, ?)", values)
            db.execute(
                "UPDATE batches SET feeds = CASE WHEN ? THEN ? ELSE feeds END, collected = ? WHERE id = ?",
                (bool(left), json.dumps(list(left)), not left, batch_id),
            )

    def told(self, batch_id: str) -> None:
        """The parent has taken what the batch brought."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM batches WHERE id = ? AND collected", (batch_id,))

    def log(self, operation: str, data_count: int, error: str, at: datetime) -> None:
        """Keep how a pull went; the oldest go."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO sync_logs VALUES (?, ?, ?, ?, ?)",
                (new_id(), operation, data_count, error[:500], at.isoformat()),
            )
            _forget_logs(db)

    def logs(self, limit: int = 50) -> list[SyncLog]:
        """The newest pulls."""
        with self._database.transaction() as db:
            query = "SELECT operation, data_count, error, at FROM sync_logs ORDER BY id DESC LIMIT ?"
            return [
                SyncLog(row[0], row[1], row[2], datetime.fromisoformat(row[3]))
                for row in db.execute(query, (limit,))
            ]


def _batch(row: tuple[str, str, str, str]) -> Batch:
    return Batch(row[0], row[1], datetime.fromisoformat(row[2]), tuple(json.loads(row[3])))


def _days_before(moment: datetime) -> str:
    return datetime.fromtimestamp(moment.timestamp() - TICKS_KEPT_DAYS * 86400, UTC).isoformat()


def _forget_logs(db: sqlite3.Connection) -> None:
    db.execute(
        "DELETE FROM sync_logs WHERE id <= (SELECT id FROM sync_logs ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (LOGS_KEPT,),
    )
