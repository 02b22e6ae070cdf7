"""`cascade node token`: a token that a node on another machine joins with, once."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli import options
from backend.cli.child_config import is_loopback
from backend.cli.child_config import parent_url as probable_url
from backend.cli.language import say
from backend.cli.nodes import duration, parent_url_option
from backend.cli.opening import opened
from backend.cli.output import as_json, note, result
from backend.store import join_tokens
from backend.store.session import transact

DEFAULT_TTL = "1h"
SHORTEST_TTL = 60


def _life(context: click.Context, option: click.Parameter, text: str) -> int:
    seconds = duration(context, option, text)
    if seconds < SHORTEST_TTL:
        raise click.BadParameter(say("too_short_ttl"))
    return seconds


@click.command()
@click.argument("name")
@click.option(
    "--ttl",
    callback=_life,
    default=DEFAULT_TTL,
    show_default=True,
    help="For how long it can be used: 90s, 30m, 1h, 2d.",
)
@parent_url_option
@options.as_json
@options.data_dir
def token(name: str, ttl: int, parent_url: str, as_data: bool, data_dir: Path | None) -> None:
    """Make a token for the remote node NAME, which is added when there is none.

    Its last line is what to run on the node's machine, once."""
    drawn = join_tokens.draw()
    with opened(data_dir) as place:
        issued = transact(
            place.engine,
            lambda session: join_tokens.issue(session, drawn, name, seconds=ttl, actor="cli"),
        )
        url = parent_url or probable_url(place.settings)
        if as_data:
            told = {
                "node_id": issued.node_id,
                "name": issued.name,
                "token": drawn.token,
                "parent_api_url": url,
            }
            as_json(told | {"expires_at": issued.expires_at})
            return
        note(say("token_once", name=issued.name, moment=f"{issued.expires_at:%Y-%m-%d %H:%M:%S} UTC"))
        if not parent_url and is_loopback(place.settings.host):
            note(say("parent_on_loopback", host=place.settings.host))
        result(f"./cascade child join {url} {drawn.token}")
