"""`cascade node`: add, list, set and remove nodes; `backend.cli.running` runs them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from backend.cli import options
from backend.cli.child_config import child_config, is_loopback, parent_url
from backend.cli.language import say, spoken
from backend.cli.lazy import LazyGroup
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, note, result
from backend.cli.tables import listing
from backend.domain.errors import InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.node_settings import DEFAULT_CAPACITY, NodeSettings
from backend.store import credentials, node_changes
from backend.store.credentials import Pair, new_pair
from backend.store.node_views import NodeView
from backend.store.nodes import add_remote, by_name, list_nodes
from backend.store.session import read, transact
from backend.store.tables import Node

COLUMNS = ("id", "name", "transport", "api_key", "online", "available", "reason", "load", "workers_alive", "outbox_entries", "outbox_dead", "last_heartbeat_at")  # fmt: skip
DEFAULT_GRACE = "1h"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_GRACE = 30 * 86400

COMMANDS = {
    "add": ("backend.cli.nodes:add", "Add a remote node and make its credentials."),
    "credentials": ("backend.cli.nodes:make_credentials", "Make or rotate a node's credentials."),
    "list": ("backend.cli.nodes:list_", "List every node."),
    "remove": ("backend.cli.nodes:remove", "Remove a node; its work goes to other nodes."),
    "run": ("backend.cli.running:run", "Run a node on this machine."),
    "token": ("backend.cli.join_tokens:token", "Make a token that a new node joins with."),
    "set": ("backend.cli.nodes:set_", "Change a node's capacity, quota, address or state."),
}

parent_url_option = click.option(
    "--parent-url", default="", help="Where the child reaches this parent (default: this machine's name)."
)


@click.group(cls=LazyGroup, places=COMMANDS)
def node() -> None:
    """Add, list, change, remove and run nodes."""


def duration(_context: click.Context, _option: click.Parameter, text: str) -> int:
    number, unit = (text[:-1], text[-1:]) if text[-1:] in UNITS else (text, "s")
    if not number.isdecimal() or int(number) * UNITS[unit] > LONGEST_GRACE:
        raise click.BadParameter(say("bad_grace"))
    return int(number) * UNITS[unit]


def _quota(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        feed_id, _, weight = text.rpartition("=")
        if not feed_id or not weight.isdecimal():
            raise click.BadParameter(say("bad_quota_option", text=text))
        found[feed_id] = int(weight)
    return found


@click.command()
@click.argument("name")
@click.option("--capacity", type=int, default=DEFAULT_CAPACITY, show_default=True, help="Feeds it may have in work at once.")  # fmt: skip
@click.option("--desc", "--description", "description", default="", help="What it is for.")
@click.option("--api-url", default="", help="Where it can be reached, if it can.")
@parent_url_option
@options.as_json
@options.data_dir
def add(
    name: str,
    capacity: int,
    description: str,
    api_url: str,
    parent_url: str,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """Add a remote node; prints its config.yaml with the new credentials, once.

    Nodes on this machine need no adding: see `node run`."""
    wanted = NodeSettings(name=name, description=description, api_url=api_url, max_capacity=capacity)
    pair, node_id = new_pair(), new_id()

    def make(session: Session) -> str:
        made = add_remote(session, wanted, node_id)
        credentials.rotate(session, made.id, pair)
        return made.name

    with opened(data_dir) as place:
        made_name = transact(place.engine, make)
        note(say("node_added", name=made_name))
        _show_pair(place, made_name, node_id, pair, parent_url, as_data=as_data)


@click.command("credentials")
@click.argument("name")
@click.option(
    "--grace",
    callback=duration,
    default=DEFAULT_GRACE,
    show_default=True,
    help="How long the pair that stands stays valid: 0, 90s, 30m, 1h, 2d.",
)
@parent_url_option
@options.as_json
@options.data_dir
def make_credentials(name: str, grace: int, parent_url: str, as_data: bool, data_dir: Path | None) -> None:
    """Make or rotate the credentials of the node NAME; prints its config.yaml, once."""
    pair = new_pair()

    def make(session: Session) -> tuple[str, str, bool]:
        found = find_node(session, name)
        stood = bool(credentials.current_keys(session, found.id))
        credentials.rotate(session, found.id, pair, grace_seconds=grace)
        return found.id, found.name, stood

    with opened(data_dir) as place:
        node_id, found_name, stood = transact(place.engine, make)
        if stood:
            note(say("old_pair_ends", seconds=grace) if grace else say("old_pair_ended"))
        _show_pair(place, found_name, node_id, pair, parent_url, as_data=as_data)


def _show_pair(place: Place, name: str, node_id: str, pair: Pair, given_url: str, *, as_data: bool) -> None:
    url = given_url or parent_url(place.settings)
    if as_data:
        pair_told = {"api_key": pair.api_key, "api_secret": pair.api_secret}
        as_json({"node_id": node_id, "name": name, "parent_api_url": url} | pair_told)
        return
    note(say("secret_once"))
    if not given_url and is_loopback(place.settings.host):
        note(say("parent_on_loopback", host=place.settings.host))
    click.echo(child_config(name, node_id, pair, url), nl=False)


@click.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every node."""
    with opened(data_dir) as place:
        rows = [_row(one) for one in read(place.engine, list_nodes)]
    listing(COLUMNS, rows, as_data=as_data)


