"""People who may log in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, InvalidInput, NotFound
from backend.domain.people import ROLES
from backend.store.inserting import insert_missing
from backend.store.tables import AccessKey, Login, User

MAX_NAME = 100
IMPORTED_HASHES = "$2%"
IN_PLACE = {"synchronize_session": False}


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against: nobody's as well as somebody's. `imported_exist`: anybody's hash is bcrypt."""

    known: KnownUser | None
    imported_exist: bool

    @property
    def password_hash(self) -> str | None:
        """The stored hash, if there is one."""
        return self.known.password_hash if self.known else None


def normal_name(name: str) -> str:
    """The one spelling of a name: databases differ in what they take for the same."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def create_user(session: Session, *, user_id: str, name: str, password_hash: str, role: str) -> UserView:
    """Add a user; `user_id` is drawn before the transaction. Raises `InvalidInput` and `Conflict`."""
    spelled = normal_name(name)
    if not 1 <= len(spelled) <= MAX_NAME or not spelled.isprintable():
        raise InvalidInput(fields={"name": InvalidInput("bad_name", limit=MAX_NAME)})
    check_role(role)
    row = {"id": user_id, "name": spelled, "password_hash": password_hash, "role": role}
    insert_missing(session, User, [row])
    known = find_user(session, spelled)
    if known is None or known.user.id != user_id:
        raise Conflict("user_exists", name=spelled)
    return known.user


def find_user(session: Session, name: str) -> KnownUser | None:
    """The user of exactly that name, once it is spelled normally."""
    spelled = normal_name(name)
    row = session.execute(select(User).where(User.name == spelled)).scalar_one_or_none()
    # MySQL finds "admin" under "ádmin" too. Then a name would have endless spellings, and each its own five wrong
    # passwords before it is locked.
    if row is None or row.name != spelled:
        return None
    return KnownUser(view_of(row), row.password_hash)


def credentials_of(session: Session, name: str) -> Credentials:
    """What a login under that name is checked against."""
    imported = session.scalar(select(exists().where(User.password_hash.like(IMPORTED_HASHES))))
    return Credentials(find_user(session, name), bool(imported))


def user_by_id(session: Session, user_id: str) -> UserView | None:
    """The user of that id."""
    row = session.get(User, user_id)
    return None if row is None else view_of(row)


def get_user(session: Session, user_id: str) -> UserView:
    """The user of that id. Raises `NotFound`."""
    return known_user(session, user_id).user


def known_user(session: Session, user_id: str) -> KnownUser:
    """The user of that id with the password's hash. Raises `NotFound`."""
    row = session.get(User, user_id)
    if row is None:
        raise NotFound(noun="user", id=user_id)
    return KnownUser(view_of(row), row.password_hash)


def list_users(session: Session) -> list[UserView]:
    """Everybody, by name."""
    return [view_of(row) for row in session.scalars(select(User).order_by(User.name))]


def page_of_users(session: Session, *, limit: int, offset: int) -> tuple[list[UserView], int]:
    """Some of the users, by name, and how many there are."""
    rows = session.scalars(select(User).order_by(User.name).limit(limit).offset(offset))
    return [view_of(row) for row in rows], session.scalar(select(func.count()).select_from(User)) or 0


def check_role(role: str) -> None:
    """Raise `InvalidInput` for a role that does not exist."""
    if role not in ROLES:
        raise InvalidInput(fields={"role": InvalidInput("bad_role", existing=", ".join(ROLES))})


def update_user(
    session: Session,
    user_id: str,
    *,
    role: str | None = None,
    is_active: bool | None = None,
    password_hash: str | None = None,
) -> UserView:
    """Change what is given. Switching off and a new password end every login of the user with this commit.

    Raises `NotFound`, `InvalidInput`, and `Conflict` when no active admin would be left.
    """
    user = get_user(session, user_id)
    if role is not None:
        check_role(role)
    if role not in {None, "admin"} or is_active is False:
        _require_another_admin(session, user)
    changes: dict[str, object] = {"role": role, "is_active": is_active, "password_hash": password_hash}
    values = {name: value for name, value in changes.items() if value is not None}
    if values:
        session.execute(update(User).where(User.id == user_id).values(values), execution_options=IN_PLACE)
    if is_active is False or password_hash is not None:
        end_logins(session, user_id)
    session.expire_all()
    return get_user(session, user_id)


def set_password(session: Session, name: str, password_hash: str) -> UserView:
    """Replace the password; every token handed out before is dead with this commit. Raises `NotFound`."""
    return update_user(session, named_user(session, name).id, password_hash=password_hash)


def named_user(session: Session, name: str) -> UserView:
    """The user of that name. Raises `NotFound`."""
    found = find_user(session, name)
    if found is None:
        raise NotFound(noun="user", id=name)
    return found.user


def renew_hash(session: Session, user_id: str, old: str, new: str) -> None:
    """Replace a hash by a better one of the same password, unless the password was changed meanwhile."""
    session.execute(
        update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new),
        execution_options=IN_PLACE,
    )


def end_logins(session: Session, user_id: str) -> None:
    """End every login of the user: tokens handed out before are dead with this commit."""
    session.execute(
        update(User).where(User.id == user_id).values(token_version=User.token_version + 1),
        execution_options=IN_PLACE,
    )
    session.execute(delete(Login).where(Login.user_id == user_id), execution_options=IN_PLACE)


def delete_user(session: Session, user_id: str) -> None:
    """Delete the user with its logins and access keys. Raises `NotFound`, and `Conflict` for the last active admin."""
    _require_another_admin(session, get_user(session, user_id))
    for table in (Login, AccessKey):
        session.execute(delete(table).where(table.user_id == user_id), execution_options=IN_PLACE)
    session.execute(delete(User).where(User.id == user_id), execution_options=IN_PLACE)


def _require_another_admin(session: Session, user: UserView) -> None:
    # Locked, so that of two admins who switch each other off only one succeeds.
    active_admins = select(User.id).where(User.role == "admin", User.is_active).order_by(User.id)
    if list(session.scalars(active_admins.with_for_update())) == [user.id]:
        raise Conflict("last_admin", name=user.name)


def view_of(row: User) -> UserView:
    """The user as others see it."""
    return UserView(row.id, row.name, row.role, row.is_active, row.token_version, row.created_at)
