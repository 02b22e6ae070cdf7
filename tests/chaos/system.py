"""The system under test: real servers, real parts as processes of their own, and proxies between them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import requests
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend.cli.stages import APP
from backend.cli.system import create_first_user
from backend.store import credentials, nodes
from backend.store.credentials import Pair, new_pair
from backend.store.migrate import upgrade
from backend.store.session import create_engine_for, transact
from config import ROOT
from tests.chaos.plan import BEATS, DIRECT, NODES, PARENTS, REMOTE_NODES, SKEWED, WORKERS
from tests.chaos.recoveries import Least
from tests.e2e.running import LAUNCH, environment, living
from tests.e2e.system import PASSWORD
from tests.servers import MariaDb, RedisServer, Server, free_port, wait_until
from tests.standins.tcp_proxy import Proxies, TcpProxy

RESTART_SECONDS = 1.0
LOOK_SECONDS = 0.2
STOP_SECONDS = 30.0
SKEW_HOOK = Path(__file__).parent / "skew"
CAPACITY = 20
# All feeds live on one host, which is this one.
OF_SOURCES = {
    "CASCADE_EGRESS_ALLOW": "127.0.0.0/8",
    "CASCADE_HOST_CONCURRENCY": "0",
    "CASCADE_HOST_GAP_SECONDS": "0",
}


@dataclass(frozen=True, slots=True)
class Leases:
    """How long work is held, and how often that is renewed, in seconds."""

    lease: float
    renew: float
    of_children: float

    @property
    def least(self) -> Least:
        """See `Least`."""
        return Least(self.lease - self.renew - 1.0, self.of_children - 3.0)


@dataclass
class Part:
    """One part of the system: its command, and the process that runs it now. `held` keeps it down."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    held: bool = False
    ended_at: float = 0.0
    starts: int = 0

    def start(self) -> None:
        """Start it in a session of its own."""
        ties = [tie, "--pdeathsig", "KILL", "--"] if (tie := shutil.which("setpriv")) else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*ties, *self.command],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.ended_at = 0.0

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self.process is not None and self.process.poll() is None


