"""`cascade up` as a process of its own, with everything that it starts."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from config import ROOT
from tests.servers import free_port, wait_until

READY_SECONDS = 90  # many Pythons start at once, on a machine that may be busy
LAUNCH = [sys.executable, str(ROOT / "backend" / "cli" / "launch.py")]
OURS = re.compile(r"^(CASCADE_|DATABASE_URL|REDIS_URL|LOG_LEVEL|GUNICORN_|LANG|LC_)")


def environment(**told: str) -> dict[str, str]:
    """This machine's environment without anything that speaks to Cascade, and then what is told."""
    return {name: value for name, value in os.environ.items() if not OURS.match(name)} | told


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that do anything still; psutil tells apart who got the id of one that has ended."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Up:
    """One start on a data directory. Leaving the context kills whatever is left."""

    launch: Sequence[str] = LAUNCH

    def __init__(self, data_dir: Path, *words: str, **told: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.words = [*self.command(), "--data-dir", str(data_dir), *words]
        self.environment = environment(**told)
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.stdout = data_dir.parent / f"{data_dir.name}-{self.port}.out"
        self.stderr = data_dir.parent / f"{data_dir.name}-{self.port}.err"
        self.family: list[psutil.Process] = []

    def command(self) -> list[str]:
        """What is started."""
        return ["up", "--port", str(self.port)]

    def __enter__(self) -> Self:
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [*self.launch, *self.words],
                env=self.environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        self.process.kill()
        self.process.wait()
        for process in living(self.family):
            process.kill()

    @property
    def lines(self) -> list[str]:
        """What it printed for scripts."""
        return self.stdout.read_text(encoding="utf-8").splitlines()

    @property
    def log(self) -> str:
        """What it logged."""
        return self.stderr.read_text(encoding="utf-8", errors="replace")

    def look(self) -> list[psutil.Process]:
        """Every process that it started so far and that could be seen; kept for the question who is left."""
        with suppress(psutil.NoSuchProcess):
            self.family += [
                one
                for one in psutil.Process(self.process.pid).children(recursive=True)
                if one not in self.family
            ]
        return living(self.family)

    def wait_ready(self) -> Self:
        """Until the ready line."""
        with suppress(TimeoutError):
            wait_until(self._has_decided, READY_SECONDS, "ready")
        assert self._said_ready(), self.log
        self.look()
        return self

    def _has_decided(self) -> bool:
        return self._said_ready() or self.process.poll() is not None

    def _said_ready(self) -> bool:
        return any(line.startswith("ready ") for line in self.lines)

    def part(self, sign: str) -> psutil.Process | None:
        """The living part among its direct children whose command line matches the sign."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if re.search(sign, " ".join(child.cmdline())) and living([child]):
                    return child
        return None

    def end(self, how: signal.Signals) -> tuple[int, float]:
        """Send a signal to the supervisor alone; its exit code, and how many seconds it took."""
        self.look()
        began = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(30)
        return code, time.monotonic() - began

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """GET; status and JSON body."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """One request; status and JSON body. Status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, {}
        finally:
            connection.close()

    def run(self, *words: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Another command on the same data directory."""
        return subprocess.run(
            [*self.launch, *words],
            env=self.environment | {"CASCADE_DATA_DIR": str(self.data_dir)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run_on_terminal(self, *words: str) -> tuple[int, str]:
        """Another command whose stderr is a terminal; its exit code and what the terminal got."""
        ours, theirs = os.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            process = subprocess.Popen(
                [*self.launch, *words],
                env=self.environment | {"CASCADE_DATA_DIR": str(self.data_dir), "TERM": "xterm"},
                stdout=subprocess.DEVNULL,
                stderr=theirs,
            )
            os.close(theirs)
            shown = b""
            # Linux says EIO when the other side has closed it.
            with suppress(OSError):
                while chunk := terminal.read(4096):
                    shown += chunk
            return process.wait(30), shown.decode(errors="replace")
