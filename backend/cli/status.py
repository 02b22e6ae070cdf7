"""`cascade status`: health, nodes, queues, runs, and what waits for which reason."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from backend.bootstrap import build_publish_limits, load_settings
from backend.cli import options
from backend.cli.alerts import COLUMNS as ALERT_COLUMNS
from backend.cli.alerts import alert_row
from backend.cli.language import say, spoken
from backend.cli.opening import named_redis, reachable_engine
from backend.cli.output import as_json, note, result
from backend.cli.scheduling import scheduler_words
from backend.cli.tables import table
from backend.dispatch.health import readiness
from backend.domain.publish_admission import PublishLimits
from backend.store.alerts import list_alerts
from backend.store.nodes import list_nodes
from backend.store.runs import list_runs
from backend.store.session import read
from backend.store.waiting import WaitingGroup, waiting
from config import Settings

RUNS_SHOWN = 10


@click.command()
@options.as_json
@options.data_dir
@click.pass_context
def status(context: click.Context, as_data: bool, data_dir: Path | None) -> None:
    """Show what runs, what waits and why; the last line is `ready` or `not ready`, the exit code 0 or 1."""
    settings = load_settings(data_dir=data_dir)
    if settings.embedded_database and not (settings.data_dir / "cascade.db").exists():
        note(say("nothing_here", data_dir=settings.data_dir))
        found: dict[str, Any] = {"ready": False}
    else:
        found = _look(settings)
    if as_data:
        as_json(found)
    else:
        _print(found)
        result("ready" if found["ready"] else "not ready")
    context.exit(0 if found["ready"] else 1)


def _look(settings: Settings) -> dict[str, Any]:
    engine = reachable_engine(settings)
    try:
        with named_redis(settings) as redis:
            health = asdict(readiness(engine, redis, verbose=True, flow_seconds=settings.alarm_flow_seconds))
        migrated = next(one["ok"] for one in health["checks"] if one["name"] == "migrations")
        limits = build_publish_limits(settings)
        return health | (read(engine, lambda session: _stored(session, limits)) if migrated else {})
    finally:
        engine.dispose()


def _stored(session: Session, limits: PublishLimits) -> dict[str, Any]:
    return {
        "nodes": [asdict(one) | {"reason": spoken(one.why)} for one in list_nodes(session)],
        "runs": [asdict(one) for one in list_runs(session, RUNS_SHOWN)],
        "waiting": [_waiting(one) for one in waiting(session, limits)],
        "alerts": [alert_row(one) for one in list_alerts(session, only_open=True)[0]],
    }


def _waiting(group: WaitingGroup) -> dict[str, Any]:
    return {"kind": group.kind, "reason": spoken(group.why), "count": group.count, "since": group.since}


def _print(found: dict[str, Any]) -> None:
    for check in found.get("checks", ()):
        click.echo(f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}  {check['detail']}".rstrip())
    if found.get("scheduler"):
        click.echo(f"     schedules  {scheduler_words(found['scheduler'])}")
    _section(
        found,
        "nodes",
        (
            "name",
            "transport",
            "available",
            "reason",
            "current_tasks",
            "max_capacity",
            "outbox_entries",
            "outbox_dead",
        ),
    )
    _section(found, "queues", ("name", "consumers", "waiting", "stopped", "proved_seconds"))
    for run in found.get("runs", ()):
        run["items"], run["deliveries"] = _counts(run["items"]), _counts(run["deliveries"])
    _section(found, "runs", ("run_id", "task_name", "state", "items", "deliveries", "created_at"))
    _section(found, "waiting", ("kind", "count", "reason", "since"))
    _section(found, "alerts", ALERT_COLUMNS)


def _section(found: dict[str, Any], name: str, columns: tuple[str, ...]) -> None:
    rows = [[row[column] for column in columns] for row in found.get(name, ())]
    if rows:
        click.echo()
        table(columns, rows, title=name)


def _counts(by_state: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(by_state.items())) or "-"