class System:
    """Everything that can be broken. Nothing restarts the parts but this: as systemd would, a second after their end."""

    def __init__(self, folder: Path, leases: Leases) -> None:
        self.folder = folder
        self.leases = leases
        self.mariadb = MariaDb(_made(folder / "mariadb"))
        self.redis = RedisServer(_made(folder / "redis"))
        self.proxies = Proxies()
        self.databases: dict[str, TcpProxy] = {}
        self.brokers: dict[str, TcpProxy] = {}
        self.links: dict[str, TcpProxy] = {}
        self.outside: dict[str, TcpProxy] = {}
        self.parts: dict[str, Part] = {}
        self.ports = {name: free_port() for name in PARENTS}
        self.clock_file = folder / "clock"
        self._stop, self._stopping = threading.Event(), threading.Event()
        # A process that is tied to us is ended when the thread that started it ends: these threads live as long as we.
        self._starters = ThreadPoolExecutor(2, thread_name_prefix="servers")
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.lock = threading.RLock()
        self.server_locks: dict[str, threading.RLock] = {
            "mariadb": threading.RLock(),
            "redis": threading.RLock(),
        }

    # its life

    def __enter__(self) -> Self:
        self.clock_file.write_text("0", encoding="ascii")
        self.mariadb.install()
        self.mariadb.start()
        self.redis.start()
        self.database = self.mariadb.create_database()
        engine = self.engine()
        upgrade(engine)
        create_first_user(engine, PASSWORD)
        pairs = {name: _make_remote(engine, name) for name in REMOTE_NODES}
        engine.dispose()
        self.proxies.__enter__()
        for name in DIRECT:
            self.databases[name] = self.proxies.before(self.mariadb.port)
            self.brokers[name] = self.proxies.before(self.redis.port)
            self.parts[name] = self._part(name)
        for number, (name, pair) in enumerate(pairs.items()):
            self.links[name] = self.proxies.before(self.ports[PARENTS[number % len(PARENTS)]])
            self.parts[name] = self._remote_part(name, pair)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.kill_all()
        self.proxies.__exit__()
        self.redis.kill()
        self.mariadb.kill()
        self._stop.set()
        self._starters.shutdown(wait=True)

    def start(self) -> None:
        """Start every part, and keep them running from now on."""
        for part in self.parts.values():
            part.start()
        self._keeper.start()

    def stop(self) -> list[str]:
        """Stop every part in order; what is left afterwards, which should be nothing."""
        with self.lock:
            self._stopping.set()
        parts = [part for part in self.parts.values() if part.running]
        for part in parts:
            if part.process is not None:
                part.process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            wait_until(lambda: not any(part.running for part in parts), STOP_SECONDS, "the end of all parts")
        with suppress(TimeoutError):
            wait_until(lambda: not self.processes(), 5, "the end of all processes")
        left = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                left.append(f"{process.pid} ({process.status()}): {' '.join(process.cmdline())[:200]}")
        return left

    def kill_all(self) -> None:
        """End whatever is left."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for part in self.parts.values():
            if part.process is not None:
                part.process.kill()
                part.process.wait()

    def engine(self) -> Engine:
        """The database, beside the system and its proxies."""
        return create_engine_for(self.mariadb.url(self.database), pooled=False)

    @property
    def quiet_seconds(self) -> float:
        """How long everything that is open at the end may take: leases, a gap in the pulse, and some work."""
        return 30.0 + 4 * self.leases.lease

    def is_ready(self) -> bool:
        """Whether both parents are ready and every node is online."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answers = [session.get(f"{self.url(name)}/readyz?verbose", timeout=5) for name in PARENTS]
        except requests.RequestException:
            return False
        if any(answer.status_code != 200 for answer in answers):
            return False
        with self.mariadb.connect(self.database) as one, one.cursor() as cursor:
            cursor.execute("SELECT name FROM nodes WHERE workers_alive > 0")
            return {*NODES, *REMOTE_NODES} <= {row["name"] for row in cursor.fetchall()}

    # what it is made of

    def _part(self, name: str) -> Part:
        told = self._settings(name)
        python = sys.executable
        if name in PARENTS:
            command = [python, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), APP]
        elif name in BEATS:
            command = [python, "-m", "backend.dispatch.beat"]
        elif name in WORKERS:
            command = ["/bin/sh", str(ROOT / "start_workers.sh"), "--workers", "2"]
        elif name == SKEWED:
            # Not by the script, which takes a PYTHONPATH away.
            command = [python, "-m", "backend.cli.main", "node", "run", name]
            told |= {"PYTHONPATH": str(SKEW_HOOK), "CHAOS_CLOCK_FILE": str(self.clock_file)}
        else:
            command = ["/bin/sh", str(ROOT / "start_workers.sh"), "--workers", "2", "--node", name]
        return Part(name, command, told, self.folder / f"{name}.log")

    def _remote_part(self, name: str, pair: Pair) -> Part:
        told = environment(
            CASCADE_DATA_DIR=str(_made(self.folder / name)),
            CASCADE_ENABLED="true",
            CASCADE_NODE_TYPE="child",
            CASCADE_PARENT_URL=f"http://127.0.0.1:{self.links[name].port}",
            CASCADE_API_KEY=pair.api_key,
            CASCADE_API_SECRET=pair.api_secret,
            CHAOS_PART=f"{self.folder}:{name}",
            **OF_SOURCES,
        )
        return Part(name, [*LAUNCH, "child", "--workers", "2"], told, self.folder / f"{name}.log")

    def _settings(self, name: str) -> dict[str, str]:
        # What runs on one machine shares a data directory; each node is a machine of its own.
        home = _made(self.folder / (name if name in NODES else "var"))
        database = self.mariadb.url(self.database).replace(
            f":{self.mariadb.port}/", f":{self.databases[name].port}/"
        )
        return environment(
            CASCADE_DATA_DIR=str(home),
            CASCADE_SECRET_KEY="a key for chaos only",
            CASCADE_PORT=str(self.ports.get(name, 0) or 1),
            DATABASE_URL=database,
            REDIS_URL=self.redis.url.replace(f":{self.redis.port}/", f":{self.brokers[name].port}/"),
            CASCADE_RETRY_BASE_SECONDS="0.5",
            CASCADE_DELIVERY_ATTEMPTS="12",
            CASCADE_LEASE_SECONDS=f"{self.leases.lease:g}",
            CASCADE_RENEW_SECONDS=f"{self.leases.renew:g}",
            CASCADE_CHILD_LEASE_SECONDS=f"{self.leases.of_children:g}",
            GUNICORN_WORKERS="2",
            GUNICORN_THREADS="8",
            PYTHONSAFEPATH="1",
            CHAOS_PART=f"{self.folder}:{name}",
            **OF_SOURCES,
        )

    def processes(self, part: str | None = None) -> list[psutil.Process]:
        """Every living process of the system or of one part, whoever its parent is by now; oldest first."""
        wanted = {f"{self.folder}:{name}" for name in ([part] if part else self.parts)}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("CHAOS_PART") in wanted:
                    found.append(process)
        return sorted(living(found), key=lambda one: one.pid)

    def log_lines(self, sign: str) -> int:
        """How many lines of all logs hold the sign."""
        texts = [part.log.read_text(encoding="utf-8", errors="replace") for part in self.parts.values()]
        return sum(sign in line for text in texts for line in text.splitlines())

    def url(self, parent: str) -> str:
        """Where a parent answers."""
        return f"http://127.0.0.1:{self.ports[parent]}"

    # its keeper

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for part in self.parts.values():
                with self.lock:
                    self._look_after(part)

    def _look_after(self, part: Part) -> None:
        if part.running or part.held or self._stopping.is_set():
            return
        if not part.ended_at:
            part.ended_at = time.monotonic()
        elif time.monotonic() - part.ended_at >= RESTART_SECONDS:
            part.start()

    # being broken and mended

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal; whether somebody was there."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def wake_everything(self) -> None:
        """Let every frozen process go on, every held part start, every proxy behave, and both servers run."""
        for part in self.parts.values():
            part.held = False
        for proxy in self.all_proxies():
            proxy.behave()
        for process in self.processes():
            self.signal(process.pid, signal.SIGCONT)
        for name, server in (("mariadb", self.mariadb), ("redis", self.redis)):
            with self.server_locks[name]:
                self._starters.submit(self._wake, server).result()
        with self.redis.client() as client:
            client.replicaof("NO", "ONE")

    def start_server(self, server: Server) -> None:
        """Start it again."""
        self._starters.submit(server.start).result()

    @staticmethod
    def _wake(server: Server) -> None:
        if server.process is not None and server.running:
            server.process.send_signal(signal.SIGCONT)
        server.start()

    def all_proxies(self) -> Iterator[TcpProxy]:
        """Every proxy."""
        for group in (self.databases, self.brokers, self.links, self.outside):
            yield from group.values()


def _make_remote(engine: Engine, name: str) -> Pair:
    """A remote node of the parent's, and what it proves with who it is."""
    pair = new_pair()

    def make(session: Session) -> None:
        node = nodes.create_node(session, name=name, transport="remote", max_capacity=CAPACITY)
        credentials.rotate(session, node.id, pair)

    transact(engine, make)
    return pair


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
