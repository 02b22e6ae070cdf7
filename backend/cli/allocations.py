"""`cascade allocation`, `cascade failures` and `cascade why`: what became of work, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click

from backend.bootstrap import build_publish_limits
from backend.cli import options
from backend.cli.language import language, say
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, note, result
from backend.cli.tables import listing, table
from backend.dispatch import interventions
from backend.domain.errors import InvalidInput
from backend.domain.identifiers import new_id
from backend.domain.states import AllocationState
from backend.domain.why import Why
from backend.store import selections
from backend.store.allocation_views import AllocationFilter, list_allocations, show_allocation
from backend.store.failures import FailureFilter, group_failures
from backend.store.scene import Asker, explain
from backend.store.session import read, transact

ACTOR = "cli"
COLUMNS = ("allocation_id", "kind", "node_name", "task_name", "status", "item_count", "created_at", "why")
KINDS = ("update", "publish", "account", "deliver", "all")
STEP_COLUMNS = ("at", "actor", "from_state", "to_state", "reason")
MEMBER_COLUMNS = ("id", "feed_name", "state", "attempts", "error_code", "reason")
FAILURE_COLUMNS = ("noun", "error_code", "count", "feeds", "first_seen", "last_seen", "pattern")

Command = Callable[..., Any]


def filters(command: Command) -> Command:
    """The options that choose allocations."""
    for decorate in (
        click.option(
            "--kind", type=click.Choice(KINDS), default="update", show_default=True, help="Which work."
        ),
        click.option("--status", type=click.Choice([str(one) for one in AllocationState]), help="Its state."),
        click.option("--run", "run_id", metavar="ID", help="Of one run."),
        click.option("--node", "node_id", metavar="ID", help="Of one node."),
        click.option("--task", "task_id", metavar="ID", help="Of one message task."),
    ):
        command = decorate(command)
    return command


@click.group()
def allocation() -> None:
    """List, show, cancel and retry the work that nodes were given."""


@allocation.command("list")
@filters
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most.")
@options.as_json
@options.data_dir
def list_(limit: int, as_data: bool, data_dir: Path | None, **chosen: Any) -> None:
    """List the newest allocations, and why they have not ended."""
    wanted = AllocationFilter(**chosen)
    with opened(data_dir) as place:
        page = read(place.engine, lambda session: list_allocations(session, wanted, limit=limit))
    listing(COLUMNS, [_row(one) for one in page.found], as_data=as_data)
    if page.next_cursor:
        note(say("more_allocations", shown=len(page.found), total=page.total))


def _row(view: Any) -> dict[str, Any]:
    values = {one.name: getattr(view, one.name) for one in fields(view)}
    return {name: _said(value) for name, value in values.items()}


def _said(value: object) -> object:
    return value.sentence(language()) if isinstance(value, Why) else value


@allocation.command()
@click.argument("allocation_id", metavar="ID")
@options.as_json
@options.data_dir
def show(allocation_id: str, as_data: bool, data_dir: Path | None) -> None:
    """Show one allocation: its history, its attempts, its feeds and messages."""
    with opened(data_dir) as place:
        story = read(place.engine, lambda session: show_allocation(session, allocation_id))
    told = _row(story.allocation)
    parts = {
        name: [_row(one) for one in getattr(story, name)]
        for name in ("timeline", "attempts", "items", "deliveries")
    }
    if as_data:
        as_json(told | parts)
        return
    table(("what", "value"), [(name, value) for name, value in told.items() if value not in ("", None)])
    for name, columns in (
        ("timeline", STEP_COLUMNS),
        ("items", MEMBER_COLUMNS),
        ("deliveries", MEMBER_COLUMNS),
    ):
        if parts[name]:
            click.echo()
            table(columns, [[row[column] for column in columns] for row in parts[name]], title=name)


@allocation.command()
@click.argument("allocation_id", metavar="[ID]", required=False)
@filters
@click.option("--yes", is_flag=True, help="Do not ask after the count.")
@options.data_dir
def cancel(allocation_id: str | None, yes: bool, data_dir: Path | None, **chosen: Any) -> None:
    """Cancel one allocation, or all that the options choose: they are counted first."""
    with opened(data_dir) as place:
        if allocation_id:
            done = interventions.cancel_allocation(place.engine, place.redis, allocation_id, ACTOR)
            note(
                say("allocation_changed", outcome=done.outcome, items=done.items, deliveries=done.deliveries)
            )
            result(done.outcome)
        else:
            _change_many(place, "cancel", chosen, yes=yes)


@allocation.command()
@click.argument("allocation_id", metavar="[ID]", required=False)
@filters
@click.option(
    "--unconfirmed", is_flag=True, help="Also messages that may have arrived: they may arrive twice."
)
@click.option("--yes", is_flag=True, help="Do not ask after the count.")
@options.data_dir
def retry(
    allocation_id: str | None, unconfirmed: bool, yes: bool, data_dir: Path | None, **chosen: Any
) -> None:
    """Try again what failed of one allocation, or of all that the options choose: they are counted first."""
    with opened(data_dir) as place:
        if allocation_id:
            done = interventions.retry_allocation(
                place.engine, place.redis, allocation_id, ACTOR, unconfirmed=unconfirmed
            )
            note(
                say("allocation_changed", outcome=done.outcome, items=done.items, deliveries=done.deliveries)
            )
            result(done.outcome)
        else:
            _change_many(place, "retry", chosen, yes=yes, unconfirmed=unconfirmed)


def _change_many(
    place: Place, action: selections.Action, chosen: dict[str, Any], *, yes: bool, unconfirmed: bool = False
) -> None:
    if not any(chosen[name] for name in ("task_id", "node_id", "run_id", "status")):
        raise InvalidInput("nothing_chosen")
    wanted, selection_id = AllocationFilter(**chosen), new_id()
    kept = transact(
        place.engine,
        lambda session: selections.choose(
            session, selection_id, action, wanted, ACTOR, unconfirmed=unconfirmed
        ),
    )
    said = ", ".join(f"{count} {status}" for status, count in sorted(kept.by_status.items()))
    note(say(f"chosen_to_{action}", count=kept.count, by_status=said or "0"))
    if kept.count and (yes or click.confirm(say("go_on"), err=True)):
        while kept.remaining:
            kept = interventions.apply_selection(place.engine, place.redis, selection_id, ACTOR)
    result(" ".join(f"{name}={count}" for name, count in sorted(kept.outcomes.items())) or "0")


@click.command()
@click.option("--noun", type=click.Choice(("item", "delivery", "allocation")), help="Only of these.")
@click.option("--task", "task_id", metavar="ID", help="Of one message task.")
@click.option("--run", "run_id", metavar="ID", help="Of one run.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many groups.")
@options.as_json
@options.data_dir
def failures(
    noun: str | None,
    task_id: str | None,
    run_id: str | None,
    limit: int,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """Show what failed, grouped by error and message; the most frequent first."""
    wanted = FailureFilter(noun=noun, task_id=task_id, run_id=run_id)
    with opened(data_dir) as place:
        found = read(place.engine, lambda session: group_failures(session, wanted))
    listing(FAILURE_COLUMNS, [asdict(group) for group in found.groups[:limit]], as_data=as_data)
    if not found.complete:
        note(say("newest_failures", count=found.looked_at))


@click.command()
@click.argument("subject_id", metavar="ID")
@options.as_json
@options.data_dir
def why(subject_id: str, as_data: bool, data_dir: Path | None) -> None:
    """Say in one sentence why a run, item, allocation, delivery or publish task waits, or how it ended."""
    with opened(data_dir) as place:
        asker = Asker(build_publish_limits(place.settings))
        found = read(place.engine, lambda session: explain(session, subject_id, asker))
    if as_data:
        as_json(_row(found))
    else:
        result(found.why.sentence(language()))
