"""One part of the running system: a process with everything that it starts, and how it is ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from config import Settings

PR_SET_PDEATHSIG = 1
KILL_PASSES = 5
STDERR = 2
ADMIN_PASSWORD = "CASCADE_ADMIN_PASSWORD"  # noqa: S105  (the variable's name)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a part is started. Parts of a lower `stage` are stopped first.

    `listen` gets each line that the part writes; without it the part writes to our own stderr.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    stage: int
    folder: Path
    listen: Callable[[str], None] | None = None


def environment_of(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What the parts are told; secrets travel here and never on a command line."""
    told = {name: value for name, value in environ.items() if name != ADMIN_PASSWORD}
    if settings.config_file is not None:
        told["CASCADE_CONFIG"] = str(settings.config_file)
    return told | {
        "CASCADE_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "CASCADE_HOST": settings.host,
        "CASCADE_PORT": str(settings.port),
        "LOG_LEVEL": settings.log_level,
        "PYTHONSAFEPATH": "1",
    }


class Part:
    """A running part. It leads a session of its own, so that a Ctrl-C at the terminal does not reach it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        heard = subprocess.PIPE if recipe.listen else None
        self.process = subprocess.Popen(
            recipe.command,
            env=dict(recipe.environment),
            cwd=recipe.folder,
            stdin=subprocess.DEVNULL,
            # stdout belongs to `up` alone: its lines are what scripts wait for.
            stdout=heard or STDERR,
            stderr=subprocess.STDOUT if heard else None,
            start_new_session=True,
            preexec_fn=_tie(os.getpid()),  # noqa: PLW1509  (the supervisor has no threads)
        )
        self._rest = b""

    @property
    def pid(self) -> int:
        """Its process id, which is the id of its session too."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Whether the process is over; it stays a zombie, so that nobody else can get its session's id."""
        if self.process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def ask_to_stop(self) -> None:
        """The one SIGTERM: the part ends its own workers warm."""
        if not self.has_ended():
            self.process.terminate()

    def clear(self) -> int:
        """Kill whatever is left of its session; returns the exit code (negative: the signal's number)."""
        if self.process.returncode is None:
            for _ in range(KILL_PASSES):
                # Again, because what is being killed may fork meanwhile.
                if not self._kill_session():
                    break
            self.process.wait()
        self.read()
        if self.process.stdout:
            self.process.stdout.close()
        if self._rest and self.recipe.listen:
            self.recipe.listen(self._rest.decode(errors="replace"))
        return self.process.returncode

    def _kill_session(self) -> int:
        killed = 0
        for pid in session_members(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def read(self) -> None:
        """Hand on what it wrote since; only whole lines until it is over."""
        stream = self.process.stdout
        if stream is None or stream.closed or self.recipe.listen is None:
            return
        os.set_blocking(stream.fileno(), False)
        while chunk := _read_some(stream.fileno()):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self.recipe.listen(line.decode(errors="replace"))


def _read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def session_members(session: int) -> Iterator[int]:
    """The living processes of a session: groups are too narrow, because forking workers make their own."""
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                yield pid


def _tie(parent: int) -> Callable[[], None] | None:
    """Between fork and exec: have the kernel send SIGTERM when the supervisor dies, however it dies.

    Linux only (prctl(2), PR_SET_PDEATHSIG); elsewhere a killed supervisor leaves its parts to the person.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It died before the call above.
            os._exit(0)

    return tie
