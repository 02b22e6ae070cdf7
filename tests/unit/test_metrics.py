"""Counting over many processes: nothing of an ended one is lost, and nothing disturbs the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend import metrics
from config import ROOT

COUNTING = """
import os, sys
from pathlib import Path
from backend import metrics
metrics.share(Path(sys.argv[1]))
metrics.count(metrics.CONNECTIONS, 2)
metrics.count(metrics.ATTEMPTS, 3, kind="update", outcome="done", code="")
metrics.observe(metrics.PHASES, 0.2, phase="work", kind="update")
print("counted", flush=True)
sys.stdin.read()
"""


def counting(directory: Path) -> subprocess.Popen[str]:
    """A process that has counted and lives on."""
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTING, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    """Ended without a chance to say so."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def samples(directory: Path) -> dict[str, float]:
    """What is shown, by name; the tests count each with one set of labels."""
    families = text_string_to_metric_families(metrics.expose(directory).decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_what_killed_processes_counted_stays_and_what_they_held_goes(tmp_path: Path) -> None:
    directory = tmp_path / "prometheus"
    lives, dies = counting(directory), counting(directory)
    both = samples(directory)
    killed(dies)
    afterwards = samples(directory)
    killed(counting(directory))
    again = samples(directory)
    killed(lives)
    told = (
        "cascade_attempts_total",
        "cascade_phase_seconds_count",
        "cascade_connections_held",
    )
    assert [both[name] for name in told] == [6, 2, 4]
    assert [afterwards[name] for name in told] == [6, 2, 2]
    assert [again[name] for name in told] == [9, 3, 2]


FOLDED = ["counter_folded.db", "histogram_folded.db", "summary_folded.db"]


def test_the_files_of_ended_processes_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(3):
        killed(counting(tmp_path))
    samples(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.db")) == FOLDED


def test_they_do_not_even_where_nobody_asks_for_metrics(tmp_path: Path) -> None:
    for _ in range(2):
        killed(counting(tmp_path))
    lives = counting(tmp_path)
    others = sorted(path.name for path in tmp_path.glob("*.db") if str(lives.pid) not in path.name)
    killed(lives)
    assert others == FOLDED


TIDYING = """
import os, sys
from pathlib import Path
from backend import metrics
metrics.share(Path(sys.argv[1]))
child = os.fork()
if not child:
    metrics.count(metrics.ATTEMPTS, kind="update", outcome="done", code="")
    os._exit(0)
os.waitpid(child, 0)
metrics.tidy()
print(sorted(path.name for path in Path(sys.argv[1]).glob("*.db") if str(os.getpid()) not in path.name))
"""


def test_a_process_that_lives_long_tidies_up_after_those_that_it_forked(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TIDYING, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{FOLDED}\n"


def test_who_gets_the_id_of_an_ended_process_goes_on_counting_and_holds_nothing_of_its(
    tmp_path: Path,
) -> None:
    # In a container that starts again, ids are the same each time.
    code = COUNTING.replace("sys.stdin.read()", 'os.execv(sys.executable, [sys.executable, "-c", os.environ["AGAIN"], *sys.argv[1:]])')  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"AGAIN": COUNTING},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["counted\n", "counted\n"]
    found = samples(tmp_path)
    killed(process)
    assert [found["cascade_attempts_total"], found["cascade_connections_held"]] == [6, 2]


def test_every_block_of_a_file_is_taken_before_the_first_count(tmp_path: Path) -> None:
    process = counting(tmp_path)
    files = [path.stat() for path in tmp_path.glob(f"*_{process.pid}.db")]
    killed(process)
    # A write into a hole of a full disk would kill the process.
    assert len(files) == len(metrics.FILE_BYTES)
    assert all(one.st_blocks * 512 >= one.st_size > 0 for one in files)


FULL = """
import resource, signal, sys
from pathlib import Path
from backend import metrics
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
metrics.share(Path(sys.argv[1]))
metrics.count(metrics.CONNECTIONS)
metrics.observe(metrics.PHASES, 0.2, phase="work", kind="update")
print("the work is done")
print(metrics.expose(Path(sys.argv[1])).decode())
"""


def test_work_goes_on_where_nothing_can_be_written_and_what_was_counted_is_shown(tmp_path: Path) -> None:
    directory = tmp_path / "prometheus"
    killed(counting(directory))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("the work is done\n")
    assert 'cascade_attempts_total{code="",kind="update",outcome="done"} 3.0' in done.stdout
    assert "is not counted in the metrics" in done.stderr


def test_nothing_is_counted_before_it_is_said_where(tmp_path: Path) -> None:
    metrics.count(metrics.CONNECTIONS)
    assert samples(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("meter", metrics.METERS, ids=lambda meter: meter.name)
def test_the_labels_of_a_meter_fit_the_blocks_that_are_taken_for_it(meter: metrics.Meter) -> None:
    """Two hundred routes, or kinds and codes, each with the longest label of forty characters."""
    series = 200 if meter.labels else 1
    values = len(meter.buckets) + 2 if meter.buckets else 2
    key = len(meter.name) + len(meter.help) + 60 + 60 * len(meter.labels)
    kind = "gauge_livesum" if meter.kind == "gauge" else meter.kind
    if meter.name == metrics.PHASES.name:
        series = 3 * 4
    assert series * values * (key + 24) <= metrics.FILE_BYTES[kind]
