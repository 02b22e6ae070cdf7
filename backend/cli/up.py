"""`cascade up`: the whole system in the foreground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from backend.bootstrap import configure_logging, load_settings
from backend.cli import options
from backend.cli.opening import check_database_url, make_directory
from backend.cli.starting import claim_port, only_one_here
from backend.cli.system import Size, System
from backend.domain.errors import ConfigurationError
from config import Settings


@click.command()
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: a free one (default: 8001)."
)
@options.data_dir
@click.option("--config", type=click.Path(path_type=Path), help="The config.yaml to read.")
@click.option(
    "--nodes", type=click.IntRange(0, 64), default=2, show_default=True, help="Attached nodes to run."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Worker processes of each node.",
)
@click.option(
    "--capacity",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Feeds that a node may have in work at once.",
)
def up(
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    config: Path | None,
    nodes: int,
    workers: int,
    capacity: int,
) -> None:
    """Run the whole system in the foreground; Ctrl-C stops it within ten seconds."""
    settings = _settings(data_dir, config, host, port)
    make_directory(settings.data_dir)
    with only_one_here(settings.data_dir):
        settings = replace(settings, port=claim_port(settings.host, settings.port))
        configure_logging(settings, "up")
        System(settings, Size(nodes, workers, capacity)).run()


def _settings(data_dir: Path | None, config: Path | None, host: str | None, port: int | None) -> Settings:
    settings = load_settings(data_dir=data_dir, config_file=config)
    if settings.node_type == "child":
        raise ConfigurationError("child_machine")
    check_database_url(settings.database_url)
    return replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
