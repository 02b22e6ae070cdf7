"""The supervisor with real processes: restarts, order of the stop, and that nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from backend.cli.parts import Recipe, session_members
from backend.cli.supervision import STABLE_SECONDS, StopRequested, Supervisor, describe_exit
from tests.servers import wait_until

SLEEPER = "import time; time.sleep(600)"
# A worker that left its part's process group, as RQ's forked work horses do.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


class Stage:
    """A supervisor that listens to signals, and what its parts said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: dict[str, list[str]] = {}
        self.supervisor = Supervisor(chance=lambda: 0.0)

    def start(self, name: str, program: str, stage: int = 0) -> None:
        """Start a part that runs a Python program."""
        listen: Callable[[str], None] = self.heard.setdefault(name, []).append
        command = [sys.executable, "-c", program]
        self.supervisor.start(Recipe(name, command, os.environ, stage, self.folder, listen))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Run the supervisor until the condition holds."""
        assert self.supervisor.wait_until(condition, 20, every=0.02)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything that is started on it is stopped after the test."""
    made = Stage(tmp_path)
    with made.supervisor.listening_to_signals():
        try:
            yield made
        finally:
            made.supervisor.stop([0.1, 0.2, 0.3])


def lives(pid: int) -> bool:
    """Whether a process does anything still; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_part_that_ends_is_started_again(stage: Stage) -> None:
    stage.start("part", "import os; print(os.getpid(), flush=True)")
    stage.wait(lambda: len(stage.heard["part"]) >= 3)
    assert len(set(stage.heard["part"])) >= 3
    assert stage.supervisor.failures("part") >= 2


def test_restarts_wait_longer_each_time(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.start("part", "raise SystemExit(3)")
    stage.wait(lambda: stage.supervisor.failures("part") >= 3)
    waits = [str(record.args[-1]) for record in caplog.records if isinstance(record.args, tuple)]
    assert [f"{float(wait):.3f}" for wait in waits[:3]] == ["0.375", "0.750", "1.500"]
    assert "exit code 3" in caplog.text


class JumpingClock:
    """The real clock, which a test can move forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def test_a_part_that_stayed_up_starts_again_quickly(tmp_path: Path) -> None:
    stage, clock = Stage(tmp_path), JumpingClock()
    stage.supervisor = Supervisor(clock=clock, chance=lambda: 0.0)
    with stage.supervisor.listening_to_signals():
        stage.start("part", "import os; print(os.getpid(), flush=True)\n" + SLEEPER)
        for started in (1, 2, 3):
            stage.wait(lambda: len(stage.heard["part"]) == started)  # noqa: B023  (used in this round only)
            clock.ahead += STABLE_SECONDS
            os.kill(int(stage.heard["part"][-1]), signal.SIGKILL)
            stage.wait(lambda: stage.supervisor.failures("part") > 0)
        assert stage.supervisor.failures("part") == 1
        stage.supervisor.stop([0.0])


def test_a_killed_part_takes_its_workers_along(stage: Stage) -> None:
    stage.start("family", FAMILY)
    stage.wait(lambda: bool(stage.heard["family"]))
    worker = int(stage.heard["family"][0])
    assert lives(worker)
    os.kill(psutil.Process(worker).ppid(), signal.SIGKILL)
    stage.wait(lambda: stage.supervisor.failures("family") == 1)
    stage.wait(lambda: not lives(worker))


def test_the_stop_asks_stage_after_stage(stage: Stage) -> None:
    program = (
        "import os, signal, sys, time\n"
        # Not print: the signal may come while the line before is still being printed.
        "def end(*_):\n    os.write(1, f'{time.monotonic()}\\n'.encode()); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    for name, number in (("redis", 2), ("parent", 1), ("worker", 0)):
        stage.start(name, program, number)
    stage.wait(lambda: all(stage.heard.values()))
    stage.supervisor.stop([5, 10, 15])
    ended = {name: float(lines[1]) for name, lines in stage.heard.items()}
    assert ended["worker"] < ended["parent"] < ended["redis"]


def test_who_does_not_stop_is_killed_at_the_limit_with_all_its_children(stage: Stage) -> None:
    stage.start("deaf", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FAMILY}")
    stage.wait(lambda: bool(stage.heard["deaf"]))
    worker = int(stage.heard["deaf"][0])
    leader = psutil.Process(worker).ppid()
    began = time.monotonic()
    stage.supervisor.stop([0.5])
    assert 0.5 <= time.monotonic() - began < 5
    # A killed process needs a moment to be gone.
    wait_until(lambda: not lives(leader) and not lives(worker), 10, "the end of both")
    assert not list(session_members(leader))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_ask_to_stop(stage: Stage, number: signal.Signals) -> None:
    stage.start("part", SLEEPER)
    os.kill(os.getpid(), number)
    stage.supervisor.run()
    assert stage.supervisor.stop_requested
    with pytest.raises(StopRequested):
        stage.supervisor.wait_until(lambda: False, 5)


def test_a_program_that_does_not_exist_is_tried_again(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.supervisor.start(Recipe("part", ["/nowhere/program"], {}, 0, stage.folder))
    stage.wait(lambda: stage.supervisor.failures("part") >= 2)
    assert "part can't be started" in caplog.text


def test_the_parts_do_not_get_the_terminal_s_ctrl_c(stage: Stage) -> None:
    stage.start("part", "import os; print(os.getpgrp(), os.getsid(0), flush=True)\n" + SLEEPER)
    stage.wait(lambda: bool(stage.heard["part"]))
    group, session = map(int, stage.heard["part"][0].split())
    assert group == session
    assert group != os.getpgrp()


def run_supervisor_of(parts: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """A process of its own that supervises parts; it prints their ids."""
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from backend.cli.parts import Recipe\nfrom backend.cli.supervision import Supervisor\n"
        "s = Supervisor()\n"
        "with s.listening_to_signals():\n"
        f"    for n, p in enumerate({list(parts)!r}):\n"
        f"        s.start(Recipe(str(n), [sys.executable, '-c', p], os.environ, 0, Path({str(folder)!r})))\n"
        "    print(*[w.part.pid for w in s._watched], flush=True)\n"
        "    s.run()\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_a_killed_supervisor_leaves_no_part_behind(tmp_path: Path) -> None:
    with run_supervisor_of([SLEEPER, SLEEPER], tmp_path) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        supervisor.kill()
    wait_until(lambda: not any(lives(pid) for pid in pids), 10, "the end of the parts")


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (2, "exit code 2"), (-9, "SIGKILL"), (-64, "SIGRTMAX")]
)
def test_an_end_is_described_in_people_s_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
