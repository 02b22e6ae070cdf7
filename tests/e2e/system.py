"""The whole system as a person starts it: `./cascade up` on a directory of its own, and the other commands beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil
import requests
from redis import Redis
from sqlalchemy import Engine

from backend.store.session import create_engine_for
from tests.servers import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 10.0
COMMAND_SECONDS = 90.0
PASSWORD = "a password of tests"
INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


def environment_for(data_dir: Path, **settings: str) -> dict[str, str]:
    """What a person's shell would hand over: no setting of the session that runs the tests leaks in."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "CASCADE_DATA_DIR": str(data_dir),
        "CASCADE_EGRESS_ALLOW": "127.0.0.0/8",
        "CASCADE_RETRY_BASE_SECONDS": "0.3",
        "CASCADE_ADMIN_PASSWORD": PASSWORD,
        "GUNICORN_WORKERS": "1",
        **settings,
    }


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every living process that works on the directory, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            works_here = process.environ().get("CASCADE_DATA_DIR") == str(data_dir)
            if works_here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@dataclass(frozen=True)
class Worker:
    """A worker process that serves a queue."""

    pid: int
    queue: str


class System:
    """`./cascade up`; a context manager that starts it and, at the end, checks that nothing of it is left."""

    def __init__(self, data_dir: Path, *options: str, **settings: str) -> None:
        self.data_dir = data_dir
        self.environment = environment_for(data_dir, **settings)
        self.options = options
        self.lines: list[str] = []
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self._said = threading.Condition()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running `up`."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """What every part said so far."""
        return (self.data_dir / "up.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._log = (self.data_dir / "up.log").open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            [str(ROOT / "cascade"), "up", "--port", "0", *self.options],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()
        with self._said:
            self._said.wait_for(lambda: bool(self.url) or self.process.poll() is not None, START_SECONDS)
        if not self.url:
            self._end_everything()
            raise AssertionError(f"the system did not start: {self.lines}\n{self.log[-4000:]}")

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._said:
                    self.lines.append(line.rstrip("\n"))
                    if line.startswith("ready "):
                        self.url = line.split()[1]
                    self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def stop(self) -> float:
        """SIGTERM; the seconds that the stop took. Nothing may be left of it, and it must end well and in time."""
        began = time.monotonic()
        process, self._process, self.url = self.process, None, ""
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS + 5)
            took = time.monotonic() - began
            left = [f"{one.pid} {' '.join(one.cmdline())}" for one in processes_of(self.data_dir)]
        finally:
            self._end_everything()
            if self._log:
                self._log.close()
        assert left == []
        assert (code, took < STOP_SECONDS) == (0, True), f"{took:.1f} s\n{self.log[-3000:]}"
        return took

    def _end_everything(self) -> None:
        for one in processes_of(self.data_dir):
            with suppress(psutil.NoSuchProcess):
                one.kill()

    def run(self, *command: str, expect: int = 0) -> str:
        """Run `./cascade COMMAND`; its stdout."""
        done = subprocess.run(
            [str(ROOT / "cascade"), *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def last_line(self, *command: str, expect: int = 0) -> str:
        """What scripts need of a command: the last line of its stdout."""
        return self.run(*command, expect=expect).splitlines()[-1]

    def engine(self) -> Engine:
        """The system's database, beside the system."""
        url = self.environment.get("DATABASE_URL") or f"sqlite:///{self.data_dir / 'cascade.db'}"
        return create_engine_for(url, pooled=False)

    def redis(self) -> Redis:
        """The system's Redis, beside the system."""
        address = self.environment.get("REDIS_URL") or (self.data_dir / "redis.url").read_text().strip()
        return Redis.from_url(address)

    def workers(self) -> list[Worker]:
        """The living worker processes, as Redis knows them."""
        alive = {one.pid for one in processes_of(self.data_dir)}
        found = []
        with self.redis() as redis:
            for key in redis.smembers("rq:workers"):
                pid, queues = redis.hmget(key, "pid", "queues")
                if pid and int(pid) in alive:
                    found.append(Worker(int(pid), (queues or b"").decode()))
        return sorted(found, key=lambda one: one.pid)

    def wait_for_workers(self, count: int) -> list[Worker]:
        """Wait until so many workers live; them."""
        wait_until(lambda: len(self.workers()) == count, 30, f"the life of {count} workers")
        return self.workers()


class Visitor:
    """Somebody who uses the HTTP interface."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(headers)

    def log_in(self, password: str = PASSWORD) -> Self:
        """Become `admin`."""
        data = self.ask("POST", "/api/v1/auth/login", json={"username": "admin", "password": password})
        self.session.headers["Authorization"] = f"Bearer {data['access_token']}"
        return self

    def ask(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Any:
        """The envelope's data, after looking at the status."""
        answer = self.session.request(method, f"{self.url}{path}", timeout=20, **more)
        assert answer.status_code == expect, answer.text
        body: Mapping[str, Any] = answer.json()
        assert set(body) == {"code", "message", "data"}
        return body["data"]
