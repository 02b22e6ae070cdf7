"""A running system that tests use as people do, and look into beside it: its database, its Redis, its workers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import requests
from redis import Redis
from sqlalchemy import Engine

from backend.store.session import create_engine_for
from tests.e2e.running import Up, living
from tests.servers import wait_until

STOP_SECONDS = 10.0
PASSWORD = "a password of tests"
SETTINGS = {
    "CASCADE_EGRESS_ALLOW": "127.0.0.0/8",
    "CASCADE_RETRY_BASE_SECONDS": "0.3",
    "CASCADE_ADMIN_PASSWORD": PASSWORD,
    "GUNICORN_WORKERS": "1",
    # All stand-ins live on one host.
    "CASCADE_HOST_CONCURRENCY": "0",
    "CASCADE_HOST_GAP_SECONDS": "0",
}


@dataclass(frozen=True)
class Worker:
    """A worker process that serves a queue."""

    pid: int
    queue: str


class System(Up):
    """`cascade up`, ready; at the end it is stopped by SIGTERM, which must go well, in time, and leave nobody."""

    def __init__(self, data_dir: Path, *words: str, **settings: str) -> None:
        super().__init__(data_dir, *words, **SETTINGS | settings)

    def __enter__(self) -> Self:
        super().__enter__()
        return self.wait_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code, took = self.end(signal.SIGTERM)
        left = [" ".join(one.cmdline()) for one in (*living(self.family), *self.processes())]
        super().__exit__(kind, error, trace)
        if error is None:
            assert left == []
            assert (code, took < STOP_SECONDS) == (0, True), f"{code} after {took:.1f} s\n{self.log[-3000:]}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """Every living process of this data directory, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("CASCADE_DATA_DIR") == str(self.data_dir):
                    found.append(process)
        return living(found)

    def last_line(self, *words: str, expect: int = 0) -> str:
        """Run another command; what scripts need of it: the last line of its stdout."""
        done = self.run(*words)
        assert done.returncode == expect, (
            f"{words}: {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
        return done.stdout.splitlines()[-1]

    def engine(self) -> Engine:
        """The system's database, beside the system."""
        url = self.environment.get("DATABASE_URL") or f"sqlite:///{self.data_dir / 'cascade.db'}"
        return create_engine_for(url, pooled=False)

    def redis(self) -> Redis:
        """The system's Redis, beside the system."""
        address = self.environment.get("REDIS_URL") or (self.data_dir / "redis.url").read_text().strip()
        return Redis.from_url(address)

    def workers(self) -> list[Worker]:
        """The living worker processes that Redis knows."""
        found = []
        with self.redis() as redis:
            for key in redis.smembers("rq:workers"):
                pid, queues = redis.hmget(key, "pid", "queues")
                if pid and psutil.pid_exists(int(pid)) and _lives(int(pid)):
                    found.append(Worker(int(pid), (queues or b"").decode()))
        return sorted(found, key=lambda one: one.pid)

    def wait_for_workers(self, count: int) -> list[Worker]:
        """Wait until so many workers live; them."""
        wait_until(lambda: len(self.workers()) == count, 30, f"the life of {count} workers")
        return self.workers()

    def node_processes(self) -> set[int]:
        """The ids of the node processes and all that they forked: supervisors, workers, presences."""
        pattern = re.compile(r"\bnode run\b")
        found = set()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if pattern.search(" ".join(process.cmdline())):
                    found.add(process.pid)
        return found


def _lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def kill(pid: int) -> None:
    """SIGKILL; it may have ended by itself meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Visitor:
    """Somebody who uses the HTTP interface."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def log_in(self) -> Self:
        """Become `admin`."""
        data = self.ask("POST", "/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
        self.session.headers["Authorization"] = f"Bearer {data['access_token']}"
        return self

    def answer(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Mapping[str, Any]:
        """The whole envelope, after looking at the status."""
        answer = self.session.request(method, f"{self.url}{path}", timeout=20, **more)
        assert answer.status_code == expect, answer.text
        body: Mapping[str, Any] = answer.json()
        assert set(body) == {"code", "message", "data"}
        return body

    def ask(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Any:
        """The envelope's data."""
        return self.answer(method, path, expect=expect, **more)["data"]
