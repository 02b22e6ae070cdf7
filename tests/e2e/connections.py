"""Watches a MariaDB's process list: whose connections live longer than a short transaction does."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from tests.servers import MariaDb

SAMPLE_SECONDS = 0.05
LONG_SECONDS = 1.0


class ConnectionWatch:
    """Samples from a thread of its own while the context lasts.

    `of_nodes`: seconds that each connection of the given processes was seen open, where that is more than one.
    `of_others`: how many long-lived connections others had. `short_ones`: how many came and went.
    """

    def __init__(self, server: MariaDb, node_processes: Collection[int]) -> None:
        self._server, self._pids = server, frozenset(node_processes)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="connections", daemon=True)
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._owners: dict[int, int | None] = {}
        self._trouble: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        assert self._trouble == []

    def _watch(self) -> None:
        try:
            with self._server.connect() as connection, connection.cursor() as cursor:
                while not self._stop.wait(SAMPLE_SECONDS):
                    cursor.execute(
                        "SELECT ID, HOST FROM information_schema.PROCESSLIST"
                        " WHERE USER = 'cascade' AND ID <> CONNECTION_ID()"
                    )
                    self._note({row["ID"]: int(row["HOST"].rpartition(":")[2]) for row in cursor.fetchall()})
        except Exception as error:  # noqa: BLE001  (told at the end, by the thread of the test)
            self._trouble.append(error)

    def _note(self, ports: dict[int, int]) -> None:
        now = time.monotonic()
        for one in ports:
            self._first.setdefault(one, now)
            self._last[one] = now
        unknown = {
            one: port
            for one, port in ports.items()
            if now - self._first[one] > LONG_SECONDS / 2 and self._owners.get(one) is None
        }
        if unknown:
            owners = _owners_of(set(unknown.values()))
            self._owners |= {one: owners.get(port) for one, port in unknown.items()}

    def _age(self, one: int) -> float:
        return self._last[one] - self._first[one]

    @property
    def _long(self) -> list[int]:
        return [one for one in self._first if self._age(one) > LONG_SECONDS]

    @property
    def of_nodes(self) -> dict[int, float]:
        """See the class. A connection whose owner can't be told counts as theirs."""
        return {
            one: self._age(one)
            for one in self._long
            if (owner := self._owners.get(one)) is None or owner in self._pids
        }

    @property
    def of_others(self) -> int:
        """See the class."""
        return len(self._long) - len(self.of_nodes)

    @property
    def short_ones(self) -> int:
        """See the class."""
        return len(self._first) - len(self._long)


def _owners_of(ports: set[int]) -> dict[int, int | None]:
    found: dict[int, int | None] = {}
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp4"):
            if connection.laddr and connection.laddr.port in ports and connection.pid:
                found[connection.laddr.port] = connection.pid
    return found
