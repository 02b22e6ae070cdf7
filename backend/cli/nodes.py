"""`cascade node`: add, list and run nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from backend.bootstrap import configure_logging, load_settings
from backend.cli import options
from backend.cli.opening import opened, reachable_engine
from backend.cli.output import result
from backend.cli.system import check_redis
from backend.cli.tables import listing
from backend.dispatch.queues import DEFAULT_QUEUE, WILDCARD, check_queue_name, existing_queues, node_queue
from backend.domain.errors import ConfigurationError
from backend.store.migrate import require_current
from backend.store.nodes import NodeView, all_slugs, create_node, ensure_attached, list_nodes
from backend.store.session import read, transact

COLUMNS = ("id", "name", "transport", "queue", "available", "reason", "current_tasks", "max_capacity", "workers_alive")  # fmt: skip


@click.group()
def node() -> None:
    """Add, list and run nodes."""


@node.command()
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


@node.command("list")
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


@node.command()
@click.argument("words", nargs=-1, metavar="[NAME] [QUEUE]...")
@click.option("--node", "name", help="The node's name, when every word is a queue.", hidden=True)
@click.option("--only-queues", is_flag=True, help="Every word is a queue.", hidden=True)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Workers per queue."
)
@options.data_dir
@click.pass_context
def run(
    context: click.Context,
    words: tuple[str, ...],
    name: str | None,
    only_queues: bool,
    workers: int,
    data_dir: Path | None,
) -> None:
    """Run a node on this machine, in the foreground; without NAME the parent's own workers on `default`."""
    if not only_queues and name is None and words:
        name, words = words[0], words[1:]
    settings = load_settings(data_dir=data_dir)
    _refuse_wildcards(words)
    if not settings.redis_url:
        raise ConfigurationError("no_redis")
    check_redis(settings.redis_url)
    engine = reachable_engine(settings)
    try:
        require_current(engine)
        _check_queues(engine, name, words)
    finally:
        # Workers are forked from this process: it must not hold a connection.
        engine.dispose()
    from backend.workers.node import main as run_node

    configure_logging(settings, name or "workers")
    context.exit(run_node(name, workers, words, settings))


def _refuse_wildcards(queues: Sequence[str]) -> None:
    """Wildcards are refused first: that needs neither database nor Redis."""
    for queue in queues:
        if WILDCARD.search(queue):
            check_queue_name(queue, [DEFAULT_QUEUE, node_queue("NAME")])


def _check_queues(engine: Engine, name: str | None, queues: Sequence[str]) -> None:
    if name is not None:
        transact(engine, lambda session: ensure_attached(session, name))
    existing = existing_queues(read(engine, all_slugs))
    for queue in queues:
        check_queue_name(queue, existing)
