"""A small SQLite file of a remote node: synced, its owner's only, shared by processes and threads."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.domain.errors import Unavailable

BUSY_SECONDS = 5.0


class LocalDatabase:
    """One file with these tables; every process, and each of its forks, opens a connection of its own."""

    def __init__(self, path: Path, tables: str) -> None:
        self._path = path
        self._tables = tables
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._owner = 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it has ended. Raises `Unavailable` while the file can't be used."""
        with self._lock:
            try:
                db = self._connected()
                db.execute("BEGIN IMMEDIATE")
                # Commits, or rolls back when something is raised.
                with db:
                    yield db
            except (sqlite3.Error, OSError) as error:
                self._connection = None
                raise Unavailable("journal_unusable", path=self._path, detail=str(error)) from error

    def _connected(self) -> sqlite3.Connection:
        # A connection that crossed a fork would share its file locks with the other process.
        if self._connection is None or self._owner != os.getpid():
            self._connection = _connect(self._path, self._tables)
            self._owner = os.getpid()
        return self._connection


def _connect(path: Path, tables: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Before SQLite makes it: the files beside it get the same rights.
    path.touch(mode=0o600)
    # Autocommit: every transaction is begun and ended by hand. Threads share the connection under its lock.
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(tables)
    path.chmod(0o600)
    return db
