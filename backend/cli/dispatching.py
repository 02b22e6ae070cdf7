"""`cascade dispatch`: dispatch message tasks now, and wait for the end of their work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from backend.bootstrap import build_limits
from backend.cli import options
from backend.cli.language import language, say
from backend.cli.opening import opened
from backend.cli.output import as_json, note, result
from backend.cli.tables import table
from backend.cli.waiting import await_runs, shown
from backend.dispatch.dispatching import DispatchReport, dispatch_tasks
from backend.domain.errors import Unavailable
from backend.store.message_tasks import find_task
from backend.store.recovery import live_beats
from backend.store.runs import RunFailure, RunProgress, failures
from backend.store.session import read

LISTED_FAILURES = 1000


@click.command()
@click.option(
    "--task", "name", metavar="NAME", help="One message task, by name or id (default: every enabled one)."
)
@click.option(
    "--wait", is_flag=True, help="Wait until items and deliveries have ended; 1 if anything failed."
)
@options.as_json
@options.data_dir
@click.pass_context
def dispatch(
    context: click.Context, name: str | None, wait: bool, as_data: bool, data_dir: Path | None
) -> None:
    """Dispatch message tasks now; the ids of their runs are the last line."""
    with opened(data_dir) as place:
        task_id = read(place.engine, lambda session: find_task(session, name)) if name else None
        report = dispatch_tasks(
            place.engine, place.redis, limits=build_limits(place.settings), task_id=task_id, actor="cli"
        )
        note(_summary(report))
        _say_overlaps(report)
        runs_now = bool(read(place.engine, live_beats))
        if wait and runs_now:
            context.exit(_wait(place.engine, [one.run_id for one in report.tasks], as_data))
        _print_report(report, as_data)
        if wait:
            raise Unavailable("nothing_runs")
        if not runs_now:
            note(say("starts_with_up"))


def _summary(report: DispatchReport) -> str:
    return say(
        "dispatched",
        tasks=report.task_count,
        allocations=report.allocations_created,
        waiting=report.items_waiting,
        reason=f" {report.reason_in(language())}".rstrip(),
    )


def _say_overlaps(report: DispatchReport) -> None:
    for task in report.tasks:
        if task.waits_for:
            note(say("task_waits", name=task.name, run_id=task.waits_for))
    for left_out in report.skipped:
        note(say("task_skipped", name=left_out.name, run_id=left_out.open_run_id))


def _print_report(report: DispatchReport, as_data: bool) -> None:
    if as_data:
        as_json(_report_data(report))
    else:
        result(" ".join(one.run_id for one in report.tasks))


def _report_data(report: DispatchReport) -> dict[str, Any]:
    said = [{"why": group.why.sentence(language()), "count": group.count} for group in report.waiting]
    return asdict(report) | {"waiting": said, "later": None, "reason": report.reason_in(language())}


def _wait(engine: Engine, run_ids: Sequence[str], as_data: bool) -> int:
    with shown() as show:
        runs = await_runs(engine, run_ids, show)
    found = {
        one: read(engine, lambda session, one=one: failures(session, one, LISTED_FAILURES))  # type: ignore[misc]
        for one in run_ids
    }
    if as_data:
        as_json({"runs": [_run_data(one, found[one.run_id]) for one in runs]})
    else:
        _print_runs(runs, [failure for one in runs for failure in found[one.run_id]])
    return 1 if any(one.failed for one in runs) else 0


def _print_runs(runs: Sequence[RunProgress], failed: Sequence[RunFailure]) -> None:
    if failed:
        rows = [
            (one.kind, one.feed_name, one.url, one.state, one.attempts, one.error_message or one.error_code)
            for one in failed
        ]
        table(("work", "feed", "url", "state", "attempts", "reason"), rows)
    for one in runs:
        click.echo(_run_summary(one))
    result(" ".join(one.run_id for one in runs))


def _run_summary(run: RunProgress) -> str:
    ended_badly = sum(count for state, count in run.deliveries.items() if state != "delivered")
    return say(
        "run_summary",
        name=run.task_name,
        done=run.items.get("done", 0),
        failed=run.items.get("failed", 0),
        cancelled=run.items.get("cancelled", 0),
        articles=run.article_count,
        fresh=run.new_article_count,
        delivered=run.deliveries.get("delivered", 0),
        undelivered=ended_badly,
    )


def _run_data(run: RunProgress, failed: Sequence[RunFailure]) -> dict[str, Any]:
    return asdict(run) | {"failed": run.failed, "failures": [asdict(one) for one in failed]}
