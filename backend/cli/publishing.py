"""`cascade publish`: publish an article file, and look after what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from backend.bootstrap import build_publish_limits
from backend.cli import options
from backend.cli.accounts import account_named, of_user, publishers
from backend.cli.article_files import read_article
from backend.cli.language import language, say, spoken
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, note, result
from backend.cli.publish_waiting import await_task
from backend.cli.tables import listing
from backend.dispatch import progress
from backend.dispatch import publish_interventions as interventions
from backend.dispatch.queues import try_wake
from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.manuscripts import Written
from backend.domain.publish_checks import check_manuscript
from backend.domain.publishing import web_address
from backend.domain.states import PublishState
from backend.store import publishing
from backend.store.publish_views import PublishFilter, PublishTaskView, get_task, list_tasks, show_task
from backend.store.publish_waiting import WAITING, waits
from backend.store.publishing import NewPublish
from backend.store.recovery import live_beats
from backend.store.scene import scene
from backend.store.session import read, transact

ACTOR = "cli"
PAGE = 500
COLUMNS = (
    "id",
    "status",
    "platform",
    "account_name",
    "title",
    "progress",
    "why",
    "result_url",
    "created_at",
)


class WithDefault(click.Group):
    """A group in which anything that is no command's name is given to the command `article`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name before a file's."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["article", *args]
        return super().parse_args(ctx, args)


@click.group(cls=WithDefault, subcommand_metavar="FILE.md [OPTIONS] | COMMAND [ARGS]...")
def publish() -> None:
    """Publish articles from files, and look after them.

    `publish FILE.md --platform zhihu --account NAME` is `publish article FILE.md …`. A file that is called like a command
    is written ./list.
    """


@publish.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--account",
    "names",
    required=True,
    multiple=True,
    help="The account, by name or id; several times: to each of them.",
)
@click.option("--platform", help="Its platform, where several accounts have the name.")
@of_user
@click.option("--draft", is_flag=True, help="Save a draft and publish nothing.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Also when the account was given the same article before.")
@click.option("--wait", is_flag=True, help="Wait for the end; 1 if it is not on the platform then.")
@options.as_json
@options.data_dir
@click.pass_context
def article(
    context: click.Context,
    /,
    file: Path,
    draft: bool,
    wait: bool,
    as_data: bool,
    data_dir: Path | None,
    names: tuple[str, ...],
    **told: Any,
) -> None:
    """Publish the article in FILE (Markdown or HTML); the id of its task is the last line, one line for each account.

    Front matter (YAML between two lines of ---) may say title, tags, cover, draft and scheduled_at. Pictures beside the
    file travel inside the article.
    """
    written = read_article(file)
    if draft:
        written = replace(written, manuscript=replace(written.manuscript, draft=True))
    with opened(data_dir) as place:
        if len(names) > 1:
            context.exit(_everywhere(place, written, names, as_data=as_data, wait=wait, **told))
        task_id = _create(place, written, names[0], None, **told)
        if wait:
            context.exit(_report(await_task(place, task_id), as_data))
        if not read(place.engine, live_beats):
            note(say("starts_with_up"))
        _print(task_id, as_data)


def _everywhere(
    place: Place, written: Written, names: Sequence[str], *, as_data: bool, wait: bool, **told: Any
) -> int:
    """One task for each account; a bad one never touches the others. The exit code: 1 if any was refused or did not end well."""
    group_id, tasks, code = new_id(), dict[str, str](), 0
    for name in dict.fromkeys(names):
        try:
            tasks[name] = _create(place, written, name, group_id, **told)
        except CascadeError as error:
            code = 1
            note(f"{name}: {error.sentence(language())}")
    if wait:
        return max([code, *(_report(await_task(place, task_id), as_data) for task_id in tasks.values())])
    if as_data:
        as_json({"group_id": group_id, "tasks": tasks})
    else:
        result("\n".join(tasks.values()))
    return code


def _create(
    place: Place,
    written: Written,
    name: str,
    group_id: str | None,
    *,
    platform: str | None,
    user: str | None,
    priority: int,
    force: bool,
) -> str:
    account = account_named(place, name, platform, user)
    check_manuscript(publishers(), account.platform, written.manuscript)
    wanted = NewPublish(
        account_id=account.id,
        manuscript=written.manuscript,
        scheduled_at=written.scheduled_at,
        priority=priority,
        group_id=group_id,
        force=force,
    )
    task_id = new_id()
    found = transact(
        place.engine,
        lambda session: publishing.create_tasks(session, account.user_id, {task_id: wanted}),
    )
    if (refusal := found[task_id]) is not None:
        raise refusal
    try_wake(place.redis)
    return task_id


