"""Forking: children of one preloaded process that end when it ends, restarted with backoff, stopped warm."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.domain.retry import restart_wait
from backend.workers.deaths import Death, cause_of
from backend.workers.vitals import Vitals

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
M_ARENA_MAX = -8
HEAPS = 2
STEADY_SECONDS = 30.0
LOOK_SECONDS = 0.2
SEEN_SECONDS = 1.0
STACK_SECONDS = 1.0
FRESH_SECONDS = 2.0
LAST_WORD_SECONDS = 1.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
CRASHED = 70


def fork_child(main: Callable[[], int], ends_with: signal.Signals = signal.SIGTERM) -> int:
    """Fork; the child runs `main` and exits with its code, and gets `ends_with` when this process ends. Returns its pid."""
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
        die_with(parent, ends_with)
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


def die_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Get this signal when the parent dies: a supervisor that is killed leaves no orphans. Linux only, harmless elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def share_heaps() -> None:
    """Have all threads of this process share two heaps: glibc gives up to eight for each core, and each keeps what it held at its peak."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_ARENA_MAX, HEAPS)


@dataclass(slots=True)
class Child:
    """One child that should always run, or `on_demand`. `counted` says whether it is one of the workers that the node tells of."""

    name: str
    main: Callable[[], int]
    counted: bool = True
    vitals: Vitals | None = None
    on_demand: bool = False
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    frozen: bool = False
    stamps: int = 0
    silence: float = 0.0
    verdict: str = ""

    @property
    def works(self) -> bool:
        """Whether it does work, which a stop lets it end or give back."""
        return self.counted or self.on_demand


