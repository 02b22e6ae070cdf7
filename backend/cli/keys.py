"""`cascade key`: access keys for scripts."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import opened
from backend.cli.output import note, result
from backend.cli.tables import listing
from backend.cli.users import user_named
from backend.domain.identifiers import new_id
from backend.domain.people import ROLES, draw_key_pair
from backend.store.access_keys import MAX_DAYS, create_key, list_keys, revoke_key
from backend.store.session import read, transact

COLUMNS = ("id", "user_name", "name", "access_key", "role", "expires_at", "last_used_at")


@click.group()
def key() -> None:
    """Add, list and revoke access keys for scripts."""


@key.command()
@click.argument("user")
@click.option("--name", required=True, help="What it is for.")
@click.option("--role", type=click.Choice(ROLES), help="What the key may do; without it, what the user may.")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), help="How long it lives; without it until it is revoked."
)
@options.data_dir
def add(user: str, name: str, role: str | None, days: int | None, data_dir: Path | None) -> None:
    """Add an access key of USER; its last line is what follows `Authorization: AK-SK`, shown this once."""
    key_id, pair = new_id(), draw_key_pair()
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with opened(data_dir) as place:
        user_id = user_named(place, user).id
        transact(
            place.engine,
            lambda session: create_key(
                session, key_id, pair, user_id=user_id, name=name, role=role, expires_at=expires_at
            ),
        )
    note(say("key_made", id=key_id))
    result(f"{pair.access_key}:{pair.secret}")


@key.command("list")
@click.option("--user", help="Only the keys of this user.")
@options.as_json
@options.data_dir
def list_(user: str | None, as_data: bool, data_dir: Path | None) -> None:
    """List access keys, without their secrets."""
    with opened(data_dir) as place:
        user_id = user_named(place, user).id if user else None
        rows = [asdict(one) for one in read(place.engine, lambda session: list_keys(session, user_id))]
    listing(COLUMNS, rows, as_data=as_data)


@key.command()
@click.argument("key_id", metavar="ID")
@options.data_dir
def revoke(key_id: str, data_dir: Path | None) -> None:
    """End an access key at once."""
    with opened(data_dir) as place:
        transact(place.engine, lambda session: revoke_key(session, key_id))
    result(key_id)
