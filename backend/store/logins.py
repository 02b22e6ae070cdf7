"""Logins: each can be ended by itself, and is dead with that commit for every process."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Login, User
from backend.store.users import IN_PLACE, UserView, view_of

CLEARED_AT_ONCE = 100


def start_login(session: Session, login_id: str, user_id: str, expires_at: datetime) -> None:
    """Remember a login until its token expires; some of those whose tokens have expired are forgotten."""
    _forget_expired(session)
    insert_missing(session, Login, [{"id": login_id, "user_id": user_id, "expires_at": expires_at}])


def extend_login(session: Session, login_id: str, expires_at: datetime) -> None:
    """Remember the login until its newest token expires."""
    session.execute(
        update(Login).where(Login.id == login_id).values(expires_at=expires_at), execution_options=IN_PLACE
    )


def end_login(session: Session, login_id: str) -> None:
    """End one login; the user's others go on."""
    session.execute(delete(Login).where(Login.id == login_id), execution_options=IN_PLACE)


def logged_in(session: Session, login_id: str, user_id: str, token_version: int) -> UserView | None:
    """The user of a login that is alive; `None` for one that was ended, or whose user was switched off."""
    row = session.scalar(
        select(User)
        .join(Login, Login.user_id == User.id)
        .where(Login.id == login_id, User.id == user_id, User.token_version == token_version, User.is_active)
    )
    return None if row is None else view_of(row)


def _forget_expired(session: Session) -> None:
    # Tokens say themselves when they expire: a row that is still there only takes space.
    query = select(Login.id).where(Login.expires_at < now()).order_by(Login.expires_at).limit(CLEARED_AT_ONCE)
    expired = session.scalars(query).all()
    if expired:
        session.execute(delete(Login).where(Login.id.in_(expired)), execution_options=IN_PLACE)
