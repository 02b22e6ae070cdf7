"""How each kind of fault is done to the system, and what is noted about it."""

from __future__ import annotations

import heapq
import itertools
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import pymysql
from redis.exceptions import RedisError

from tests.chaos.children import SimulatedChild
from tests.chaos.journals import Injected, Journals
from tests.chaos.plan import Fault
from tests.chaos.system import System
from tests.servers import Server
from tests.standins.tcp_proxy import TcpProxy

T = TypeVar("T")

COMMITS = (b"COMMIT",)
REDIS_WRITES = (b"EXEC\r\n", b"LPUSH\r\n", b"RPUSH\r\n", b"HSET\r\n", b"SADD\r\n")
SENDS = (b"POST ",)
REPORTS = (b"/claim-task", b"/begin ", b"/renew ", b"/settle ")
SKEWS = (-7200.0, -300.0, -20.0, 20.0, 300.0, 7200.0)
DELAYS = (0.05, 0.2, 0.5, 1.0)
# What is aimed at is often gone by then: a process that was killed, a connection that was given back.
NOTHING_THERE = "nothing was there"


class Injector:
    """Injects the faults of a plan at their moments, each beside the others."""

    def __init__(self, system: System, journals: Journals, children: Sequence[SimulatedChild]) -> None:
        self.system, self.journals = system, journals
        self.children = {child.name: child for child in children}
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="fault")

    def run(self, plan: Sequence[Fault], seconds: float) -> None:
        """Until the plan's time is over; what lasts longer is ended then by `System.wake_everything`."""
        start = time.monotonic()
        for fault in plan:
            self._at(start + fault.at, lambda fault=fault: self.inject(fault))  # type: ignore[misc]
        while time.monotonic() < start + seconds:
            self._run_due()
            time.sleep(0.02)
        with self._lock:
            self._later.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run_due(self) -> None:
        with self._lock:
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, work = heapq.heappop(self._later)
                self._pool.submit(self._do, work)

    def _at(self, moment: float, work: Callable[[], object]) -> None:
        with self._lock:
            heapq.heappush(self._later, (moment, next(self._numbers), work))

    def _after(self, seconds: float, work: Callable[[], object]) -> None:
        self._at(time.monotonic() + seconds, work)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (told at the end, by the thread of the test)
            self.journals.trouble(f"a fault could not be injected: {error!r}")

    def inject(self, fault: Fault) -> None:
        """Do it, and note it."""
        began = self.journals.clock()
        ways: dict[str, Callable[[Fault], tuple[str, int | None]]] = {
            name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }
        detail, pid = ways[fault.kind](fault)
        until = max(self.journals.clock(), began + fault.seconds)
        self.journals.fault(Injected(fault.kind, fault.target, began, until, detail, pid))

    # processes

    def _do_kill_process(self, fault: Fault) -> tuple[str, int | None]:
        return self._signal_one(fault, signal.SIGKILL)

    def _do_kill_part(self, fault: Fault) -> tuple[str, int | None]:
        return self._signal_first(fault, signal.SIGKILL)

    def _do_stop_part(self, fault: Fault) -> tuple[str, int | None]:
        return self._signal_first(fault, signal.SIGTERM)

    def _do_lose_host(self, fault: Fault) -> tuple[str, int | None]:
        part = self.system.parts[fault.target]
        with self.system.lock:
            part.held = True
            found = self.system.processes(part.name)
            for process in found:
                self.system.signal(process.pid, signal.SIGKILL)

        def back() -> None:
            part.held = False

        self._after(fault.seconds, back)
        return f"{len(found)} processes, for {fault.seconds:.1f} s", None

    def _do_freeze_process(self, fault: Fault) -> tuple[str, int | None]:
        detail, pid = self._signal_one(fault, signal.SIGSTOP)
        if pid is not None:
            self._after(fault.seconds, lambda: self.system.signal(pid, signal.SIGCONT))
        return f"{detail} for {fault.seconds:.1f} s", pid

    _do_freeze_past_lease = _do_freeze_process

    def _do_skew_clock(self, fault: Fault) -> tuple[str, int | None]:
        seconds = _choose(SKEWS, fault.chance)
        self.system.clock_file.write_text(f"{seconds}", encoding="ascii")
        return f"{seconds:+g} s", None

    def _do_kill_child(self, fault: Fault) -> tuple[str, int | None]:
        held = self.children[fault.target].die()
        return f"with {held} allocations in hand", None

    def _signal_one(self, fault: Fault, number: signal.Signals) -> tuple[str, int | None]:
        found = self.system.processes(fault.target)
        if not found:
            return NOTHING_THERE, None
        pid = _choose(found, fault.chance).pid
        there = self.system.signal(pid, number)
        return (f"{number.name} to process {pid}", pid) if there else (NOTHING_THERE, None)

    def _signal_first(self, fault: Fault, number: signal.Signals) -> tuple[str, int | None]:
        process = self.system.parts[fault.target].process
        if process is None or process.poll() is not None:
            return NOTHING_THERE, None
        process.send_signal(number)
        return f"{number.name} to process {process.pid}", process.pid

    # servers

    def _do_kill_mariadb(self, fault: Fault) -> tuple[str, int | None]:
        return self._restart("mariadb", self.system.mariadb, fault, Server.kill)

    def _do_restart_mariadb(self, fault: Fault) -> tuple[str, int | None]:
        return self._restart("mariadb", self.system.mariadb, fault, Server.stop)

    def _do_kill_redis(self, fault: Fault) -> tuple[str, int | None]:
        return self._restart("redis", self.system.redis, fault, Server.kill)

    def _do_restart_redis(self, fault: Fault) -> tuple[str, int | None]:
        return self._restart("redis", self.system.redis, fault, Server.stop)

    def _do_wipe_redis(self, fault: Fault) -> tuple[str, int | None]:
        def wipe(server: Server) -> None:
            server.kill()
            for path in server.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path != server.log:
                    path.unlink()

        return self._restart("redis", self.system.redis, fault, wipe)

    def _restart(
        self, name: str, server: Server, fault: Fault, end: Callable[[Server], None]
    ) -> tuple[str, int | None]:
        with self.system.server_locks[name]:
            end(server)
            time.sleep(fault.seconds)
            self.system.start_server(server)
        return f"down for {fault.seconds:.1f} s", None

    def _do_freeze_mariadb(self, fault: Fault) -> tuple[str, int | None]:
        return self._freeze("mariadb", self.system.mariadb, fault)

    def _do_freeze_redis(self, fault: Fault) -> tuple[str, int | None]:
        return self._freeze("redis", self.system.redis, fault)

    def _freeze(self, name: str, server: Server, fault: Fault) -> tuple[str, int | None]:
        with self.system.server_locks[name], server.frozen():
            time.sleep(fault.seconds)
        return f"for {fault.seconds:.1f} s", None

    def _do_flush_redis(self, fault: Fault) -> tuple[str, int | None]:
        with suppress(RedisError), self.system.redis.client(socket_timeout=2) as client:
            client.flushall()
            return "everything", None
        return NOTHING_THERE, None

    def _do_demote_redis(self, fault: Fault) -> tuple[str, int | None]:
        """A read-only replica, as after a failover that clients have not noticed."""
        with self.system.server_locks["redis"], self.system.redis.client(socket_timeout=2) as client:
            client.replicaof("127.0.0.1", "1")
            time.sleep(fault.seconds)
            client.replicaof("NO", "ONE")
        return f"read-only for {fault.seconds:.1f} s", None

    # connections

    def _do_kill_connections(self, fault: Fault) -> tuple[str, int | None]:
        chance, killed = random.Random(fault.chance), 0  # noqa: S311
        with suppress(pymysql.err.Error):
            for row in self.system.mariadb.process_list():
                if chance.random() < 0.6:
                    with suppress(pymysql.err.OperationalError):
                        self.system.mariadb.execute("KILL %s", row["ID"])
                        killed += 1
        return (f"{killed} of MariaDB", None) if killed else (NOTHING_THERE, None)

    def _do_cut_database(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(self.system.databases[fault.target].cut())

    def _do_cut_redis(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(self.system.brokers[fault.target].cut())

    def _do_slow_database(self, fault: Fault) -> tuple[str, int | None]:
        return self._slow(self.system.databases[fault.target], fault)

    def _do_slow_redis(self, fault: Fault) -> tuple[str, int | None]:
        return self._slow(self.system.brokers[fault.target], fault)

    def _slow(self, proxy: TcpProxy, fault: Fault) -> tuple[str, int | None]:
        delay = _choose(DELAYS, fault.chance)
        proxy.slow_down(delay)
        self._after(fault.seconds, lambda: proxy.slow_down(0.0))
        return f"{delay:g} s each way for {fault.seconds:.1f} s", None

    def _do_silence_database(self, fault: Fault) -> tuple[str, int | None]:
        self.system.databases[fault.target].fall_silent(fault.seconds)
        return f"for {fault.seconds:.1f} s", None

    def _do_silence_redis(self, fault: Fault) -> tuple[str, int | None]:
        self.system.brokers[fault.target].fall_silent(fault.seconds)
        return f"for {fault.seconds:.1f} s", None

    def _do_refuse_database(self, fault: Fault) -> tuple[str, int | None]:
        proxy = self.system.databases[fault.target]
        proxy.refuse(fault.seconds)
        return f"{proxy.cut()} connections cut, none made for {fault.seconds:.1f} s", None

    def _do_half_close_database(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(
            self.system.databases[fault.target].half_close("server" if fault.chance < 0.5 else "client")
        )

    def _do_half_close_redis(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(
            self.system.brokers[fault.target].half_close("server" if fault.chance < 0.5 else "client")
        )

    def _do_lose_commit_answers(self, fault: Fault) -> tuple[str, int | None]:
        return _lose(self.system.databases[fault.target], 1 + int(fault.chance * 8), COMMITS)

    def _do_lose_redis_answers(self, fault: Fault) -> tuple[str, int | None]:
        return _lose(self.system.brokers[fault.target], 1 + int(fault.chance * 4), REDIS_WRITES)

    def _do_cut_link(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(self.system.links[fault.target].cut())

    def _do_slow_link(self, fault: Fault) -> tuple[str, int | None]:
        return self._slow(self.system.links[fault.target], fault)

    def _do_silence_link(self, fault: Fault) -> tuple[str, int | None]:
        self.system.links[fault.target].fall_silent(fault.seconds)
        return f"for {fault.seconds:.1f} s", None

    def _do_part_past_lease(self, fault: Fault) -> tuple[str, int | None]:
        link = self.system.links[fault.target]
        link.refuse(fault.seconds)
        return f"{link.cut()} connections cut, none made for {fault.seconds:.1f} s", None

    def _do_lose_link_answers(self, fault: Fault) -> tuple[str, int | None]:
        return _lose(self.system.links[fault.target], 1 + int(fault.chance * 6), REPORTS)

    def _do_lose_acknowledgements(self, fault: Fault) -> tuple[str, int | None]:
        return _lose(self.system.outside[fault.target], 1 + int(fault.chance * 6), SENDS)

    def _do_cut_outside(self, fault: Fault) -> tuple[str, int | None]:
        return _counted(self.system.outside[fault.target].cut())


def _choose(among: Sequence[T], chance: float) -> T:
    return among[min(int(chance * len(among)), len(among) - 1)]


def _counted(count: int) -> tuple[str, int | None]:
    return (f"{count} connections", None) if count else (NOTHING_THERE, None)


def _lose(proxy: TcpProxy, count: int, marks: tuple[bytes, ...]) -> tuple[str, int | None]:
    proxy.lose_answers(count, *marks)
    return f"the next {count}", None
