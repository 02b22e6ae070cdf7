"""Forking: children of one preloaded process that end when it ends, restarted with backoff, stopped warm."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.domain.retry import restart_wait

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
M_ARENA_MAX = -8
HEAPS = 2
STEADY_SECONDS = 30.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
CRASHED = 70


def fork_child(main: Callable[[], int]) -> int:
    """Fork; the child runs `main` and exits with its code. Returns the child's pid."""
    parent = os.getpid()
    # A signal that arrives before the child has its own handlers would be spent on the copy of the parent's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    code = CRASHED
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        die_with(parent)
        random.seed()
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else CRASHED
    except BaseException:
        # A process edge: the traceback belongs into the log, and the parent restarts what it needs.
        log.exception("the process ends with an unexpected error")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: threads that hang in a plug-in must not keep the process.
        os._exit(code)


def die_with(parent: int) -> None:
    """Get SIGTERM when the parent dies: a supervisor that is killed leaves no orphans. Linux only, harmless elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def share_heaps() -> None:
    """Have all threads of this process share two heaps: glibc gives up to eight for each core, and each keeps what it held at its peak."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_ARENA_MAX, HEAPS)


@dataclass(slots=True)
class Child:
    """One kind of child that should always run. `counted` says whether it is a worker."""

    name: str
    main: Callable[[], int]
    counted: bool = True
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Keeps children running until told to stop. Opens no connection and starts no thread, so it may fork at any time."""

    children: list[Child]
    stop_seconds: float
    on_change: Callable[[int], None] = lambda _alive: None
    clock: Callable[[], float] = time.monotonic
    stopping: bool = field(default=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT, then stop warm: one SIGTERM each, SIGKILL at the deadline."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        while not self.stopping:
            self._start_missing()
            self._reap()
            self.on_change(self.alive)
            _sleep(0.2)
        self._stop()

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(1 for child in self.children if child.pid and child.counted)

    def _request_stop(self, *_: object) -> None:
        self.stopping = True

    def _start_missing(self) -> None:
        for child in self.children:
            if not child.pid and self.clock() >= child.not_before:
                child.started = self.clock()
                child.pid = fork_child(child.main)

    def _reap(self) -> None:
        for child in self.children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                self._note_end(child, os.waitstatus_to_exitcode(status))

    def _note_end(self, child: Child, code: int) -> None:
        if self.stopping:
            return
        steady = self.clock() - child.started >= STEADY_SECONDS
        child.failures = 0 if code == 0 else 1 if steady else child.failures + 1
        wait = restart_wait(child.failures, random.random()) if child.failures else 0.0  # noqa: S311
        child.not_before = self.clock() + wait
        if code:
            cause = f"signal {-code}" if code < 0 else f"exit code {code}"
            log.error("%s ended with %s; it starts again in %.1f s", child.name, cause, wait)

    def _stop(self) -> None:
        deadline = self.clock() + self.stop_seconds
        for child in self.children:
            _signal(child, signal.SIGTERM)
        while any(child.pid for child in self.children) and self.clock() < deadline:
            self._reap()
            self.on_change(self.alive)
            _sleep(0.05)
        for child in self.children:
            if child.pid:
                log.error("%s did not stop in %g s and is killed", child.name, self.stop_seconds)
                _signal(child, signal.SIGKILL)
                os.waitpid(child.pid, 0)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.pid:
        os.kill(child.pid, number)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
