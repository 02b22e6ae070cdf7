"""`cascade db`: migrations by hand; `up` runs them itself."""

from __future__ import annotations

from pathlib import Path

import click

from backend.bootstrap import load_settings
from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import make_directory, reachable_engine
from backend.cli.output import note, result
from backend.store.migrate import upgrade as run_migrations
from backend.store.schema import schema_state


@click.group()
def db() -> None:
    """Bring the database to this version."""


@db.command()
@options.data_dir
def upgrade(data_dir: Path | None) -> None:
    """Run the migrations that are missing; the schema's state is the last line."""
    settings = load_settings(data_dir=data_dir)
    make_directory(settings.data_dir)
    engine = reachable_engine(settings)
    try:
        run_migrations(engine)
        note(say("database_current"))
        result(schema_state(engine))
    finally:
        engine.dispose()
