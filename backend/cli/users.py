"""`cascade user`: people, what they may do, and their passwords."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import Place, opened
from backend.cli.output import note, result
from backend.cli.tables import listing
from backend.domain.errors import NotFound
from backend.domain.identifiers import new_id
from backend.domain.people import ROLES
from backend.store.passwords import hash_password
from backend.store.session import read, transact
from backend.store.users import (
    UserView,
    create_user,
    delete_user,
    find_user,
    list_users,
    set_password,
    update_user,
)

from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from stdin's first line.")


@click.group()
def user() -> None:
    """Add, list and change users; set passwords."""


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
        user_named(place, name)
        hashed = hash_password(_password(password_stdin))
        changed = transact(place.engine, lambda session: set_password(session, name, hashed))
    note(say("password_set", name=changed.name))
    result(changed.id)


@user.command()
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@options.data_dir
def role(name: str, role: str, data_dir: Path | None) -> None:
    """Let a user do more or less; it counts from the next request on."""
    _change(name, data_dir, "role_set", role=role)


@user.command()
@click.argument("name")
@options.data_dir
def disable(name: str, data_dir: Path | None) -> None:
    """Switch a user off: logins end, access keys do nothing until it is enabled again."""
    _change(name, data_dir, "user_disabled", is_active=False)


@user.command()
@click.argument("name")
@options.data_dir
def enable(name: str, data_dir: Path | None) -> None:
    """Let a user in again."""
    _change(name, data_dir, "user_enabled", is_active=True)


@user.command()
@click.argument("name")
@options.data_dir
def delete(name: str, data_dir: Path | None) -> None:
    """Delete a user with its access keys."""
    with opened(data_dir) as place:
        user_id = user_named(place, name).id
        transact(place.engine, lambda session: delete_user(session, user_id))
    result(user_id)


@user.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every user."""
    with opened(data_dir) as place:
        rows = [asdict(one) for one in read(place.engine, list_users)]
    listing(("id", "name", "role", "is_active", "created_at"), rows, as_data=as_data)


def user_named(place: Place, name: str) -> UserView:
    """The user of that name. Raises `NotFound`."""
    known = read(place.engine, lambda session: find_user(session, name))
    if known is None:
        raise NotFound("no_such_user", name=name)
    return known.user


def _change(name: str, data_dir: Path | None, said: str, **changes: Any) -> None:
    with opened(data_dir) as place:
        user_id = user_named(place, name).id
        changed = transact(place.engine, lambda session: update_user(session, user_id, **changes))
    note(say(said, name=changed.name, role=changed.role))
    result(changed.id)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt(say("password_prompt"), hide_input=True, confirmation_prompt=True, err=True))
