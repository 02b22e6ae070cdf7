"""`cascade account`: accounts on platforms, and how they are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from backend.bootstrap import PUBLISHERS, load_plugins
from backend.cli import options, pasted
from backend.cli.account_visits import CodeShown, ask, await_errand
from backend.cli.language import language
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, result
from backend.cli.tables import listing
from backend.cli.users import user_named
from backend.dispatch.queues import try_wake
from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import new_id
from backend.domain.ports import Publisher
from backend.domain.publish_checks import check_credentials, check_platform
from backend.domain.publishing import Errand
from backend.domain.remedies import remedy_for
from backend.store import accounts as store
from backend.store.accounts import AccountFilter, AccountView, NewAccount
from backend.store.nodes import list_nodes
from backend.store.session import read, transact

ADMIN = "admin"
ACTOR = "cli"
EVERY = 100_000
COLUMNS = (
    "id",
    "platform",
    "name",
    "user_name",
    "node_name",
    "health",
    "health_reason",
    "remedy",
    "waiting",
    "checked_at",
)
of_platform = click.option("--platform", help="Its platform, where several accounts have the name.")
of_user = click.option("--user", help="Its owner, where several have such an account.")


@click.group()
def account() -> None:
    """Add, list, check and log in accounts on platforms."""


@account.command()
@click.argument("name")
@click.option("--platform", required=True, help="Such as zhihu or webhook.")
@click.option("--user", default=ADMIN, show_default=True, help="Whose it is.")
@click.option("--node", help="The only node that may use it; cookies belong to one address.")
@click.option(
    "--min-gap", "min_gap_seconds", type=click.IntRange(0), help="Least seconds between two articles."
)
@click.option("--daily-limit", type=click.IntRange(0), help="Most articles in 24 hours; 0: any number.")
@pasted.options
@options.data_dir
def add(name: str, platform: str, user: str, node: str | None, data_dir: Path | None, **given: Any) -> None:
    """Add the account NAME; its id is the last line. Secrets come from files and prompts, never from the command line."""
    check_platform(publishers(), platform)
    pace = {one: given.pop(one) for one in ("min_gap_seconds", "daily_limit")}
    credentials = pasted.read_credentials(**given)
    check_credentials(publishers(), platform, credentials)
    account_id = new_id()
    with opened(data_dir) as place:
        user_id, cipher = user_named(place, user).id, place.cipher
        wanted = NewAccount(platform, name, credentials, _node(place, node), **pace)
        transact(
            place.engine,
            lambda session: store.create_account(session, cipher, account_id, user_id, wanted),
        )
        try_wake(place.redis)
    result(account_id)


def _node(place: Place, name: str | None) -> str | None:
    if name is None:
        return None
    found = next((one for one in read(place.engine, list_nodes) if name in {one.id, one.name}), None)
    if found is None:
        raise NotFound(noun="node", id=name)
    return found.id


@functools.cache
def publishers() -> Mapping[str, Publisher]:
    """The publishers that are installed here, by platform."""
    return load_plugins(PUBLISHERS)


@account.command("list")
@click.option("--platform", help="Only of this platform.")
@options.as_json
@options.data_dir
def list_(platform: str | None, as_data: bool, data_dir: Path | None) -> None:
    """List accounts, without their credentials: how they are, and what to do."""
    which = AccountFilter(platform=platform)
    with opened(data_dir) as place:
        found, _ = read(place.engine, lambda session: store.list_accounts(session, which, limit=EVERY))
    listing(COLUMNS, [row_of(one) for one in found], as_data=as_data)


@account.command()
@click.argument("name")
@of_platform
@of_user
@click.option("--wait", is_flag=True, help="Wait for what the check finds; 1 if the account can't be used.")
@options.as_json
@options.data_dir
@click.pass_context
def check(
    context: click.Context,
    name: str,
    platform: str | None,
    user: str | None,
    wait: bool,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """Have the account NAME (or id) checked by its node."""
    with opened(data_dir) as place:
        found = account_named(place, name, platform, user)
        ask(place, found.id, Errand.CHECK)
        if not wait:
            result(found.id)
            return
        context.exit(_report(*await_errand(place, found.id), as_data))


@account.command()
@click.argument("name")
@of_platform
@of_user
@options.as_json
@options.data_dir
@click.pass_context
def login(
    context: click.Context,
    name: str,
    platform: str | None,
    user: str | None,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """Log the account NAME (or id) in: scan the code that is shown; waits until that is done."""
    with opened(data_dir) as place:
        found = account_named(place, name, platform, user)
        publisher = publishers().get(found.platform)
        if publisher is None or not publisher.login_kinds:
            raise Conflict("no_login_for_platform", platform=found.platform)
        ask(place, found.id, Errand.LOGIN)
        context.exit(_report(*await_errand(place, found.id, CodeShown()), as_data))


@account.command()
@click.argument("name")
@of_platform
@of_user
@pasted.options
@options.data_dir
def credentials(
    name: str, platform: str | None, user: str | None, data_dir: Path | None, **given: Any
) -> None:
    """Replace the credentials of the account NAME (or id); what waits for it goes on when they are good."""
    fresh = pasted.read_credentials(**given)
    with opened(data_dir) as place:
        found, cipher = account_named(place, name, platform, user), place.cipher
        check_credentials(publishers(), found.platform, fresh)
        transact(
            place.engine,
            lambda session: store.replace_credentials(session, cipher, found.id, fresh, actor=ACTOR),
        )
        try_wake(place.redis)
    result(found.id)


@account.command()
@click.argument("name")
@of_platform
@of_user
@options.data_dir
def remove(name: str, platform: str | None, user: str | None, data_dir: Path | None) -> None:
    """Delete the account NAME (or id) with its credentials; refused while tasks of it have not ended."""
    with opened(data_dir) as place:
        found = account_named(place, name, platform, user)
        transact(place.engine, lambda session: store.delete_account(session, found.id))
    result(found.id)


def account_named(place: Place, name: str, platform: str | None, user: str | None) -> AccountView:
    """The account of that name or id. Raises `NotFound`, and `Conflict` when several fit."""
    owner = user_named(place, user).id if user else None

    def find(session: Session) -> AccountView:
        return store.get_account(session, store.find_account(session, name, platform, owner))

    return read(place.engine, find)


def row_of(view: AccountView) -> dict[str, Any]:
    """The account as people see it, with what to do."""
    publisher = publishers().get(view.platform)
    remedy = remedy_for(
        view.health,
        can_log_in=bool(publisher and publisher.login_kinds),
        until=view.cooling_until,
        expires_at=view.expires_at,
    )
    return asdict(view) | {"remedy": remedy.sentence(language()) if remedy else ""}


def _report(view: AccountView, trouble: str, as_data: bool) -> int:
    """What became of it; `trouble` is why a check or login could not be done."""
    row = row_of(view)
    if as_data:
        as_json(row | {"error_message": trouble})
    else:
        words = (view.health.value, view.health_reason, row["remedy"], trouble)
        result(": ".join(dict.fromkeys(one for one in words if one)))
    return 0 if view.health.may_publish and not trouble else 1
