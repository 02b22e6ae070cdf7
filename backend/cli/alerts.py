"""`cascade alerts`: what a person should look at."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from backend.bootstrap import load_settings
from backend.bootstrap_parent import build_sender
from backend.cli import options
from backend.cli.language import language, say
from backend.cli.opening import opened
from backend.cli.output import as_json, note, result
from backend.cli.tables import listing, table
from backend.dispatch.telling import try_receivers
from backend.domain.errors import ConfigurationError
from backend.domain.messages import render
from backend.store.alerts import AlertView, acknowledge, get_alert, list_alerts
from backend.store.session import read, transact

COLUMNS = ("id", "age", "severity", "state", "message")
NOTICE_COLUMNS = ("kind", "receiver", "attempts", "sent_at", "next_attempt_at", "error_message")


@click.group(invoke_without_command=True)
@click.pass_context
def alerts(context: click.Context) -> None:
    """List alerts (what is open, without a command), show and acknowledge one, send a test message."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@alerts.command("list")
@click.option(
    "--state", type=click.Choice(("open", "acknowledged", "closed", "all")), default="open", show_default=True
)
@click.option("--rule", help="Only those of this rule.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@options.as_json
@options.data_dir
def list_(state: str, rule: str | None, limit: int, as_data: bool, data_dir: Path | None) -> None:
    """List alerts, the newest first."""
    with opened(data_dir) as place:
        found, _ = read(
            place.engine, lambda session: list_alerts(session, state=state, rule=rule, limit=limit)
        )
    listing(COLUMNS, [alert_row(one) for one in found], as_data=as_data)


@alerts.command()
@click.argument("alert_id", metavar="ID")
@options.as_json
@options.data_dir
def show(alert_id: str, as_data: bool, data_dir: Path | None) -> None:
    """Show one alert, and who was told of it."""
    with opened(data_dir) as place:
        view, notices = read(place.engine, lambda session: get_alert(session, alert_id))
    shown = alert_row(view) | {"notices": [asdict(one) for one in notices]}
    if as_data:
        as_json(shown)
        return
    for name, value in shown.items():
        if name != "notices" and value not in ("", None):
            click.echo(f"{name:16} {value}")
    if notices:
        table(NOTICE_COLUMNS, [[row[name] for name in NOTICE_COLUMNS] for row in shown["notices"]])


@alerts.command()
@click.argument("alert_id", metavar="ID")
@click.option("--note", "words", default="", help="What to tell others about it.")
@options.data_dir
def ack(alert_id: str, words: str, data_dir: Path | None) -> None:
    """Say that somebody looks after it: it is not sent again."""
    with opened(data_dir) as place:
        transact(place.engine, lambda session: acknowledge(session, alert_id, _person(), words))
    result(alert_id)


@alerts.command()
@options.data_dir
@click.pass_context
def test(context: click.Context, data_dir: Path | None) -> None:
    """Send a test message to every address of CASCADE_ALERT_URLS; exits 1 when one can't be reached."""
    settings = load_settings(data_dir=data_dir)
    if not settings.alert_urls:
        raise ConfigurationError("no_alert_urls")
    outcomes = try_receivers(build_sender(settings), settings.alert_language)
    for receiver, error in outcomes.items():
        note(f"{receiver}: {say('alert_sent') if error is None else error.sentence(language())}")
    failed = sum(error is not None for error in outcomes.values())
    result(f"{len(outcomes) - failed}/{len(outcomes)}")
    context.exit(1 if failed else 0)


def _person() -> str:
    return f"{getpass.getuser()} (cli)"


def alert_row(view: AlertView) -> dict[str, Any]:
    """An alert as lists show it."""
    return {
        "id": view.id,
        "age": str((view.closed_at or datetime.now(UTC)) - view.opened_at).partition(".")[0],
        "severity": view.severity,
        "state": "closed" if view.closed_at else "acknowledged" if view.acknowledged_at else "open",
        "message": view.sentence(language()),
        "rule": view.rule,
        "subject": view.subject,
        "opened_at": view.opened_at,
        "seen_at": view.seen_at,
        "seen_count": view.seen_count,
        "closed_at": view.closed_at,
        "close_reason": render(view.close_reason, language(), {}) if view.close_reason else "",
        "acknowledged_by": view.acknowledged_by,
        "note": view.note,
        "failed_notices": view.failed_notices,
    }
