"""`cascade node run`: the node process; `start_workers.sh` execs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from sqlalchemy.orm import Session

from backend.bootstrap import configure_logging, load_settings
from backend.cli import options
from backend.cli.child_settings import require_child
from backend.cli.opening import check_redis, reachable_engine
from backend.cli.parts import Recipe, environment_of
from backend.cli.supervision import Supervisor
from backend.dispatch.queues import DEFAULT_QUEUE, WILDCARD, check_queue_name, node_queue, publish_queue
from backend.domain.errors import ConfigurationError
from backend.store.nodes import PARENT, ensure_attached, list_nodes
from backend.store.schema import require_current
from backend.store.session import read, transact
from backend.workers import node
from backend.workers.attached import Attached
from backend.workers.remote import Remote
from config import ROOT, Settings


def _metrics_address(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    if value is None:
        return None
    address, _, port = value.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"must be PORT or ADDRESS:PORT, such as 9100 or 0.0.0.0:9100, not {value}")
    return address.strip("[]") or "127.0.0.1", int(port)


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME] [QUEUE]...")
@click.option("--node", "name", help="The node's name, when every word is a queue.", hidden=True)
@click.option("--only-queues", is_flag=True, help="Every word is a queue.", hidden=True)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Workers per queue."
)
@click.option(
    "--publish-workers",
    type=click.IntRange(0, 64),
    help="Publishes at once, each in a process of its own while there is work.  [default: CASCADE_PUBLISH_WORKERS]",
)
@click.option(
    "--metrics-port",
    "metrics_at",
    metavar="[ADDRESS:]PORT",
    callback=_metrics_address,
    help="Answer Prometheus here, for a node on a machine without the parent; ADDRESS is 127.0.0.1 if left out.",
)
@options.data_dir
@click.pass_context
def run(
    context: click.Context,
    words: tuple[str, ...],
    name: str | None,
    only_queues: bool,
    workers: int,
    publish_workers: int | None,
    metrics_at: tuple[str, int] | None,
    data_dir: Path | None,
) -> None:
    """Run a node on this machine, in the foreground; without NAME the parent's own workers on `default`."""
    if not only_queues and name is None and words:
        name, words = words[0], words[1:]
    _refuse_wildcards(words)
    settings = load_settings(data_dir=data_dir)
    if publish_workers is not None:
        settings = replace(settings, publish_workers=publish_workers)
    if not settings.redis_url:
        raise ConfigurationError("no_redis")
    check_redis(settings.redis_url)
    if settings.node_type == "child":
        context.exit(node.main(Remote(require_child(settings), words), workers, settings, metrics_at))
    by_node = _queues_by_node(settings, name, words)
    if len(by_node) == 1:
        [(name, queues)] = by_node.items()
        context.exit(node.main(Attached(settings, name, queues), workers, settings, metrics_at))
    configure_logging(settings, "workers")
    run_several(settings, _commands(by_node, workers, settings.publish_workers, metrics_at))


def _refuse_wildcards(queues: Sequence[str]) -> None:
    """Wildcards are refused first: that needs neither database nor Redis."""
    for queue in queues:
        if WILDCARD.search(queue):
            check_queue_name(queue, [DEFAULT_QUEUE, node_queue("NAME")])


def _queues_by_node(
    settings: Settings, name: str | None, queues: Sequence[str]
) -> dict[str | None, list[str]]:
    """By node, the queues to serve; `None` is the parent. Raises `CascadeError` when something can't be served.

    Its connections are closed at the end: workers are forked from this process.
    """
    engine = reachable_engine(settings)
    try:
        require_current(engine)
        if name is not None:
            transact(engine, lambda session: ensure_attached(session, name))
        owners = read(engine, _owners)
    finally:
        engine.dispose()
    wanted: dict[str | None, list[str]] = {}
    for queue in queues:
        owner = owners[check_queue_name(queue, list(owners))]
        if name is not None and owner != name:
            own = " ".join(one for one, node_name in owners.items() if node_name == name)
            raise ConfigurationError("foreign_queue", name=queue, node=name, own=own)
        wanted.setdefault(owner, []).append(queue)
    return wanted or {name: []}


def _owners(session: Session) -> dict[str, str | None]:
    """By queue, the name of the attached node that it belongs to; `default` is the parent's."""
    attached = [one for one in list_nodes(session) if one.node_type == 1 and one.transport == "attached"]
    publishing = {publish_queue(one.slug): one.name for one in attached}
    return {DEFAULT_QUEUE: None} | {one.queue: one.name for one in attached} | publishing


def _commands(
    by_node: Mapping[str | None, Sequence[str]],
    workers: int,
    publish_workers: int,
    metrics_at: tuple[str, int] | None,
) -> dict[str | None, list[str]]:
    commands = {one: _command(one, workers, publish_workers, queues) for one, queues in by_node.items()}
    if metrics_at is not None:
        # Any of them answers for all processes of the data directory.
        first = next(iter(commands.values()))
        first[first.index("--") : first.index("--")] = ["--metrics-port", f"{metrics_at[0]}:{metrics_at[1]}"]
    return commands


def _command(name: str | None, workers: int, publish_workers: int, queues: Sequence[str]) -> list[str]:
    own = ["--node", name] if name is not None else []
    counts = ["--workers", str(workers), "--publish-workers", str(publish_workers)]
    words = ["node", "run", "--only-queues", *counts, *own, "--", *queues]
    return [sys.executable, "-m", "backend.cli.main", *words]


def run_several(settings: Settings, commands: Mapping[str | None, Sequence[str]]) -> None:
    """A node process for each command, until a signal asks to stop: work is begun only by the node it was planned for."""
    supervisor = Supervisor()
    environment = environment_of(settings, os.environ)
    with supervisor.listening_to_signals():
        try:
            for name, command in commands.items():
                supervisor.start(Recipe(name or PARENT, command, environment, 0, ROOT))
            supervisor.run()
        finally:
            supervisor.stop([settings.stop_seconds + 0.3])
