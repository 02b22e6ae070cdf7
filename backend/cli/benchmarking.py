"""`./cascade bench`: what we claim, measured beside named peers, on real servers that it provides."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from backend.cli.testing import PACKAGES, ROOT, provide_programs

NEEDED = {name: PACKAGES[name] for name in ("mariadbd", "mariadb-install-db")}


def main() -> int:
    """Run `benchmarks` with the words given; its exit code."""
    problem = provide_programs(NEEDED)
    if problem:
        click.echo(f"cascade: {problem}", err=True)
        return 2
    # The benchmarks are no part of what is installed: they are found where they stand, and nowhere else.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks", *sys.argv[2:]]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
