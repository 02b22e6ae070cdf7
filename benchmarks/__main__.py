"""Runs benchmarks by name, shows their tables, and writes JSON: what `./cascade bench` starts."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import click

import benchmarks
from backend.cli.tables import table
from benchmarks.harness.report import UNMEASURED, Options, Report


class Benchmark(Protocol):
    """A module of `benchmarks`; the first line of its docstring says what it measures."""

    __doc__: str | None

    def run(self, options: Options) -> Report:
        """Measure."""


def names() -> list[str]:
    """Every benchmark, by the name of its module."""
    found = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(one.name.replace("_", "-") for one in found if not one.ispkg and one.name != "__main__")


def load(name: str) -> Benchmark:
    """The benchmark of that name."""
    return cast("Benchmark", importlib.import_module(f"benchmarks.{name.replace('-', '_')}"))


def summary(name: str) -> str:
    """What the benchmark measures, in a line."""
    return (load(name).__doc__ or "").strip().splitlines()[0]


def show(name: str, report: Report, seconds: float) -> None:
    """The report on stdout, for people."""
    click.echo(f"\n== {name} ({seconds:.0f} s)")
    for one in report.tables:
        click.echo("")
        table(one.columns, [[row.get(column) for column in one.columns] for row in one.rows], title=one.title)
        for note in one.notes:
            click.echo(f"  {note}")
    for aim in report.aims:
        verdict = "met" if aim.met else "MISSED"
        click.echo(f"  aim {verdict}: {aim.name} {aim.reached:g} ({aim.bound} {aim.aim:g})")
    for problem in report.broken:
        click.echo(f"  BROKEN: {problem}")


def measure(name: str, options: Options) -> tuple[Report, float]:
    """Run one benchmark; a result that is wrong is part of its report."""
    begin = time.monotonic()
    try:
        report = load(name).run(options)
    except UNMEASURED as error:
        report = Report(broken=[f"{type(error).__name__}: {error}"])
    return report, time.monotonic() - begin


def machine() -> dict[str, Any]:
    """Where and when this was measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def write(path: Path, found: dict[str, Any], options: Options) -> None:
    """Everything as JSON."""
    content = {"machine": machine(), "options": asdict(options), "benchmarks": found}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("chosen", nargs=-1, metavar="[NAME]...")
@click.option("--list", "only_list", is_flag=True, help="Name the benchmarks and what each measures.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything to this file.")
@click.option("--quick", is_flag=True, help="Small sizes: to see that it works, not to compare.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Repetitions.")
@click.option("--database", type=click.Choice(["mariadb", "sqlite"]), default="mariadb", show_default=True)
@click.option(
    "--workers", type=click.IntRange(1, 16), default=2, show_default=True, help="Workers of each node."
)
@click.option("--peers/--no-peers", default=True, show_default=True, help="Measure other queues too.")
def bench(chosen: Sequence[str], only_list: bool, json_file: Path | None, **given: Any) -> None:
    """Run benchmarks, all of them without a NAME, and show ratios. Exit code 1: a result was wrong.

    Missed aims are shown and do not change the exit code: this machine may be busy.
    """
    known = names()
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise click.UsageError(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    if only_list:
        table(("name", "measures"), [(name, summary(name)) for name in known])
        return
    options = Options(**given)
    # What the measured parts warn of is their daily business; errors are not.
    logging.basicConfig(level=logging.ERROR)
    found: dict[str, Any] = {}
    for name in chosen or known:
        report, seconds = measure(name, options)
        show(name, report, seconds)
        found[name] = report.as_data() | {"seconds": round(seconds, 1)}
        if json_file is not None:
            write(json_file, found, options)
    if any(one["broken"] for one in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    bench(prog_name="cascade bench")