def _row(view: NodeView) -> dict[str, Any]:
    return asdict(view) | {
        "reason": spoken(view.why),
        "online": bool(view.status),
        "load": f"{view.current_tasks}/{view.max_capacity}",
        # Only attached nodes have queues in the parent's Redis.
        "queue": view.queue if view.transport == "attached" else None,
    }


@click.command("set")
@click.argument("name")
@click.option("--rename", help="A new name; its queue keeps its own.")
@click.option("--capacity", type=int, help="Feeds it may have in work at once.")
@click.option("--quota", multiple=True, callback=_quota, metavar="FEED=N", help="Prefer it for a feed, the larger N wins; 0 forgets. Repeatable.")  # fmt: skip
@click.option("--desc", "--description", "description", help="What it is for.")
@click.option("--api-url", help="Where it can be reached; '' for nowhere.")
@click.option("--drain/--no-drain", default=None, help="Give it nothing new, or again.")
@click.option("--on/--off", default=None, help="Switch it on or off: off, it is refused.")
@options.data_dir
def set_(data_dir: Path | None, name: str, quota: dict[str, int], **given: Any) -> None:
    """Change the node NAME; what is not named stays. Its id is the last line."""
    wanted = NodeSettings(
        name=given["rename"],
        description=given["description"],
        api_url=given["api_url"],
        is_active=given["on"],
        draining=given["drain"],
        max_capacity=given["capacity"],
    )
    if not quota and wanted == NodeSettings():
        raise InvalidInput("nothing_to_set")

    def change(session: Session) -> str:
        node_id = find_node(session, name).id
        before = node_changes.locked_settings(session, node_id).feed_quota or {}
        merged = {feed: weight for feed, weight in {**before, **quota}.items() if weight}
        return node_changes.update_node(session, node_id, replace(wanted, feed_quota=merged)).id

    with opened(data_dir) as place:
        result(transact(place.engine, change))


@click.command()
@click.argument("name")
@click.option(
    "--force", is_flag=True, help="Also while it runs or has work in hand: that goes to other nodes."
)
@options.data_dir
def remove(name: str, force: bool, data_dir: Path | None) -> None:
    """Remove the node NAME with its credentials; what waits for it goes to other nodes."""

    def work(session: Session) -> str:
        found = find_node(session, name)
        found_name = found.name
        node_changes.delete_node(session, found.id, force=force, actor="cli")
        return found_name

    with opened(data_dir) as place:
        note(say("node_removed", name=transact(place.engine, work)))


def find_node(session: Session, name: str) -> Node:
    """The node of that name or id. Raises `NotFound`."""
    found = by_name(session, name) or session.get(Node, name)
    if found is None:
        raise NotFound("no_such_node", name=name)
    return found
