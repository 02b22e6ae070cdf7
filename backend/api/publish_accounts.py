"""Accounts on platforms: add, list, change, check, log in. Credentials go in and never come out."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.context import actor, asker, language, parts
from backend.api.login_codes import TYPES, picture
from backend.api.preconditions import require_match, tagged
from backend.api.publishing_parts import owner, whose
from backend.api.routes import Routes
from backend.api.schemas.common import Page
from backend.api.schemas.publish_accounts import (
    AccountAnswer,
    AccountChangeRequest,
    AccountPath,
    AccountQuery,
    AccountRequest,
    CodeQuery,
    CredentialsRequest,
    ErrandAnswer,
    NewAccountAnswer,
    VisitAnswer,
)
from backend.dispatch.queues import try_wake
from backend.domain.credentials import credentials_of
from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.publish_checks import check_credentials
from backend.domain.publishing import Credentials, Errand
from backend.domain.remedies import remedy_for
from backend.store import account_errands, login_screenshots
from backend.store import accounts as store
from backend.store.account_health import lock_account
from backend.store.accounts import AccountFilter, AccountView, NewAccount
from backend.store.nodes import get_node
from backend.store.session import read, transact

publish_accounts = Routes(
    "publish_accounts", "/api/v1/publish/accounts", text="Accounts on platforms, and how they are."
)


@publish_accounts.post("")
@declare(Access.OPERATOR, creates=True, body_bytes=1024 * 1024)
def add_account(body: AccountRequest) -> NewAccountAnswer:
    """Add an account of one's own. It is checked soon; its credentials are stored encrypted and never shown."""
    account_id, user_id, cipher = new_id(), asker().id, parts().cipher
    wanted = NewAccount(
        platform=body.platform,
        name=body.name,
        credentials=_credentials(body.platform, body.credentials),
        node_id=body.node_id,
        min_gap_seconds=body.min_gap_seconds,
        daily_limit=body.daily_limit,
    )

    def create(session: Session) -> None:
        _check_node(session, body.node_id)
        store.create_account(session, cipher, account_id, user_id, wanted)

    transact(parts().engine, create)
    try_wake(parts().redis)
    return NewAccountAnswer(id=account_id)


def _check_node(session: Session, node_id: str | None) -> None:
    if node_id is not None:
        try:
            get_node(session, node_id)
        except NotFound as error:
            raise InvalidInput(fields={"node_id": error}) from None


def _credentials(platform: str, given: Mapping[str, object]) -> Credentials:
    try:
        found = credentials_of(given)
    except InvalidInput as error:
        raise InvalidInput(fields={"credentials": error}) from None
    check_credentials(parts().publishers(), platform, found)
    return found


@publish_accounts.get("")
@declare(Access.VIEWER)
def list_accounts(query: AccountQuery) -> Page[AccountAnswer]:
    """The newest accounts: one's own, for admins all."""
    which = AccountFilter(owner=whose(query.user_id), platform=query.platform, health=query.health)
    found, total = read(
        parts().engine,
        lambda session: store.list_accounts(session, which, limit=query.limit, offset=query.offset),
    )
    return Page(list=[_answer(one) for one in found], total=total)


@publish_accounts.get("/<id:account_id>")
@declare(Access.VIEWER, versioned=True)
def get_account(path: AccountPath) -> Reply[AccountAnswer]:
    """One account: its health, why, and what to do."""
    return _tagged(_standing(path))


@publish_accounts.get("/<id:account_id>/visits")
@declare(Access.VIEWER)
def list_visits(path: AccountPath) -> list[VisitAnswer]:
    """The account's newest checks, logins and articles, and how they ended; 20 at most."""
    _standing(path)
    found = read(parts().engine, lambda session: account_errands.errands_of(session, path.account_id))
    return [VisitAnswer.model_validate(one) for one in found]


@publish_accounts.put("/<id:account_id>")
@declare(Access.OPERATOR, errors=(409,), versioned=True)
def change_account(path: AccountPath, body: AccountChangeRequest) -> Reply[AccountAnswer]:
    """Change an account; what is left out stays. Its credentials have a route of their own."""
    changes = body.model_dump(exclude_unset=True)
    mine, who = owner(), actor()

    def change(session: Session) -> AccountView:
        # Locked before it is compared: nobody changes it in between.
        lock_account(session, path.account_id)
        require_match(_version(store.get_account(session, path.account_id, mine)))
        _check_node(session, body.node_id)
        return store.change_account(session, path.account_id, changes, actor=who, owner=mine)

    view = transact(parts().engine, change)
    try_wake(parts().redis)
    return _tagged(view)


