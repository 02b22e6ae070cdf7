"""`cascade task`: add, list, pause and resume message tasks, and show what their schedules did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import click
from sqlalchemy.orm import Session

from backend.cli import options
from backend.cli.language import language, say
from backend.cli.nodes import find_node
from backend.cli.opening import Place, opened
from backend.cli.output import note, result
from backend.cli.scheduling import scheduler_words
from backend.cli.tables import listing
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import ALL_FEEDS, TaskContent, check_task
from backend.domain.overlap import Overlap
from backend.domain.schedule_words import in_words
from backend.store import ticks
from backend.store.message_tasks import (
    TaskView,
    create_task,
    find_task,
    get_task,
    list_tasks,
    update_task,
)
from backend.store.nodes import list_nodes
from backend.store.scheduler import scheduler_state
from backend.store.session import read, transact

PAGE = 500
FIRE_TIMES = 3
COLUMNS = (
    "id",
    "name",
    "feeds",
    "message_type",
    "receiver",
    "cron_exp",
    "schedule_in_words",
    "time_zone",
    "next_fire_times",
    "overlap",
    "autonomous_node",
    "paused",
    "enabled",
)
TICK_COLUMNS = ("planned_at", "state", "count", "late_seconds", "run_id", "reason")


@click.group()
def task() -> None:
    """Add, list, pause and resume message tasks."""


@task.command()
@click.option("--name", required=True, help="What to call it.")
@click.option("--feeds", type=click.Choice([ALL_FEEDS]), help="Every feed, also those added later.")
@click.option("--feed", "feed_ids", multiple=True, metavar="ID", help="One feed; may be repeated.")
@click.option("--message-type", type=click.IntRange(0, 1), default=0, help="0: chat robot, 1: web hook.")
@click.option("--template", type=click.Path(path_type=Path), help="A file with the message template.")
@click.option("--web-hook-url", default="", help="Who is told; without one the articles are only kept.")
@click.option("--headers", default="", help="Headers for the web hook, a JSON object.")
@click.option("--cookies", default="", help="Cookies for the web hook: name=value; name=value.")
@click.option("--cron", default="", help="When to run; without it by hand.")
@click.option("--time-zone", default="UTC", show_default=True, help="The time zone of --cron.")
@click.option(
    "--overlap",
    type=click.Choice([one.value for one in Overlap]),
    default=Overlap.QUEUE.value,
    show_default=True,
    help="When a run comes due while the last one has not ended: leave it out, let one wait, or run both.",
)
@click.option(
    "--autonomous-node",
    default="",
    metavar="NODE",
    help="The remote node that collects it on its cron while it does not reach its parent.",
)
@options.data_dir
def add(
    feeds: str | None,
    feed_ids: tuple[str, ...],
    template: Path | None,
    cron: str,
    autonomous_node: str,
    data_dir: Path | None,
    **rest: Any,
) -> None:
    """Add a message task; its id is the last line."""
    if (feeds is None) == (not feed_ids):
        raise InvalidInput("no_feeds_chosen")
    content = TaskContent(
        feed_ids=ALL_FEEDS if feeds else feed_ids, message_template=_text(template), cron_exp=cron, **rest
    )
    checked, task_id = check_task(content), new_id()
    with opened(data_dir) as place:
        cipher = place.cipher

        def create(session: Session) -> None:
            named = replace(checked.content, autonomous_node_id=_node_id(session, autonomous_node))
            create_task(session, cipher, task_id, replace(checked, content=named))

        transact(place.engine, create)
        result(task_id)


def _node_id(session: Session, name: str) -> str:
    return find_node(session, name).id if name else ""


@task.command()
@click.argument("name")
@click.argument("node", default="")
@options.data_dir
def autonomous(name: str, node: str, data_dir: Path | None) -> None:
    """Let the remote NODE collect the message task NAME (or id) while it does not reach its parent; without NODE nobody does."""
    with opened(data_dir) as place:
        cipher = place.cipher

        def change(session: Session) -> None:
            task_id = find_task(session, name)
            before = get_task(session, cipher, task_id).content
            after = replace(before, autonomous_node_id=_node_id(session, node))
            update_task(session, cipher, task_id, before, check_task(after), actor="cli")

        transact(place.engine, change)
    result(say("task_autonomous", name=name, node=node) if node else say("task_not_autonomous", name=name))


@task.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every message task."""
    with opened(data_dir) as place:
        tasks = _every_task(place)
        state = read(place.engine, scheduler_state)
        names = {one.id: one.name for one in read(place.engine, list_nodes)}
    if not state.running:
        note(say("schedules_are", state=scheduler_words(asdict(state))))
    rows = [_row(one, names) for one in tasks]
    if not as_data:
        rows = [row | {"next_fire_times": _local(one)} for row, one in zip(rows, tasks, strict=True)]
    listing(COLUMNS, rows, as_data=as_data)