@dataclass(slots=True)
class Supervisor:
    """Keeps children running until told to stop. Opens no connection and starts no thread, so it may fork at any time.

    `on_death` hears of each end of a child that has vitals. One that shows no sign of life for `silent_seconds` is killed,
    and one that was stopped by a signal after `frozen_seconds`.
    `demand` says how many jobs wait for those that run on demand; they end by themselves when nothing comes any more.
    """

    children: list[Child]
    stop_seconds: float
    on_change: Callable[[int], None] = lambda _alive: None
    clock: Callable[[], float] = time.monotonic
    stopping: bool = field(default=False)
    on_death: Callable[[Death], None] = lambda _death: None
    silent_seconds: float = math.inf
    frozen_seconds: float = math.inf
    fork: Callable[[Callable[[], int]], int] = fork_child
    looked: float = math.nan
    demand: Callable[[], int] = lambda: 0

    def run(self) -> None:
        """Until SIGTERM or SIGINT, then stop warm: one SIGTERM each, SIGKILL at the deadline."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        while not self.stopping:
            self._start_missing()
            self._reap()
            self._watch()
            self.on_change(self.alive)
            _sleep(LOOK_SECONDS)
        self._stop()

    @property
    def alive(self) -> int:
        """How many workers run, or stand ready; during a stop all that have not ended."""
        return sum(1 for child in self.children if self._counts(child))

    def _counts(self, child: Child) -> bool:
        if self.stopping:
            return bool(child.pid) and child.works
        return child.counted and bool(child.pid or child.on_demand)

    def _request_stop(self, *_: object) -> None:
        self.stopping = True

    def _start_missing(self) -> None:
        for child in self.children:
            if not child.pid and self.clock() >= child.not_before and self._is_needed(child):
                self._start(child)

    def _is_needed(self, child: Child) -> bool:
        # One that died may have taken a job along that nothing else tells of.
        if not child.on_demand or child.failures:
            return True
        # Each that has just started will take one of the jobs that still wait.
        fresh = [one for one in self.children if one.on_demand and one.pid and self._is_fresh(one)]
        return self.demand() > len(fresh)

    def _is_fresh(self, child: Child) -> bool:
        return self.clock() - child.started < FRESH_SECONDS

    def _start(self, child: Child) -> None:
        child.started = self.clock()
        child.frozen, child.stamps, child.silence, child.verdict = False, 0, 0.0, ""
        if child.vitals is not None:
            child.vitals.renew()
        try:
            child.pid = self.fork(child.main)
        except OSError as error:
            # No memory, or too many processes: this one must stay, so that there is somebody to try again.
            self._start_later(child, f"can't be started ({error.strerror})")

    def _reap(self) -> None:
        for child in self.children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid:
                self._note(child, status)

    def _note(self, child: Child, status: int) -> None:
        if os.WIFSTOPPED(status):
            child.frozen, child.silence = True, 0.0
            log.warning("%s was stopped by a signal; others get its work when its lease is over", child.name)
        elif os.WIFCONTINUED(status):
            child.frozen, child.silence = False, 0.0
        else:
            child.pid = 0
            self._tell_death(child, os.waitstatus_to_exitcode(status))
            self._note_end(child, os.waitstatus_to_exitcode(status))

    def _tell_death(self, child: Child, code: int) -> None:
        if child.vitals is not None:
            well = child.vitals.said_farewell()
            cause = child.verdict or cause_of(code)
            # Whoever stopped it by a signal did that, and not its work.
            blames = not well and not self.stopping and not child.frozen
            self.on_death(Death(child.vitals.worker, cause, blames))
            if horse := child.vitals.horse():
                # It ended with its worker: the kernel saw to that.
                self.on_death(Death(horse, f"{cause}, and with it the process that did the work", blames))

    def _watch(self) -> None:
        """End children that stand still: their process is there, but nothing in it moves."""
        # A supervisor that was itself frozen, or a machine that slept, has seen nothing meanwhile.
        passed = min(self.clock() - self.looked, SEEN_SECONDS) if not math.isnan(self.looked) else 0.0
        self.looked = self.clock()
        for child in self.children:
            if child.pid and child.frozen:
                self._watch_frozen(child, passed)
            elif child.pid and child.vitals is not None:
                self._watch_silent(child, child.vitals.stamps(), passed)

    def _watch_frozen(self, child: Child, passed: float) -> None:
        child.silence += passed
        if child.silence >= self.frozen_seconds and not child.verdict:
            child.verdict = f"stopped by a signal for {self.frozen_seconds:g} s, and was killed"
            log.error("%s may hold the database's only lock: %s", child.name, child.verdict)
            _signal(child, signal.SIGKILL)

    def _watch_silent(self, child: Child, stamps: int, passed: float) -> None:
        child.silence = 0.0 if stamps != child.stamps else child.silence + passed
        child.stamps = stamps
        if child.silence >= self.silent_seconds and not child.verdict:
            child.verdict = f"no sign of life for {self.silent_seconds:g} s, and was killed"
            log.error("%s stands still: %s; the stacks of its threads follow", child.name, child.verdict)
            _signal(child, signal.SIGABRT)
        elif child.silence >= self.silent_seconds + STACK_SECONDS:
            _signal(child, signal.SIGKILL)

    def _note_end(self, child: Child, code: int) -> None:
        if self.stopping:
            return
        died = code != 0 or (child.vitals is not None and not child.vitals.said_farewell())
        if died:
            self._start_later(child, f"ended with {child.verdict or cause_of(code)}")
        else:
            child.failures, child.not_before = 0, self.clock()

    def _start_later(self, child: Child, what_happened: str) -> None:
        steady = self.clock() - child.started >= STEADY_SECONDS
        child.failures = 1 if steady else child.failures + 1
        wait = restart_wait(child.failures, random.random())  # noqa: S311
        child.not_before = self.clock() + wait
        log.error("%s %s; it starts again in %.1f s", child.name, what_happened, wait)

    def _stop(self) -> None:
        began = self.clock()
        for child in self.children:
            _signal(child, signal.SIGTERM)
        # Who is left gives back what the killed ones held.
        last_word = min(LAST_WORD_SECONDS, self.stop_seconds / 4)
        workers = [child for child in self.children if child.works]
        self._await(workers, began + self.stop_seconds - last_word)
        self._await(self.children, began + self.stop_seconds)

    def _await(self, children: list[Child], deadline: float) -> None:
        while any(child.pid for child in children) and self.clock() < deadline:
            self._reap()
            self.on_change(self.alive)
            _sleep(0.05)
        for child in children:
            if child.pid:
                child.verdict = f"it did not stop in {self.stop_seconds:g} s and was killed"
                log.error("%s did not stop in %g s and is killed", child.name, self.stop_seconds)
                _signal(child, signal.SIGKILL)
                self._note(child, os.waitpid(child.pid, 0)[1])
        self.on_change(self.alive)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.pid:
        os.kill(child.pid, number)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