@publish_accounts.put("/<id:account_id>/credentials")
@declare(Access.OPERATOR, body_bytes=1024 * 1024)
def replace_credentials(path: AccountPath, body: CredentialsRequest) -> AccountAnswer:
    """Put other credentials in the place of those that stand; they are checked soon, and what waits for them goes on."""
    cipher, mine, who = parts().cipher, owner(), actor()
    fresh = _credentials(_standing(path).platform, body.credentials)
    view = transact(
        parts().engine,
        lambda session: store.replace_credentials(
            session, cipher, path.account_id, fresh, actor=who, owner=mine
        ),
    )
    try_wake(parts().redis)
    return _answer(view)


@publish_accounts.delete("/<id:account_id>")
@declare(Access.OPERATOR, errors=(409,))
def delete_account(path: AccountPath) -> None:
    """Delete an account with its credentials; refused while tasks of it have not ended."""
    mine = owner()
    transact(parts().engine, lambda session: store.delete_account(session, path.account_id, owner=mine))


@publish_accounts.post("/<id:account_id>/check")
@declare(Access.OPERATOR)
def check(path: AccountPath) -> ErrandAnswer:
    """Have the account checked by its own node as soon as its slot is free."""
    return _want(path, Errand.CHECK)


@publish_accounts.post("/<id:account_id>/login")
@declare(Access.OPERATOR, errors=(409,))
def log_in(path: AccountPath) -> ErrandAnswer:
    """Log in anew: a person then scans the code of `GET …/login-code`, where the platform has one."""
    platform = _standing(path).platform
    publisher = parts().publishers().get(platform)
    if publisher is None or not publisher.login_kinds:
        raise Conflict("no_login_for_platform", platform=platform)
    return _want(path, Errand.LOGIN)


def _want(path: AccountPath, errand: Errand) -> ErrandAnswer:
    mine = owner()
    view = transact(
        parts().engine,
        lambda session: store.want_errand(session, path.account_id, errand, owner=mine),
    )
    try_wake(parts().redis)
    return ErrandAnswer(account_id=view.id, errand=errand, credential_version=view.credential_version)


@publish_accounts.get("/<id:account_id>/login-code")
@declare(Access.OPERATOR, media=tuple(TYPES.values()))
def get_login_code(path: AccountPath, query: CodeQuery) -> Response:
    """The QR code to log in with, as a picture, while it is good; 404 before and after."""
    mine, cipher = owner(), parts().cipher
    prompt = read(parts().engine, lambda session: store.login_prompt(session, cipher, path.account_id, mine))
    if prompt is None:
        raise NotFound("no_login_code")
    return picture(prompt.link, query.format)


@publish_accounts.get("/<id:account_id>/login-screenshot")
@declare(Access.OPERATOR, media=("image/jpeg",))
def get_login_screenshot(path: AccountPath) -> Response:
    """What the page of the last login showed when only a person could go on; 404 when there is nothing to see."""
    account_id, cipher = _standing(path).id, parts().cipher
    image = read(parts().engine, lambda session: login_screenshots.find(session, cipher, account_id))
    if image is None:
        raise NotFound("no_login_screenshot")
    return Response(base64.b64decode(image), mimetype="image/jpeg", headers={"Cache-Control": "no-store"})


def _standing(path: AccountPath) -> AccountView:
    mine = owner()
    return read(parts().engine, lambda session: store.get_account(session, path.account_id, mine))


def _tagged(view: AccountView) -> Reply[AccountAnswer]:
    return tagged(_answer(view), _version(view))


def _version(view: AccountView) -> dict[str, Any]:
    """What people change; health moves by itself."""
    names = ("name", "node_id", "min_gap_seconds", "daily_limit", "is_active", "credential_version")
    return {name: getattr(view, name) for name in names}


def _answer(view: AccountView) -> AccountAnswer:
    publisher = parts().publishers().get(view.platform)
    remedy = remedy_for(
        view.health,
        can_log_in=bool(publisher and publisher.login_kinds),
        until=view.cooling_until,
        expires_at=view.expires_at,
    )
    fields = dataclasses.asdict(view)
    until = fields.pop("prompt_until")
    return AccountAnswer(
        **fields,
        login_code_until=until if until and until > datetime.now(UTC) else None,
        remedy=remedy.sentence(language()) if remedy else "",
    )
