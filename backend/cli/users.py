"""`cascade user`: add and list users, set passwords."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import opened
from backend.cli.output import note, result
from backend.cli.tables import listing
from backend.domain.errors import NotFound
from backend.domain.identifiers import new_id
from backend.store.passwords import hash_password
from backend.store.session import read, transact
from backend.store.users import ROLES, create_user, find_user, list_users, set_password

from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from stdin's first line.")


@click.group()
def user() -> None:
    """Add and list users, set passwords."""


@user.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the user may do.")
@from_stdin
@options.data_dir
def add(name: str, role: str, password_stdin: bool, data_dir: Path | None) -> None:
    """Add a user; the password is asked for. The user's id is the last line."""
    hashed, user_id = hash_password(_password(password_stdin)), new_id()
    with opened(data_dir) as place:
        transact(
            place.engine,
            lambda session: create_user(session, user_id=user_id, name=name, password_hash=hashed, role=role),
        )
    result(user_id)


@user.command()
@click.argument("name")
@from_stdin
@options.data_dir
def password(name: str, password_stdin: bool, data_dir: Path | None) -> None:
    """Set a user's password; it is asked for. Earlier logins end."""
    with opened(data_dir) as place:
        if read(place.engine, lambda session: find_user(session, name)) is None:
            raise NotFound("no_such_user", name=name)
        hashed = hash_password(_password(password_stdin))
        changed = transact(place.engine, lambda session: set_password(session, name, hashed))
    note(say("password_set", name=changed.name))
    result(changed.id)


@user.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every user."""
    with opened(data_dir) as place:
        rows = [asdict(one) for one in read(place.engine, list_users)]
    listing(("id", "name", "role", "is_active", "created_at"), rows, as_data=as_data)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt(say("password_prompt"), hide_input=True, confirmation_prompt=True, err=True))
