"""`cascade child --once` and `cascade child sync`: one round, for hosts where nothing may run on, and by hand."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from backend.bootstrap import configure_logging, ensure_secret_key
from backend.cli import options
from backend.cli.child_settings import child_settings, warn_if_plain
from backend.cli.language import say
from backend.cli.output import result
from backend.cli.starting import only_one_here
from backend.cli.tables import listing
from backend.domain.condition import Condition
from backend.workers import condition
from backend.workers.beside import claim_beside, pull
from backend.workers.copied_lists import FEEDS, TASKS
from backend.workers.once import RoundReport, open_round
from backend.workers.remote import Remote
from backend.workers.syncing import Pulled
from config import Settings

KEPT = 1


def work_once(settings: Settings) -> int:
    """Claim, work, settle; 1 when results wait for the parent still. Raises `CascadeError`."""
    report = open_round(Remote(settings)).run()
    result(_worked(report))
    return KEPT if report.kept else 0


def _worked(report: RoundReport) -> str:
    return say("round_done", claimed=report.claimed, begun=report.begun, kept=report.kept)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The config.yaml to read.")
@options.data_dir
@click.pass_context
def sync(context: click.Context, config: Path | None, data_dir: Path | None) -> None:
    """Beat, pull feeds and message tasks, claim once, and print counts.

    What it claims goes to the child that runs on this data directory; where none runs, it is worked here."""
    above: tuple[Path | None, Path | None] = context.obj or (None, None)
    settings = ensure_secret_key(child_settings(config or above[0], data_dir or above[1]))
    configure_logging(settings, "child")
    warn_if_plain(settings)
    running = condition.read(settings.data_dir)
    if running is not None and running.is_fresh(time.time()):
        _sync_beside(settings, running)
        return
    with only_one_here(settings.data_dir):
        round_ = open_round(Remote(settings))
        _tell_pulls(pull(round_.parent, round_.remote))
        result(_worked(round_.run()))


def _sync_beside(settings: Settings, running: Condition) -> None:
    remote = Remote(settings)
    parent = remote.parent()
    claimed = claim_beside(remote, parent, running)
    _tell_pulls(pull(parent, remote))
    result(say("claimed_beside", claimed=claimed, running=running.running, waiting=running.waiting))


def _tell_pulls(pulled: dict[str, Pulled]) -> None:
    for name, told in ((FEEDS, "pulled_feeds"), (TASKS, "pulled_tasks")):
        one = pulled[name]
        click.echo(say(f"{told}_unchanged") if one.unchanged else say(told, count=one.count))


@click.command("sync-logs")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@options.as_json
@options.data_dir
@click.pass_context
def sync_logs(context: click.Context, limit: int, as_data: bool, data_dir: Path | None) -> None:
    """Show how the newest pulls of feeds and message tasks went; the parent keeps its own, at `GET /sync-logs`."""
    above: tuple[Path | None, Path | None] = context.obj or (None, None)
    settings = child_settings(above[0], data_dir or above[1])
    rows = [asdict(one) for one in Remote(settings).copy().logs(limit)]
    listing(("at", "operation", "data_count", "error"), rows, as_data=as_data)
