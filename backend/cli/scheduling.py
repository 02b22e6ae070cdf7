"""`cascade scheduler`: start, stop and reload the schedules of all message tasks, for every beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, note, result
from backend.dispatch.scheduler import reload_schedules
from backend.store.scheduler import SchedulerView, scheduler_state, set_running
from backend.store.session import read, transact


@click.group()
def scheduler() -> None:
    """Start, stop and reload the schedules of all message tasks."""


@scheduler.command()
@options.as_json
@options.data_dir
def start(as_data: bool, data_dir: Path | None) -> None:
    """Let schedules fire; what each task missed while they were stopped fires once, late."""
    _show(_running(running=True), as_data, data_dir)


@scheduler.command()
@options.as_json
@options.data_dir
def stop(as_data: bool, data_dir: Path | None) -> None:
    """Stop all schedules within a second; dispatching by hand and what runs go on."""
    _show(_running(running=False), as_data, data_dir)


@scheduler.command()
@options.as_json
@options.data_dir
def status(as_data: bool, data_dir: Path | None) -> None:
    """Say whether schedules fire."""
    _show(lambda place: read(place.engine, scheduler_state), as_data, data_dir)


@scheduler.command()
@options.as_json
@options.data_dir
def reload(as_data: bool, data_dir: Path | None) -> None:
    """Plan every schedule anew; needed only after an update of this machine's time zones."""
    _show(_reload, as_data, data_dir)


def scheduler_words(found: Mapping[str, Any]) -> str:
    """Whether schedules fire, and who stopped them."""
    if found["running"]:
        return say("schedules_running")
    return say(
        "schedules_stopped", who=found["changed_by"], since=f"{found['changed_at']:%Y-%m-%d %H:%M:%S} UTC"
    )


def _running(*, running: bool) -> Callable[[Place], SchedulerView]:
    return lambda place: transact(place.engine, lambda session: set_running(session, "cli", running=running))


def _reload(place: Place) -> SchedulerView:
    planned, view = reload_schedules(place.engine)
    note(say("schedules_planned", count=planned))
    return view


def _show(act: Callable[[Place], SchedulerView], as_data: bool, data_dir: Path | None) -> None:
    with opened(data_dir) as place:
        found = asdict(act(place))
    if as_data:
        as_json(found)
    else:
        result(scheduler_words(found))
