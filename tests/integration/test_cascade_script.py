"""`./cascade`: one small script between a fresh clone and the command line."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.clone import Clone, Started

# Stands before Python's `ensurepip`, like Debian without python3-venv; the rest is the real interpreter.
NO_ENSUREPIP = """#!{python}
import runpy, sys
sys.modules["ensurepip"] = None
if sys.argv[1] == "-c":
    exec(sys.argv[2])
else:
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, Started]:
    """A clone and its very first start."""
    clone = Clone(tmp_path_factory.mktemp("shared"))
    return clone, clone.start("feed", "add", "two words", "fail")


@pytest.fixture
def shared(first: tuple[Clone, Started]) -> Clone:
    return first[0]


@pytest.fixture
def installed(shared: Clone) -> Iterator[Clone]:
    """A clone that was started before; its files are put back afterwards."""
    names = ("requirements.txt", "requirements-dev.txt", "pyproject.toml", "backend/cli/main.py")
    before = {name: (shared.root / name).read_text() for name in names}
    assert shared.start().code == 0
    yield shared
    for name, text in before.items():
        shared.write(name, text)


@pytest.fixture
def fresh(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_the_first_start_installs_with_one_line_and_hands_over(first: tuple[Clone, Started]) -> None:
    clone, start = first
    assert start.shown == {
        "arguments": ["feed", "add", "two words", "fail"],
        "directory": str(clone.folder),
        "version": "1.0",
    }
    assert start.code == 3
    assert len(start.errors.splitlines()) == 1
    assert "installing" in start.errors


def test_a_later_start_is_silent_and_installs_nothing(installed: Clone) -> None:
    log = installed.log
    again = installed.start("status")
    assert (again.code, again.errors) == (0, "")
    assert installed.log == log


def test_a_start_costs_less_than_three_tenths_of_a_second_above_python(installed: Clone) -> None:
    def seconds(command: list[str | Path]) -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=installed.environment())
        return time.perf_counter() - began

    ours = statistics.median(seconds([installed.root / "cascade"]) for _ in range(7))
    python = statistics.median(
        seconds([installed.venv / "bin/python", "-c", "import json"]) for _ in range(7)
    )
    assert ours - python < 0.3


def test_it_starts_through_symbolic_links(installed: Clone, tmp_path: Path) -> None:
    (tmp_path / "direct").symlink_to(installed.root / "cascade")
    (tmp_path / "relative").symlink_to("direct")
    assert installed.start("status", script=tmp_path / "relative").shown["arguments"] == ["status"]


def test_modules_of_the_current_directory_and_of_pythonpath_are_not_imported(installed: Clone) -> None:
    stray = installed.folder / "tinylock.py"
    stray.write_text("raise SystemExit('a stray module was imported')")
    try:
        assert installed.start("status", PYTHONPATH=str(installed.folder)).code == 0
    finally:
        stray.unlink()


def test_a_changed_lock_updates_the_venv(installed: Clone) -> None:
    installed.write("requirements.txt", installed.pin("tinylock", "1.1"))
    updated = installed.start()
    assert updated.shown["version"] == "1.1"
    assert "installing" in updated.errors
    assert installed.start().errors == ""


def test_an_installation_that_failed_says_why_and_is_repeated(installed: Clone) -> None:
    good = (installed.root / "requirements.txt").read_text()
    installed.write("requirements.txt", "nowhere==1.0 --hash=sha256:" + "0" * 64)
    for _ in range(2):
        failed = installed.start()
        assert failed.code == 2
        assert "check network and proxy" in failed.errors
        assert str(installed.venv / "install.log") in failed.errors
        assert len(failed.errors.splitlines()) == 2
    installed.write("requirements.txt", good)
    repeated = installed.start()
    assert "installing" in repeated.errors
    assert repeated.code == 0


def test_a_package_that_does_not_match_its_hash_is_refused(installed: Clone) -> None:
    installed.pin("tinylock", "1.2")
    installed.write("requirements.txt", "tinylock==1.2 --hash=sha256:" + "0" * 64)
    refused = installed.start()
    assert refused.code == 2
    assert "does not match the lock" in refused.errors


