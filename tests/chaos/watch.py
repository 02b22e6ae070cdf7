"""Looks on beside the system: leases that are over and that nobody ends, and connections in the quiet at the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil
import pymysql

from tests.chaos.plan import BEATS, DIRECT, PARENTS
from tests.chaos.system import System

LOOK_SECONDS = 0.5
OVERDUE = (
    "SELECT MAX(TIMESTAMPDIFF(MICROSECOND, lease_until, UTC_TIMESTAMP(6))) AS overdue FROM allocations"
    " WHERE state IN ('claimed', 'executing') AND lease_until < UTC_TIMESTAMP(6)"
)
GUNICORN_PROCESSES, POOL = 2, 5
REDIS_OF_A_PROCESS = 6
SAMPLES, SAMPLE_SECONDS = 10, 0.5


class LeaseWatch:
    """Samples from a thread of its own while the context lasts."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            # The server is restarted and frozen all the time; the next look finds it again.
            with (
                suppress(pymysql.err.Error, OSError),
                self.system.mariadb.connect(self.system.database) as one,
            ):
                with one.cursor() as cursor:
                    cursor.execute(OVERDUE)
                    row = cursor.fetchone()
                overdue = row["overdue"] if row else None
                self.longest = max(self.longest, float(overdue or 0) / 1e6)


def connections(system: System) -> Mapping[str, tuple[int, int]]:
    """By part and server, the least number of connections that its processes held in a few seconds of quiet, and how many they may."""
    found: dict[str, int] = {}
    for _ in range(SAMPLES):
        for name in DIRECT:
            ports = _ports(system, name)
            for server, proxies in (("MariaDB", system.databases), ("Redis", system.brokers)):
                key, count = f"{name} to {server}", ports[proxies[name].port]
                found[key] = min(found.get(key, count), count)
        time.sleep(SAMPLE_SECONDS)
    return {key: (count, _allowed(system, key)) for key, count in found.items()}


def _ports(system: System, name: str) -> Counter[int]:
    """How many sockets the part's processes have, by the port that they lead to; those that wait to be closed too."""
    found: Counter[int] = Counter()
    for process in system.processes(name):
        with suppress(psutil.Error):
            found.update(one.raddr.port for one in process.net_connections("tcp") if one.raddr)
    return found


def _allowed(system: System, key: str) -> int:
    name, _, server = key.partition(" to ")
    processes = len(system.processes(name))
    if server == "Redis":
        return REDIS_OF_A_PROCESS * processes
    if name in PARENTS:
        return GUNICORN_PROCESSES * POOL
    # Workers and presences give every connection back; those that renew or look just now are counted at their least.
    return POOL if name in BEATS else 1
