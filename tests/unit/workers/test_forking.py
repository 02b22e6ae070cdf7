"""Children of one process: when they are started again, how they end, and that no signal is lost on the way."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.workers.deaths import Death, DeathPipe
from backend.workers.forking import STEADY_SECONDS, Child, Supervisor, fork_child
from backend.workers.vitals import Vitals
from tests.servers import wait_until


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def child_after(clock: Clock, *ends: tuple[int, float]) -> Child:
    """A child that ended so often, with a code and after so many seconds of life each time."""
    child = Child("worker", lambda: 0)
    supervisor = Supervisor([child], 5.0, clock=clock)
    for code, lived in ends:
        child.started = clock.now
        clock.now += lived
        supervisor._note_end(child, code)
    return child


@pytest.mark.parametrize(
    ("ends", "shortest", "longest"),
    [
        ([(0, 1.0)], 0.0, 0.0),  # recycling costs nothing
        ([(70, 1.0)], 0.375, 0.625),  # 0.5 s, 75 to 125 %
        ([(70, 1.0)] * 2, 0.75, 1.25),
        ([(-9, 1.0)] * 3, 1.5, 2.5),
        ([(70, 1.0)] * 20, 22.5, 37.5),  # at most 30 s
        ([(70, 1.0)] * 5 + [(70, STEADY_SECONDS)], 0.375, 0.625),  # it was steady: the count begins anew
        ([(70, 1.0)] * 5 + [(0, 1.0)], 0.0, 0.0),
    ],
)
def test_restarts_wait_the_longer_the_quicker_a_child_dies(
    ends: list[tuple[int, float]], shortest: float, longest: float
) -> None:
    clock = Clock()
    child = child_after(clock, *ends)
    assert shortest <= child.not_before - clock.now <= longest


def test_an_end_is_told_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    child_after(Clock(), (0, 1.0), (70, 1.0), (-9, 1.0))
    messages = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert messages[0] == "worker ended with exit code 70"
    assert messages[1].startswith("worker ended with signal 9 (SIGKILL: most likely")
    assert "out of memory" in messages[1]


def test_an_end_without_a_farewell_is_a_death_whatever_its_code() -> None:
    """A plug-in that calls `os._exit(0)` must neither look like a clean end nor be started again without a pause."""
    clock, told = Clock(), list[Death]()
    vitals = Vitals()
    child = Child("worker", lambda: 0, vitals=vitals)
    supervisor = Supervisor([child], 5.0, clock=clock, on_death=told.append)
    vitals.renew()
    supervisor._note(child, 0)
    assert child.not_before > clock.now
    vitals.renew()
    vitals.say_farewell()
    supervisor._note(child, 0)
    assert child.not_before == clock.now
    assert [death.blames for death in told] == [True, False]
    assert len({death.worker for death in told}) == 2


def test_a_fork_that_fails_is_tried_again_and_ends_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    clock, tries = Clock(), list[float]()

    def fork(_main: Callable[[], int]) -> int:
        tries.append(clock.now)
        raise OSError(12, "Cannot allocate memory")

    supervisor = Supervisor([Child("worker", lambda: 0)], 5.0, clock=clock, fork=fork)
    for _ in range(400):
        supervisor._start_missing()
        clock.now += 1.0
    # Longer each time, and never for ever.
    assert 10 < len(tries) < 30
    assert tries[-1] > clock.now - 40.0
    assert "can't be started (Cannot allocate memory)" in caplog.text


def stand_still() -> int:
    """Keep the interpreter, so that no thread of this process moves."""
    while True:
        ctypes.PyDLL(None).pause()


@contextmanager
def watched(main: Callable[[], int], deaths: DeathPipe) -> Iterator[Vitals]:
    """A supervisor in a process of its own over one child with vitals, which it ends after a second of silence."""
    vitals = Vitals()

    def child() -> int:
        vitals.keep_stamping()
        wait_until(lambda: vitals.stamps() > 2, 10, "signs of life")
        return main()

    def supervise() -> int:
        children = [Child("worker", child, vitals=vitals)]
        Supervisor(children, 5.0, on_death=deaths.tell, silent_seconds=1.0).run()
        return 0

    pid = fork_child(supervise)
    try:
        yield vitals
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def test_a_child_that_stands_still_is_killed_and_the_reason_is_told() -> None:
    deaths, heard = DeathPipe(), list[Death]()
    with watched(stand_still, deaths):

        def hear() -> bool:
            heard.extend(deaths.heard())
            return bool(heard)

        wait_until(hear, 20, "a death")
    assert heard[0].blames
    assert heard[0].cause == "no sign of life for 1 s, and was killed"


def test_a_child_that_somebody_stopped_is_left_alone_and_goes_on(tmp_path: Path) -> None:
    deaths, pids = DeathPipe(), tmp_path / "pids"
    with watched(telling(pids, wait_for_sigterm), deaths) as vitals:
        wait_until(lambda: len(said(pids)) == 1, 20, "the child")
        (pid,) = map(int, said(pids))
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 2.5, 10, "more than its silence may last")
        os.kill(pid, signal.SIGCONT)
        before = vitals.stamps()
        wait_until(lambda: vitals.stamps() > before + 1, 10, "signs of life")
        assert deaths.heard() == []


@contextmanager
def supervised(*mains: Callable[[], int], stop_seconds: float = 5.0) -> Iterator[int]:
    """A supervisor in a process of its own; its pid."""

    def supervise() -> int:
        Supervisor([Child(f"c{n}", main) for n, main in enumerate(mains)], stop_seconds).run()
        return 0

    pid = fork_child(supervise)
    try:
        yield pid
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it ended in the test


def end_of(pid: int) -> int:
    """Ask it to stop and wait; its exit code."""
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def said(file: Path) -> list[str]:
    """The lines in the file."""
    return file.read_text().splitlines() if file.exists() else []


def telling(file: Path, after: Callable[[], int]) -> Callable[[], int]:
    """A child that writes its pid into the file and then does something."""

    def main() -> int:
        with file.open("a") as out:
            out.write(f"{os.getpid()}\n")
        return after()

    return main


def wait_for_sigterm() -> int:
    """End well when asked to."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    while not asked.wait(0.02):
        pass
    return 0