def test_a_killed_installation_is_repeated_once_by_two_starts_at_once(fresh: Clone) -> None:
    with fresh.begin() as killed:
        assert killed.stderr is not None
        assert "installing" in killed.stderr.readline()
        os.killpg(killed.pid, signal.SIGKILL)
    assert not (fresh.venv / "installed" / "place").exists()
    with fresh.begin("one") as one, fresh.begin("two") as two:
        ended = [process.communicate(timeout=100) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    assert sorted(json.loads(output)["arguments"] for output, _ in ended) == [["one"], ["two"]]
    assert sum("installing packages into" in errors for _, errors in ended) == 1


def test_test_packages_are_installed_by_the_test_command_only(installed: Clone) -> None:
    packages = next(installed.venv.glob("lib/python3*/site-packages"))
    assert (
        not (packages / "tinytest.py").exists()
        or (installed.venv / "installed/requirements-dev.txt").exists()
    )
    assert installed.start("test", "-k", "x").shown["arguments"] == ["test", "-k", "x"]
    assert (packages / "tinytest.py").exists()
    assert installed.start("test").errors == ""


def test_a_venv_without_interpreter_is_rebuilt(installed: Clone) -> None:
    for name in ("python", "python3"):
        (installed.venv / "bin" / name).unlink()
    rebuilt = installed.start()
    assert (rebuilt.code, rebuilt.shown["version"]) == (0, "1.0")


def test_a_venv_with_a_missing_file_is_rebuilt_once(installed: Clone) -> None:
    next(installed.venv.glob("lib/python3*/site-packages/tinylock.py")).unlink()
    hopeless = installed.start(CASCADE_VENV_REBUILT="1")
    assert hopeless.code == 2
    assert f"delete {installed.venv}" in hopeless.errors
    rebuilt = installed.start("status")
    assert (rebuilt.code, rebuilt.shown["arguments"]) == (0, ["status"])


def test_a_mistake_in_our_own_code_is_shown_and_rebuilds_nothing(installed: Clone) -> None:
    installed.write("backend/cli/main.py", "import no_such_module\n")
    shown = installed.start()
    assert "No module named 'no_such_module'" in shown.errors
    assert "installing" not in shown.errors


def test_a_clone_that_was_moved_gets_a_venv_of_its_own(installed: Clone, fresh: Clone) -> None:
    subprocess.run(["cp", "-a", installed.venv, fresh.venv], check=True)
    moved = fresh.start()
    assert (moved.code, "installing" in moved.errors) == (0, True)
    assert (fresh.venv / "installed/place").read_text() == f"{fresh.root}\n"


def test_without_python_one_sentence_says_what_to_install(fresh: Clone) -> None:
    fresh.bare()
    stopped = fresh.start(machine=False)
    assert (stopped.code, len(stopped.errors.splitlines())) == (2, 1)
    assert "install Python 3.11" in stopped.errors


def test_an_old_python_is_named_as_the_reason(fresh: Clone) -> None:
    fresh.bare()
    fresh.program("python3", "#!/bin/sh\nexit 1\n")
    stopped = fresh.start(machine=False)
    assert (stopped.code, len(stopped.errors.splitlines())) == (2, 1)
    assert "older than 3.11" in stopped.errors


def test_a_newer_python_under_another_name_is_found(fresh: Clone) -> None:
    fresh.bare()
    fresh.program("python3", "#!/bin/sh\nexit 1\n")
    fresh.program("python3.12", '#!/bin/sh\necho "$*" >&2\ncase $1 in -c) exit 0;; esac\nexit 7\n')
    assert fresh.start(machine=False).code == 7


@pytest.mark.parametrize("apt_works", [True, False])
def test_without_ensurepip_the_package_is_installed_or_its_command_shown(
    fresh: Clone, apt_works: bool
) -> None:
    python = (fresh.programs / "python3").readlink()
    fresh.program("python3", NO_ENSUREPIP.format(python=python))
    fresh.program("apt-get", f'#!/bin/sh\necho "$*" >>{fresh.folder}/apt\nexit {0 if apt_works else 100}\n')
    fresh.program("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
    stopped = fresh.start()
    assert stopped.code == 2
    assert stopped.errors.splitlines()[-1].endswith("run: sudo apt-get install -y python3-venv")
    called = (fresh.folder / "apt").read_text().splitlines()
    install = "-q -y install --no-install-recommends python3-venv"
    assert called == ([install] if apt_works else [install, "-q -y update"])


def test_a_place_that_cannot_hold_a_venv_is_named(fresh: Clone) -> None:
    fresh.venv.write_text("in the way")
    stopped = fresh.start()
    assert stopped.code == 2
    assert str(fresh.venv) in stopped.errors.splitlines()[-1]
    assert "Traceback" not in stopped.errors
