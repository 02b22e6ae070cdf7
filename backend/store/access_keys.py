"""Access keys: a script acts as its user, until the key is revoked, expires or the user is switched off."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.domain.identifiers import hash_secret
from backend.domain.people import KeyPair, lesser_role
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import AccessKey, User
from backend.store.users import IN_PLACE, MAX_NAME, UserView, check_role, view_of

MAX_KEYS = 50
MAX_DAYS = 3650
# `last_used_at` may be this old: a script that asks all the time must not write all the time.
USE_NOTED_SECONDS = 300
# What an unknown key's secret is compared with, so that it takes as long as a known key's.
NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class KeyView:
    """An access key as people see it: never with its secret."""

    id: str
    user_id: str
    user_name: str
    name: str
    access_key: str
    role: str
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who asks with a key: the user, with the role that the key leaves it."""

    key_id: str
    user: UserView
    expires_at: datetime | None
    use_is_noted: bool


def create_key(
    session: Session,
    key_id: str,
    pair: KeyPair,
    *,
    user_id: str,
    name: str,
    role: str | None = None,
    expires_at: datetime | None = None,
) -> KeyView:
    """Add a key that may do what `role` may (without: what its user may), until it expires or is revoked.

    `key_id` and `pair` are drawn before the transaction. Raises `NotFound`, `InvalidInput` and `Conflict`.
    """
    # Locked, so that keys made at the same moment count each other.
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise NotFound(noun="user", id=user_id)
    row = {
        "id": key_id,
        "user_id": user_id,
        "name": _checked_name(name),
        "access_key": pair.access_key,
        "secret_hash": hash_secret(pair.secret),
        "role": _checked_role(role or user.role, user.role),
        "expires_at": expires_at,
    }
    _require_room(session, key_id, user)
    insert_missing(session, AccessKey, [row])
    return next(key for key in list_keys(session, user_id) if key.id == key_id)


def list_keys(session: Session, user_id: str | None = None) -> list[KeyView]:
    """The user's keys, or everybody's, the newest first."""
    query = select(AccessKey, User).join(User, User.id == AccessKey.user_id).order_by(AccessKey.id.desc())
    if user_id is not None:
        query = query.where(AccessKey.user_id == user_id)
    return [_view(row, user) for row, user in session.execute(query)]


def revoke_key(session: Session, key_id: str, user_id: str | None = None) -> None:
    """Delete the key: it is dead with this commit. Raises `NotFound`, also for a key of another than the named user."""
    query = select(AccessKey.id).where(AccessKey.id == key_id)
    if user_id is not None:
        query = query.where(AccessKey.user_id == user_id)
    if session.scalar(query) is None:
        raise NotFound(noun="access key", id=key_id)
    session.execute(delete(AccessKey).where(AccessKey.id == key_id), execution_options=IN_PLACE)


def holder_of(session: Session, pair: KeyPair) -> KeyHolder | None:
    """Who holds the key; `None` for an unknown one, a wrong secret, an expired key or a user who was switched off."""
    noted = AccessKey.last_used_at > now(-USE_NOTED_SECONDS)
    alive = or_(AccessKey.expires_at.is_(None), AccessKey.expires_at > now())
    found = session.execute(
        select(AccessKey, User, func.coalesce(noted, False).label("noted"))
        .join(User, User.id == AccessKey.user_id)
        .where(AccessKey.access_key == pair.access_key, alive, User.is_active)
    ).first()
    stored = NO_HASH if found is None else found.AccessKey.secret_hash
    matches = hmac.compare_digest(hash_secret(pair.secret), stored)
    if found is None or not matches:
        return None
    user = view_of(found.User)
    allowed = replace(user, role=lesser_role(user.role, found.AccessKey.role))
    return KeyHolder(found.AccessKey.id, allowed, found.AccessKey.expires_at, bool(found.noted))


def note_use(session: Session, key_id: str) -> None:
    """Write down that the key was used; of many who do so at once, one writes."""
    unnoted = or_(AccessKey.last_used_at.is_(None), AccessKey.last_used_at <= now(-USE_NOTED_SECONDS))
    session.execute(
        update(AccessKey).where(AccessKey.id == key_id, unnoted).values(last_used_at=now()),
        execution_options=IN_PLACE,
    )


def _require_room(session: Session, key_id: str, user: User) -> None:
    others = select(func.count()).where(AccessKey.user_id == user.id, AccessKey.id != key_id)
    if (session.scalar(others) or 0) >= MAX_KEYS:
        raise Conflict("too_many_keys", name=user.name, limit=MAX_KEYS)


def _checked_name(name: str) -> str:
    stripped = name.strip()
    if not 1 <= len(stripped) <= MAX_NAME or not stripped.isprintable():
        raise InvalidInput(fields={"name": InvalidInput("bad_name", limit=MAX_NAME)})
    return stripped


def _checked_role(asked: str, own: str) -> str:
    check_role(asked)
    if lesser_role(asked, own) != asked:
        raise InvalidInput(fields={"role": InvalidInput("role_above_own", role=own)})
    return asked


def _view(row: AccessKey, user: User) -> KeyView:
    return KeyView(
        row.id,
        row.user_id,
        user.name,
        row.name,
        row.access_key,
        lesser_role(user.role, row.role),
        row.expires_at,
        row.last_used_at,
        row.created_at,
    )
