"""Accounts on platforms: made, read without their secrets, given new credentials, asked to be checked, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import ConfigurationError, Conflict, NotFound
from backend.domain.pacing import budget_of
from backend.domain.publishing import Credentials, Errand, Health
from backend.domain.states import PUBLISH_TASK
from backend.store import login_screenshots
from backend.store.account_health import ACCOUNTS, TASKS, clock, follow_health, lock_account, sealed, unsealed
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Allocation, Node, PublishAccount, User, core

ALLOCATIONS = core(Allocation)
OPEN_TASKS = tuple(sorted(PUBLISH_TASK.states - PUBLISH_TASK.finals - {"failed"}))


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account as somebody gives it. `min_gap_seconds` and `daily_limit` empty: the platform's usual pace."""

    platform: str
    name: str
    credentials: Credentials = field(repr=False)
    node_id: str | None = None
    min_gap_seconds: int | None = None
    daily_limit: int | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account without its secrets. `busy`: its slot is taken; `waiting` counts its tasks that have not ended.

    `prompt_until`: until when a person may log in with what the account's login shows.
    """

    id: str
    platform: str
    name: str
    user_id: str
    user_name: str
    node_id: str | None
    node_name: str
    credential_version: int
    health: Health
    health_code: str
    health_reason: str
    cooling_until: datetime | None
    expires_at: datetime | None
    checked_at: datetime | None
    check_due_at: datetime | None
    errand_wanted: Errand | None
    last_used_at: datetime | None
    min_gap_seconds: int | None
    daily_limit: int | None
    is_active: bool
    profile: str
    prompt_until: datetime | None
    created_at: datetime
    updated_at: datetime | None
    busy: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts; an `owner` sees only the own ones."""

    owner: str | None = None
    platform: str | None = None
    health: str | None = None
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person must look at to log in: the content of a QR code."""

    link: str = field(repr=False)
    expires_at: datetime


def create_account(
    session: Session, cipher: Cipher, account_id: str, user_id: str, account: NewAccount
) -> AccountView:
    """Add the account; `account_id` is drawn before the transaction. Raises `Conflict` when its owner has one of that name there.

    It is checked as soon as its slot is free.
    """
    row = {
        "id": account_id,
        "platform": account.platform,
        "name": account.name,
        "user_id": user_id,
        "node_id": account.node_id,
        "credentials": sealed(cipher, account.credentials),
        "min_gap_seconds": account.min_gap_seconds,
        "daily_limit": budget_of(account.platform, account.credentials, account.daily_limit),
        "check_due_at": clock(session),
    }
    insert_missing(session, PublishAccount, [row])
    same = (
        ACCOUNTS.c.user_id == user_id,
        ACCOUNTS.c.platform == account.platform,
        ACCOUNTS.c.name == account.name,
    )
    standing = session.scalar(select(ACCOUNTS.c.id).where(*same))
    if standing != account_id:
        _refuse_second(account.name, account.platform, standing)
    return get_account(session, account_id)


def _refuse_second(name: str, platform: str, existing_id: str | None) -> NoReturn:
    raise Conflict("account_exists", name=name, platform=platform, existing_id=existing_id)


def get_account(session: Session, account_id: str, owner: str | None = None) -> AccountView:
    """The account. Raises `NotFound`, also for somebody else's."""
    rows = _views(session, [ACCOUNTS.c.id == account_id, *_owned(owner)], 1, 0)
    if not rows:
        raise NotFound(noun="account", id=account_id)
    return rows[0]


def find_account(session: Session, name: str, platform: str | None = None, owner: str | None = None) -> str:
    """The id of the account of that id or name. Raises `NotFound`, and `Conflict` when several have the name."""
    where = [*_owned(owner), *([] if platform is None else [ACCOUNTS.c.platform == platform])]
    for key in (ACCOUNTS.c.id, ACCOUNTS.c.name):
        ids = session.scalars(select(ACCOUNTS.c.id).where(key == name, *where).limit(2)).all()
        if len(ids) > 1:
            raise Conflict("account_ambiguous", name=name)
        if ids:
            return str(ids[0])
    raise NotFound(noun="account", id=name)


