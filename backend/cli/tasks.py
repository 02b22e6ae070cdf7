"""`cascade task`: add and list message tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from backend.cli import options
from backend.cli.opening import Place, opened
from backend.cli.output import result
from backend.cli.tables import listing
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import ALL_FEEDS, TaskContent, check_task
from backend.store.message_tasks import TaskView, create_task, list_tasks
from backend.store.session import read, transact

PAGE = 500
COLUMNS = ("id", "name", "feeds", "message_type", "receiver", "cron_exp", "time_zone", "enabled")


@click.group()
def task() -> None:
    """Add and list message tasks."""


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
@options.data_dir
def add(
    feeds: str | None,
    feed_ids: tuple[str, ...],
    template: Path | None,
    cron: str,
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
        transact(place.engine, lambda session: create_task(session, cipher, task_id, checked))
        result(task_id)


@task.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every message task."""
    with opened(data_dir) as place:
        rows = [_row(one) for one in _every_task(place)]
    listing(COLUMNS, rows, as_data=as_data)


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


def _row(view: TaskView) -> dict[str, Any]:
    content = view.content
    return {
        "id": view.id,
        "name": content.name,
        "feeds": content.feed_ids if content.feed_ids == ALL_FEEDS else len(content.feed_ids),
        "message_type": content.message_type,
        "receiver": _where(content.web_hook_url),
        "cron_exp": content.cron_exp,
        "time_zone": content.time_zone,
        "enabled": content.enabled,
        "created_at": view.created_at,
    }


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
