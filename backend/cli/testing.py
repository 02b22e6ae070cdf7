"""`./cascade test`: lint, types, import contracts and every test, on real servers that it provides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from backend.cli.install import apt_install

ROOT = Path(__file__).resolve().parents[2]
CHECKS: dict[str, tuple[str, ...]] = {
    "lint": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "types": ("mypy",),
    "import contracts": ("lint-imports", "--no-logo"),
}
# Core packages only: the full ones bring a service that starts by itself.
PACKAGES: dict[str, tuple[str, ...]] = {
    "mariadbd": ("mariadb-server-core", "mariadb-client-core"),
    "mariadb-install-db": ("mariadb-server-core", "mariadb-client-core"),
    "chromium": ("chromium",),
    "ip": ("iproute2",),
}


def find_program(name: str) -> str:
    """The program's path; servers live in folders that a plain user's PATH lacks. Raises `FileNotFoundError`."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/libexec"])
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(name)
    return found


def is_missing(program: str) -> bool:
    """Whether the machine lacks the program."""
    try:
        find_program(program)
    except FileNotFoundError:
        return True
    return False


def provide_programs(
    needed: Mapping[str, Sequence[str]] = PACKAGES, install: Callable[..., bool] = apt_install
) -> str:
    """Install what the tests drive and the machine lacks; returns the sentence that says what could not be."""
    packages = sorted({package for name in needed if is_missing(name) for package in needed[name]})
    if not packages:
        return ""
    click.echo(f"installing {' '.join(packages)} …", err=True)
    if install(*packages) and not any(map(is_missing, needed)):
        return ""
    wanted = " ".join(packages)
    return f"the tests need programs that are missing; run: sudo apt-get install -y --no-install-recommends {wanted}"


def run(name: str, command: Sequence[str]) -> bool:
    """Run one step where its words can be seen; whether it passed."""
    click.echo(f"== {name}", err=True)
    program, *arguments = command
    done = subprocess.run([str(Path(sys.executable).with_name(program)), *arguments], cwd=ROOT, check=False)
    return done.returncode == 0


def side_by_side(cores: int) -> tuple[str, ...]:
    """How a whole run is spread over processes, each with servers of its own: most tests wait rather than compute."""
    return ("-n", str(2 * max(1, min(cores, 8))), "--dist", "worksteal")


def main() -> int:
    """Everything, or with pytest arguments only what they choose; 0 only when all of it passed."""
    arguments = sys.argv[2:]
    chosen = [argument for argument in arguments if argument != "--soak"]
    failed = [] if chosen else [name for name, command in CHECKS.items() if not run(name, command)]
    problem = provide_programs()
    if problem:
        click.echo(f"cascade: {problem}", err=True)
        return 2
    spread = () if chosen else side_by_side(os.cpu_count() or 1)
    if not run("tests", ("pytest", *spread, *arguments)):
        failed.append("tests")
    if failed:
        click.echo(f"failed: {', '.join(failed)}", err=True)
    return 1 if failed else 0