def _print(task_id: str, as_data: bool) -> None:
    if as_data:
        as_json({"id": task_id})
    else:
        result(task_id)


@publish.command("list")
@click.option("--status", type=click.Choice([one.value for one in PublishState]), help="Only in this status.")
@click.option("--platform", help="Only on this platform.")
@click.option("--account", "name", help="Only through this account, by name or id.")
@click.option("--since", type=click.DateTime(), help="Only those made then or later (UTC).")
@click.option("--limit", type=click.IntRange(1, PAGE), default=50, show_default=True)
@options.as_json
@options.data_dir
def list_(
    status: str | None,
    platform: str | None,
    name: str | None,
    since: datetime | None,
    limit: int,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """List publish tasks, the newest first."""
    with opened(data_dir) as place:
        account = account_named(place, name, platform, None) if name else None
        which = PublishFilter(
            states=(status,) if status else (),
            platform=platform,
            account_id=account.id if account else None,
            created_after=since.replace(tzinfo=UTC) if since else None,
        )
        found, total, _ = read(place.engine, lambda session: list_tasks(session, which, limit=limit))
        rows = _rows(place, found)
    listing(COLUMNS, rows, as_data=as_data)
    if len(rows) < total:
        note(say("more_publish_tasks", shown=len(rows), total=total))


@publish.command()
@click.argument("task_id", metavar="ID")
@options.as_json
@options.data_dir
def show(task_id: str, as_data: bool, data_dir: Path | None) -> None:
    """Tell the whole story of a publish task."""
    with opened(data_dir) as place:
        story = read(place.engine, lambda session: show_task(session, task_id))
        [row] = _rows(place, [story.task])
    timeline = [asdict(one) for one in story.timeline]
    data = row | {"timeline": timeline, "errors": story.errors}
    if as_data:
        as_json(data)
        return
    for name, value in row.items():
        if value not in (None, "", [], False):
            click.echo(f"{name}: {value}")
    listing(("at", "from_state", "to_state", "actor", "reason"), timeline, as_data=False)


@publish.command()
@click.argument("task_id", metavar="ID")
@options.data_dir
def cancel(task_id: str, data_dir: Path | None) -> None:
    """End a task that waits; ask one that runs to stop, which it does unless its article was submitted."""
    with opened(data_dir) as place:
        done = interventions.cancel_task(place.engine, place.redis, task_id, ACTOR)
    result(done.outcome)


@publish.command()
@click.argument("task_id", metavar="ID")
@options.data_dir
def retry(task_id: str, data_dir: Path | None) -> None:
    """Try a failed task again; it continues the same draft."""
    with opened(data_dir) as place:
        interventions.retry_task(place.engine, place.redis, task_id, ACTOR)
        _say_status(place, task_id)


@publish.command()
@click.argument("task_id", metavar="ID")
@click.option("--url", default="", help="It is there, at this address.")
@click.option("--not-there", is_flag=True, help="It is not there: publish it again.")
@options.data_dir
def confirm(task_id: str, url: str, not_there: bool, data_dir: Path | None) -> None:
    """Say of an unconfirmed task what stands on the platform."""
    if bool(url) == not_there or url != web_address(url):
        raise InvalidInput("confirm_what")
    with opened(data_dir) as place:
        interventions.confirm_task(
            place.engine, place.redis, task_id, ACTOR, published=not not_there, url=url
        )
        _say_status(place, task_id)


def _say_status(place: Place, task_id: str) -> None:
    result(read(place.engine, lambda session: get_task(session, task_id)).state)


def _rows(place: Place, found: Sequence[PublishTaskView]) -> list[dict[str, Any]]:
    told = progress.read(place.redis, [one.id for one in found if one.state == PublishState.RUNNING])
    limits, ids = build_publish_limits(place.settings), [one.id for one in found if one.state in WAITING]
    waiting = read(place.engine, lambda session: waits(session, ids, limits, scene(session))) if ids else {}
    rows = []
    for one in found:
        wait = waiting.get(one.id)
        why, expected = (spoken(wait.why), wait.expected_at) if wait else ("", None)
        rows.append(_row(one) | {"progress": told.get(one.id, ""), "why": why, "expected_at": expected})
    return rows


def _row(view: PublishTaskView) -> dict[str, Any]:
    row = asdict(view)
    return {"id": row.pop("id"), "status": row.pop("state"), **row}


def _report(view: PublishTaskView, as_data: bool) -> int:
    if as_data:
        as_json(_row(view))
    else:
        for sentence in (view.error_message, *view.warnings):
            if sentence:
                note(sentence)
        click.echo(view.id)
        result(view.result_url or view.state)
    return 0 if view.state == PublishState.SUCCESS else 1
