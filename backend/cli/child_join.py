"""`cascade child join`: a join token becomes this machine's credentials, and its config.yaml."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import click

from backend.bootstrap import load_settings
from backend.cli import options
from backend.cli.check import report
from backend.cli.child_settings import is_plain
from backend.cli.config_writing import check_writable, merged, read_text, write
from backend.cli.diagnosis import diagnose_child
from backend.cli.language import say
from backend.cli.opening import make_directory
from backend.cli.output import note
from backend.domain import wire
from backend.domain.errors import CredentialsRefused, InvalidInput, ParentRefused
from backend.domain.identifiers import new_id
from backend.domain.node_settings import check_api_url
from backend.domain.protocol import PROTOCOL, Capabilities
from backend.domain.wire import Join, Joined
from backend.outbound.trusted import TrustedHttpClient
from backend.workers.parent import Call, Parent, understood
from backend.workers.remote import Remote
from config import SETTINGS, default_data_dir, find_config_file

STDIN = "-"
JOIN_SECONDS = 20.0


@click.command()
@click.argument("url")
@click.argument("token")
@click.option(
    "--config", type=click.Path(path_type=Path), help="The config.yaml to write (default: the one in force)."
)
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates (PEM) to check the parent's against; goes into config.yaml.",
)
@options.data_dir
@click.pass_context
def join(
    context: click.Context,
    url: str,
    token: str,
    config: Path | None,
    ca_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Join the parent at URL with the TOKEN that ./cascade node token printed there.

    TOKEN may be - to read it from standard input. Writes config.yaml, for its owner only, and checks the connection."""
    above: tuple[Path | None, Path | None] = context.obj or (None, None)
    config, data_dir = config or above[0], data_dir or above[1]
    path = _config_path(config, data_dir)
    text, url = read_text(path), check_api_url(url)
    make_directory((data_dir or default_data_dir(os.environ)).expanduser().absolute())
    check_writable(path)
    if is_plain(url):
        note(say("plain_parent", url=url))
    joined = exchange(
        url, sys.stdin.readline().strip() if token == STDIN else token, ca_file, _capabilities(data_dir, path)
    )
    written: dict[str, object] = {
        "cascade_enabled": True,
        "node_type": "child",
        "parent_url": url,
        "api_key": joined.api_key,
        "api_secret": joined.api_secret,
    }
    told = {SETTINGS[name].path.partition(".")[2]: value for name, value in written.items()}
    if ca_file is not None:
        told["ca_file"] = str(ca_file.absolute())
    write(path, merged(text, told, frozenset({"api_secret_file"})))
    note(say("joined", name=joined.name, path=path))
    _warn_of_environment(written, path, data_dir)
    context.exit(report(diagnose_child(data_dir, path)))


def _config_path(config: Path | None, data_dir: Path | None) -> Path:
    directory = (data_dir or default_data_dir(os.environ)).expanduser().absolute()
    named = config or (Path(os.environ["CASCADE_CONFIG"]) if os.environ.get("CASCADE_CONFIG") else None)
    if named is not None:
        return named.expanduser().absolute()
    return find_config_file(os.environ, directory, None) or directory / "config.yaml"


def exchange(url: str, token: str, ca_file: Path | None, capabilities: Capabilities) -> Joined:
    """The token for credentials, once. Raises `InvalidInput` for one that the parent does not take, and `ParentAway`."""
    ask = Join(token, new_id(), version("cascade-workers"), PROTOCOL, capabilities)
    parent = Parent(url, TrustedHttpClient(ca_file), lambda: None)
    try:
        said = parent.call(Call("POST", "/join", wire.plain(ask), patience=JOIN_SECONDS))
    except CredentialsRefused as error:
        raise InvalidInput("join_refused", detail=error.params["detail"]) from error
    except ParentRefused as error:
        code = "parent_too_old" if error.parent_status in {404, 405} else "join_refused"
        raise InvalidInput(code, detail=error.params["detail"], url=url) from error
    return understood(Joined, said.data)


def _capabilities(data_dir: Path | None, path: Path) -> Capabilities:
    return Remote(load_settings(data_dir=data_dir, config_file=path if path.is_file() else None)).announced()


def _warn_of_environment(written: Mapping[str, object], path: Path, data_dir: Path | None) -> None:
    in_force = load_settings(data_dir=data_dir, config_file=path)
    names = [
        SETTINGS[name].environment for name, value in written.items() if getattr(in_force, name) != value
    ]
    if names:
        note(say("environment_wins", names=", ".join(names)))
