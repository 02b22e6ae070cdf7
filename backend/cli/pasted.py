"""Credentials as a person gives them at the terminal: from files and prompts, never from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml

from backend.cli.language import say
from backend.domain.credentials import credentials_of
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.publishing import Credentials

MAX_BYTES = 1024 * 1024
STDIN = Path("-")


def options(command: Any) -> Any:
    """The options by which every command takes credentials."""
    for one in reversed(
        (
            click.option(
                "--cookies",
                type=click.Path(path_type=Path, allow_dash=True),
                help="A file with cookies (- for stdin): a Cookie: line, JSON of a browser extension, or cookies.txt.",
            ),
            click.option("--username", default="", help="A user name; its password is asked for."),
            click.option(
                "--password-file",
                type=click.Path(path_type=Path, allow_dash=True),
                help="A file whose first line is the password (- for stdin), instead of asking.",
            ),
            click.option(
                "--fields",
                type=click.Path(path_type=Path, allow_dash=True),
                help="A JSON or YAML file (- for stdin) with what the platform names: token, url, secret, …",
            ),
            click.option(
                "--ask", "asked", multiple=True, metavar="NAME", help="Ask for such a field, hidden."
            ),
        )
    ):
        command = one(command)
    return command


def read_credentials(
    *,
    cookies: Path | None,
    username: str,
    password_file: Path | None,
    fields: Path | None,
    asked: tuple[str, ...],
) -> Credentials:
    """What was given. Raises `InvalidInput` when it is nothing or can't be read, `ConfigurationError` for a file."""
    given: dict[str, object] = {}
    if fields is not None:
        given |= _mapping(fields)
    if cookies is not None:
        given["cookies"] = _text(cookies)
    if username:
        given["username"] = username
    if password_file is not None:
        given["password"] = _text(password_file).partition("\n")[0].rstrip("\r")
    elif username and not given.get("password") and not given.get("cookies"):
        given["password"] = _prompt(say("password_prompt"))
    for name in asked:
        given[name] = _prompt(name)
    if not given:
        raise InvalidInput("no_credentials_given")
    return credentials_of(given)


def _prompt(name: str) -> str:
    return str(click.prompt(name, hide_input=True, err=True))


def _mapping(file: Path) -> dict[str, object]:
    try:
        told = yaml.safe_load(_text(file))
    except yaml.YAMLError:
        # Its own words would show the lines around the mistake.
        told = None
    if not isinstance(told, dict):
        raise ConfigurationError("fields_unreadable", path=file)
    return {str(name): value for name, value in told.items()}


def _text(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if file == STDIN else _head(file)
        if len(content) > MAX_BYTES:
            raise ConfigurationError("unreadable_file", path=file, detail="it is larger than 1 MB")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError("unreadable_file", path=file, detail="it is not UTF-8") from None
    except OSError as error:
        raise ConfigurationError("unreadable_file", path=file, detail=error.strerror or str(error)) from error


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)
