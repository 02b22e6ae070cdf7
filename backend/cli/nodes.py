"""`cascade node`: add and list nodes; `backend.cli.running` runs them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from backend.cli import options
from backend.cli.lazy import LazyGroup
from backend.cli.opening import opened
from backend.cli.output import result
from backend.cli.tables import listing
from backend.store.nodes import NodeView, create_node, list_nodes
from backend.store.session import read, transact

COLUMNS = ("id", "name", "transport", "queue", "available", "reason", "current_tasks", "max_capacity", "workers_alive")  # fmt: skip


COMMANDS = {
    "add": ("backend.cli.nodes:add", "Add a remote node."),
    "list": ("backend.cli.nodes:list_", "List every node."),
    "run": ("backend.cli.running:run", "Run a node on this machine."),
}


@click.group(cls=LazyGroup, places=COMMANDS)
def node() -> None:
    """Add, list and run nodes."""


@click.command()
@click.argument("name")
@click.option(
    "--capacity", type=int, default=10, show_default=True, help="Feeds it may have in work at once."
)
@click.option("--description", default="", help="What it is for.")
@click.option("--api-url", default="", help="Where it can be reached, if it can.")
@options.data_dir
def add(name: str, capacity: int, description: str, api_url: str, data_dir: Path | None) -> None:
    """Add a remote node; its id is the last line. Nodes on this machine need no adding: see `node run`."""
    with opened(data_dir) as place:
        made = transact(
            place.engine,
            lambda session: create_node(
                session,
                name=name,
                transport="remote",
                description=description,
                api_url=api_url,
                max_capacity=capacity,
            ),
        )
        result(made.id)


@click.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every node."""
    with opened(data_dir) as place:
        rows = [_row(one) for one in read(place.engine, list_nodes)]
    listing(COLUMNS, rows, as_data=as_data)


def _row(view: NodeView) -> dict[str, Any]:
    row = asdict(view)
    # Only attached nodes have queues in the parent's Redis.
    return row if view.transport == "attached" else row | {"queue": None}
