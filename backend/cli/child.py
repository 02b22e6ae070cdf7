"""`cascade child`: this machine as a remote node of a parent elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from backend.bootstrap import configure_logging, ensure_secret_key
from backend.cli import options
from backend.cli.child_settings import child_settings, warn_if_plain
from backend.cli.lazy import LazyGroup
from backend.cli.starting import claim_port, only_one_here
from config import Settings

COMMANDS = {
    "join": ("backend.cli.child_join:join", "Exchange a join token for credentials, and write config.yaml."),
    "sync-logs": ("backend.cli.child_rounds:sync_logs", "Show how the newest pulls of feeds and tasks went."),
    "sync": ("backend.cli.child_rounds:sync", "Beat, pull feeds and tasks, claim once, and print counts."),
}

config_option = click.option("--config", type=click.Path(path_type=Path), help="The config.yaml to read.")


@click.group(cls=LazyGroup, places=COMMANDS, invoke_without_command=True)
@config_option
@options.data_dir
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.option("--check", is_flag=True, help="Test the connection to the parent, say what to mend, and exit.")
@click.option("--once", is_flag=True, help="Claim, work, settle and exit, for hosts that start it by cron.")
@click.pass_context
def child(
    context: click.Context, config: Path | None, data_dir: Path | None, workers: int, check: bool, once: bool
) -> None:
    """Run this machine as a remote node, in the foreground; Ctrl-C stops it within ten seconds.

    It reaches its parent by HTTPS only. What it needs to know stands in config.yaml; `child join` writes it."""
    context.obj = (config, data_dir)
    if context.invoked_subcommand is not None:
        return
    if check:
        from backend.cli.check import report  # noqa: PLC0415
        from backend.cli.diagnosis import diagnose_child  # noqa: PLC0415

        context.exit(report(diagnose_child(data_dir, config)))
    settings = child_settings(config, data_dir)
    with only_one_here(settings.data_dir):
        configure_logging(settings, "child")
        warn_if_plain(settings)
        if once:
            from backend.cli.child_rounds import work_once  # noqa: PLC0415

            context.exit(work_once(ensure_secret_key(settings)))
        _run(settings, workers)


def _run(settings: Settings, workers: int) -> None:
    from backend.cli.child_system import ChildSystem  # noqa: PLC0415

    if settings.listens_on:
        settings = replace(settings, child_port=claim_port(settings.host, settings.listens_on))
    ChildSystem(settings, workers).run()
