"""`cascade init`: prepares a parent without starting it; doing it again changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import click

from backend.bootstrap import ensure_secret_key, load_settings
from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import address_of, make_directory, reachable_engine
from backend.cli.output import note, result
from backend.cli.parts import ADMIN_PASSWORD
from backend.cli.system import create_first_user
from backend.store.migrate import upgrade
from backend.store.nodes import ensure_parent, list_nodes
from backend.store.schema import schema_state
from backend.store.session import read, transact


@click.command()
@options.data_dir
def init(data_dir: Path | None) -> None:
    """Make the database, the user admin and the parent's own node, as far as they are missing.

    Says what it did and what to do next; the parent node's id is the last line."""
    settings = load_settings(data_dir=data_dir)
    make_directory(settings.data_dir)
    settings = ensure_secret_key(settings)
    engine = reachable_engine(settings)
    try:
        before = schema_state(engine)
        upgrade(engine)
        made = "database_stood" if before == "current" else "database_made"
        note(say(made, address=address_of(settings.database_url)))
        create_first_user(engine, os.environ.get(ADMIN_PASSWORD, ""))
        parent = transact(engine, ensure_parent)
        if not any(one.transport == "remote" for one in read(engine, list_nodes)):
            note(say("next_node"))
        note(say("next_up"))
        result(parent.id)
    finally:
        engine.dispose()