def list_accounts(
    session: Session, which: AccountFilter, *, limit: int = 50, offset: int = 0
) -> tuple[list[AccountView], int]:
    """The accounts by platform and name, and how many there are."""
    where = _where(which)
    total = session.scalar(select(func.count()).select_from(ACCOUNTS).where(*where)) or 0
    return _views(session, where, limit, offset), total


def _where(which: AccountFilter) -> list[ColumnElement[bool]]:
    columns = (("platform", which.platform), ("health", which.health), ("node_id", which.node_id))
    return [
        *_owned(which.owner),
        *(ACCOUNTS.c[name] == value for name, value in columns if value is not None),
    ]


def _owned(owner: str | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [ACCOUNTS.c.user_id == owner]


SHOWN = [
    column
    for column in ACCOUNTS.c
    if column.name not in ("credentials", "login_prompt", "login_prompt_until")
]


def _views(
    session: Session, where: Sequence[ColumnElement[bool]], limit: int, offset: int
) -> list[AccountView]:
    users, nodes = core(User), core(Node)
    query = (
        select(
            *SHOWN,
            ACCOUNTS.c.login_prompt_until.label("prompt_until"),
            func.coalesce(users.c.name, "").label("user_name"),
            func.coalesce(nodes.c.name, "").label("node_name"),
        )
        .outerjoin(users, users.c.id == ACCOUNTS.c.user_id)
        .outerjoin(nodes, nodes.c.id == ACCOUNTS.c.node_id)
        .where(*where)
        .order_by(ACCOUNTS.c.platform, ACCOUNTS.c.name, ACCOUNTS.c.id)
        .limit(limit)
        .offset(offset)
    )
    rows = session.execute(query).all()
    ids = [row.id for row in rows]
    busy = set(
        session.scalars(
            select(ALLOCATIONS.c.active_account_id).where(ALLOCATIONS.c.active_account_id.in_(ids))
        )
    )
    counts = _open_tasks(session, ids)
    return [_view(row, row.id in busy, counts.get(row.id, 0)) for row in rows]


def _view(row: Any, busy: bool, waiting: int) -> AccountView:
    values = row._asdict()
    values["health"] = Health(row.health)
    values["errand_wanted"] = Errand(row.errand_wanted) if row.errand_wanted else None
    return AccountView(**values, busy=busy, waiting=waiting)


def _open_tasks(session: Session, ids: Sequence[str]) -> dict[str, int]:
    query = (
        select(TASKS.c.account_id, func.count())
        .where(TASKS.c.state.in_(OPEN_TASKS), TASKS.c.account_id.in_(ids))
        .group_by(TASKS.c.account_id)
    )
    return {row[0]: row[1] for row in session.execute(query)} if ids else {}


def _locked(session: Session, account_id: str, owner: str | None) -> Any:
    account = lock_account(session, account_id)
    if account is None or (owner is not None and account.user_id != owner):
        raise NotFound(noun="account", id=account_id)
    return account


def replace_credentials(
    session: Session,
    cipher: Cipher,
    account_id: str,
    credentials: Credentials,
    *,
    actor: str,
    owner: str | None = None,
) -> AccountView:
    """Give the account new credentials: a new version, so that no verdict about the old ones applies any more.

    Its health is unknown then, unless the platform still wants it to slow down; held tasks go on, and it is checked soon.
    Raises `NotFound`, and `Conflict` for another site while something may be on the old one.
    """
    account = _locked(session, account_id, owner)
    if _moves(cipher, account.credentials, credentials):
        _forget_drafts(session, account)
    cooling = account.health == Health.COOLING.value
    health = {} if cooling else {"health": Health.UNKNOWN.value, "health_code": "", "health_reason": ""}
    _write(
        session,
        account_id,
        credentials=sealed(cipher, credentials),
        credential_version=account.credential_version + 1,
        expires_at=None,
        check_due_at=account.cooling_until if cooling else now(),
        login_prompt=None,
        login_prompt_until=None,
        **health,
    )
    follow_health(session, account_id, actor)
    return get_account(session, account_id)


def _moves(cipher: Cipher, stored: str, credentials: Credentials) -> bool:
    """Whether they lead to another site, or nobody can tell."""
    try:
        before = unsealed(cipher, stored).fields.get("url", "")
    except ConfigurationError:
        before = ""
    return before != credentials.fields.get("url", "")


def _forget_drafts(session: Session, account: Any) -> None:
    """The numbers of drafts mean something else on another site. Raises `Conflict` while it can't be known what is on the old one."""
    mine = (TASKS.c.account_id == account.id, TASKS.c.state.in_(OPEN_TASKS))
    doubtful = session.scalar(select(func.count()).where(*mine, TASKS.c.submitted_at.is_not(None))) or 0
    slot = select(ALLOCATIONS.c.id).where(ALLOCATIONS.c.active_account_id == account.id)
    if doubtful or session.scalar(slot) is not None:
        raise Conflict("account_moves", name=account.name, count=doubtful)
    again = (TASKS.c.account_id == account.id, TASKS.c.state.in_((*OPEN_TASKS, "failed")))
    session.execute(update(TASKS).where(*again).values(draft_id=None))


def change_account(
    session: Session, account_id: str, changes: dict[str, Any], *, actor: str, owner: str | None = None
) -> AccountView:
    """Change its `name`, `node_id`, `min_gap_seconds`, `daily_limit` or `is_active`, those that are given.

    Raises `NotFound`, and `Conflict` when another account has the name. Its waiting tasks follow when it is switched.
    """
    account = _locked(session, account_id, owner)
    unknown = changes.keys() - {"name", "node_id", "min_gap_seconds", "daily_limit", "is_active"}
    if unknown:
        raise ValueError(f"not to be changed: {sorted(unknown)}")
    if "name" in changes:
        same = (ACCOUNTS.c.user_id == account.user_id, ACCOUNTS.c.platform == account.platform)
        others = select(ACCOUNTS.c.id).where(
            *same, ACCOUNTS.c.name == changes["name"], ACCOUNTS.c.id != account_id
        )
        if (other := session.scalar(others)) is not None:
            _refuse_second(changes["name"], account.platform, other)
    if changes:
        _write(session, account_id, **changes)
        follow_health(session, account_id, actor)
    return get_account(session, account_id)


def _write(session: Session, account_id: str, **values: Any) -> None:
    session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(**values, updated_at=now()))


