"""The parent's HTTP server as it runs in production: gunicorn with several processes, started and stopped by the test."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import ROOT
from tests.servers import free_port, wait_until

START_SECONDS = 60  # Python starts, on a machine that may be busy
OURS = re.compile(r"^(CASCADE_|DATABASE_URL|REDIS_URL|LOG_LEVEL|GUNICORN_)")


@dataclass(frozen=True)
class Answer:
    """An answer: status, headers with their names in lower case, and the envelope."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def data(self) -> Any:
        """What the envelope holds, of a success."""
        assert self.status == 200, self.body
        return self.body["data"]


@dataclass(frozen=True)
class Parent:
    """A running server."""

    port: int
    pid: int
    log: Path

    def connection(self, seconds: float = 60) -> http.client.HTTPConnection:
        """A new connection; it may be used for many requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def call(
        self,
        method: str,
        path: str,
        *,
        authorization: str = "",
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """One request, on the connection or on one of its own."""
        used = connection or self.connection()
        try:
            used.request(method, path, headers={"Authorization": authorization})
            answer = used.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, json.loads(answer.read() or b"{}"))
        finally:
            if connection is None:
                used.close()


@contextmanager
def serving(
    folder: Path, database_url: str, redis_url: str, *, processes: int, threads: int
) -> Iterator[Parent]:
    """Gunicorn over the database and Redis, from its start until it has stopped."""
    port, log = free_port(), folder / "parent.log"
    environment = {name: value for name, value in os.environ.items() if not OURS.match(name)} | {
        "CASCADE_DATA_DIR": str(folder),
        "CASCADE_SECRET_KEY": "a key for tests only",
        "CASCADE_PORT": str(port),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "GUNICORN_WORKERS": str(processes),
        "GUNICORN_THREADS": str(threads),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "backend.api.app:create_app_from_environment()"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    parent = Parent(port, process.pid, log)
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(parent), START_SECONDS, "the parent's answer"
        )
        assert process.poll() is None, log.read_text(errors="replace")
        yield parent
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(parent: Parent) -> bool:
    with suppress(OSError):
        return parent.call("GET", "/livez").status == 200
    return False