@task.command()
@click.argument("name")
@options.data_dir
def pause(name: str, data_dir: Path | None) -> None:
    """Stop the schedule of the message task NAME (or id), and nothing else, until it is resumed."""
    _set_paused(name, data_dir, paused=True)


@task.command()
@click.argument("name")
@options.data_dir
def resume(name: str, data_dir: Path | None) -> None:
    """Let the schedule of the message task NAME (or id) go on with its next tick."""
    _set_paused(name, data_dir, paused=False)


@task.command("ticks")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, PAGE), default=20, show_default=True)
@options.as_json
@options.data_dir
def ticks_(name: str, limit: int, as_data: bool, data_dir: Path | None) -> None:
    """Show what the planned times of the message task NAME (or id) came to, the newest first."""
    with opened(data_dir) as place:
        task_id = read(place.engine, lambda session: find_task(session, name))
        found, _ = read(place.engine, lambda session: ticks.list_ticks(session, task_id, limit=limit))
    listing(TICK_COLUMNS, [asdict(one) for one in found], as_data=as_data)


def _set_paused(name: str, data_dir: Path | None, *, paused: bool) -> None:
    with opened(data_dir) as place:
        task_id = read(place.engine, lambda session: find_task(session, name))
        transact(
            place.engine,
            lambda session: ticks.set_paused(session, task_id, ticks.clock(session), paused=paused),
        )
    result(say("task_paused" if paused else "task_resumed", name=name))


def _every_task(place: Place) -> list[TaskView]:
    cipher = place.cipher
    found: list[TaskView] = []
    while True:
        start = len(found)
        page, total = read(
            place.engine,
            lambda session, start=start: list_tasks(session, cipher, limit=PAGE, offset=start),  # type: ignore[misc]
        )
        found += page
        if not page or len(found) >= total:
            return found


def _row(view: TaskView, names: Mapping[str, str]) -> dict[str, Any]:
    content = view.content
    return {
        "id": view.id,
        "name": content.name,
        "feeds": content.feed_ids if content.feed_ids == ALL_FEEDS else len(content.feed_ids),
        "message_type": content.message_type,
        "receiver": _where(content.web_hook_url),
        "cron_exp": content.cron_exp,
        "time_zone": content.time_zone,
        "schedule_in_words": in_words(content.cron_exp, language()),
        "next_fire_times": view.fire_times(FIRE_TIMES),
        "overlap": content.overlap,
        "autonomous_node": names.get(content.autonomous_node_id, ""),
        "paused": view.paused,
        "enabled": content.enabled,
        "created_at": view.created_at,
    }


def _local(view: TaskView) -> str:
    """The next fire times as clocks in the task's time zone show them."""
    times = view.fire_times(FIRE_TIMES)
    zone = ZoneInfo(view.content.time_zone) if times else None
    return ", ".join(f"{one.astimezone(zone):%Y-%m-%d %H:%M}" for one in times) or "-"


def _where(web_hook_url: str) -> str:
    """Host or service of the receiver; the rest of its address is what opens it."""
    parts = urlsplit(web_hook_url)
    return (parts.hostname or "") if parts.scheme in {"http", "https"} else parts.scheme


def _text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("unreadable_file", path=file, detail=str(error)) from error
