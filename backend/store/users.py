"""People who may log in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.store.inserting import insert_missing
from backend.store.tables import User

ROLES = ("admin", "operator", "viewer")
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class UserView:
    """Somebody who may log in, without the password."""

    id: str
    name: str
    role: str
    is_active: bool
    token_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user with what a login is checked against."""

    user: UserView
    password_hash: str


def normal_name(name: str) -> str:
    """The one spelling of a name: databases differ in what they take for the same."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def create_user(session: Session, *, user_id: str, name: str, password_hash: str, role: str) -> UserView:
    """Add a user; `user_id` is drawn before the transaction. Raises `InvalidInput` and `Conflict`."""
    spelled = normal_name(name)
    if not 1 <= len(spelled) <= MAX_NAME or not spelled.isprintable():
        raise InvalidInput(fields={"name": InvalidInput("bad_name", limit=MAX_NAME)})
    if role not in ROLES:
        raise InvalidInput(fields={"role": InvalidInput("bad_role", existing=", ".join(ROLES))})
    row = {"id": user_id, "name": spelled, "password_hash": password_hash, "role": role}
    insert_missing(session, User, [row])
    known = find_user(session, spelled)
    if known is None or known.user.id != user_id:
        raise Conflict("user_exists", name=spelled)
    return known.user


def find_user(session: Session, name: str) -> KnownUser | None:
    """The user of that name."""
    row = session.execute(select(User).where(User.name == normal_name(name))).scalar_one_or_none()
    return None if row is None else KnownUser(_view(row), row.password_hash)


def user_by_id(session: Session, user_id: str) -> UserView | None:
    """The user of that id."""
    row = session.get(User, user_id)
    return None if row is None else _view(row)


def list_users(session: Session) -> list[UserView]:
    """Everybody, by name."""
    return [_view(row) for row in session.scalars(select(User).order_by(User.name))]


def set_password(session: Session, name: str, password_hash: str) -> UserView:
    """Replace the password; every token handed out before is dead with this commit. Raises `NotFound`."""
    found = find_user(session, name)
    if found is None:
        raise NotFound(noun="user", id=name)
    session.execute(
        update(User)
        .where(User.id == found.user.id)
        .values(password_hash=password_hash, token_version=User.token_version + 1),
        execution_options={"synchronize_session": False},
    )
    session.expire_all()
    changed = user_by_id(session, found.user.id)
    if changed is None:
        raise NotFound(noun="user", id=name)
    return changed


def _view(row: User) -> UserView:
    return UserView(row.id, row.name, row.role, row.is_active, row.token_version, row.created_at)