def want_errand(
    session: Session, account_id: str, errand: Errand, *, owner: str | None = None
) -> AccountView:
    """Ask for a check or a login as soon as the account's slot is free. A login that is wanted is not replaced by a check."""
    account = _locked(session, account_id, owner)
    if account.errand_wanted != Errand.LOGIN.value:
        _write(session, account_id, errand_wanted=errand.value)
    return get_account(session, account_id)


def login_prompt(
    session: Session, cipher: Cipher, account_id: str, owner: str | None = None
) -> Prompt | None:
    """What a person must look at to log in, while it holds. Raises `NotFound`."""
    query = select(ACCOUNTS.c.login_prompt, ACCOUNTS.c.login_prompt_until, now().label("at"))
    row = session.execute(query.where(ACCOUNTS.c.id == account_id, *_owned(owner))).first()
    if row is None:
        raise NotFound(noun="account", id=account_id)
    if not row.login_prompt or row.login_prompt_until is None or row.login_prompt_until <= row.at:
        return None
    return Prompt(cipher.decrypt(row.login_prompt), row.login_prompt_until)


def delete_account(session: Session, account_id: str, *, owner: str | None = None) -> None:
    """Delete the account with its credentials. Raises `NotFound`, and `Conflict` while something of it has not ended."""
    account = _locked(session, account_id, owner)
    count = _open_tasks(session, [account_id]).get(account_id, 0)
    slot = select(ALLOCATIONS.c.id).where(ALLOCATIONS.c.active_account_id == account_id)
    if count or session.scalar(slot) is not None:
        raise Conflict("account_in_use", name=account.name, count=count)
    login_screenshots.forget(session, account_id)
    session.execute(delete(ACCOUNTS).where(ACCOUNTS.c.id == account_id))