def ignore_sigterm() -> int:
    """Never end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()
    return 0


def test_a_child_that_ended_well_is_started_again_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervised(telling(file, lambda: 0)) as pid:
        wait_until(lambda: len(said(file)) >= 3, 10, "three starts")
        assert len(set(said(file))) >= 3
        assert end_of(pid) == 0


def test_a_stop_ends_every_child_and_then_itself(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervised(*[telling(file, wait_for_sigterm)] * 3) as pid:
        wait_until(lambda: len(said(file)) == 3, 10, "three children")
        assert end_of(pid) == 0
    assert not [one for one in said(file) if Path(f"/proc/{one}").exists()]


def test_a_child_that_does_not_stop_is_killed_at_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with supervised(telling(file, ignore_sigterm), stop_seconds=0.3) as pid:
        wait_until(lambda: len(said(file)) == 1, 10, "the child")
        assert end_of(pid) == 0
    assert not Path(f"/proc/{said(file)[0]}").exists()


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_s_return_value_is_its_exit_code(code: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(fork_child(lambda: code), 0)[1]) == code


def test_a_child_that_raises_ends_with_70() -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(fork_child(lambda: 1 // 0), 0)[1]) == 70


def test_a_signal_right_after_the_fork_ends_the_child_and_is_not_spent_on_a_copied_handler() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        for _ in range(30):
            pid = fork_child(ignore_nothing)
            os.kill(pid, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def ignore_nothing() -> int:
    """Wait for a signal's default action."""
    threading.Event().wait(20)
    return 0


def on_demand(clock: Clock, count: int, waiting: Callable[[], int]) -> tuple[Supervisor, list[Child]]:
    """Children that run on demand, under a supervisor that forks nothing."""
    children = [Child(f"w{number}", lambda: 0, counted=False, on_demand=True) for number in range(count)]
    pids = iter(range(1000, 2000))
    supervisor = Supervisor(children, 5.0, clock=clock, fork=lambda _main: next(pids), demand=waiting)
    return supervisor, children


def test_children_on_demand_start_with_the_work_and_no_more_of_them_than_it_needs() -> None:
    clock, waiting = Clock(), [0]
    supervisor, children = on_demand(clock, 4, lambda: waiting[0])
    supervisor._start_missing()
    assert [bool(child.pid) for child in children] == [False] * 4
    waiting[0] = 2
    for _ in range(3):
        # What has just started takes a moment until it takes its job.
        supervisor._start_missing()
        clock.now += 0.2
    assert [bool(child.pid) for child in children] == [True, True, False, False]
    clock.now += 5.0
    supervisor._start_missing()
    assert all(child.pid for child in children)


def test_a_child_on_demand_that_died_comes_back_and_one_that_ended_well_does_not() -> None:
    clock = Clock()
    supervisor, [child] = on_demand(clock, 1, lambda: 0)
    child.pid, child.started = 1000, clock.now
    supervisor._note(child, signal.SIGKILL)
    clock.now = child.not_before
    supervisor._start_missing()
    # It may have taken a job along that nothing else tells of.
    assert child.pid
    supervisor._note(child, 0)
    supervisor._start_missing()
    assert not child.pid


def test_who_did_the_work_of_a_dead_worker_is_told_with_it() -> None:
    told = list[Death]()
    vitals = Vitals()
    child = Child("worker", lambda: 0, vitals=vitals, on_demand=True)
    supervisor = Supervisor([child], 5.0, clock=Clock(), on_death=told.append)
    vitals.renew()
    vitals.note_horse("a horse")
    supervisor._note(child, signal.SIGKILL)
    assert [one.worker for one in told] == [vitals.worker, "a horse"]
    told.clear()
    vitals.renew()
    assert vitals.horse() == ""
    supervisor._note(child, signal.SIGKILL)
    assert [one.worker for one in told] == [vitals.worker]
