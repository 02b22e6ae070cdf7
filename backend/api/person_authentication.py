"""People: by the token of a login, or by an access key of their own."""

from __future__ import annotations

import logging

from flask import g
from sqlalchemy.exc import SQLAlchemyError

from backend.api.context import Credential, parts
from backend.api.tokens import Tokens
from backend.domain.errors import Unauthenticated, Unavailable
from backend.domain.people import parse_key_pair
from backend.store import access_keys, logins
from backend.store.session import read, transact
from backend.store.users import UserView

PERSON_KEY = "WK"

log = logging.getLogger(__name__)


def person_by_token(token: str, tokens: Tokens) -> UserView:
    """Whose login it is, by a token of that kind. Raises `Unauthenticated`."""
    claims = tokens.read(token)
    user = read(
        parts().engine,
        lambda session: logins.logged_in(session, claims.login_id, claims.user_id, claims.token_version),
    )
    if user is None:
        raise Unauthenticated("dead_token")
    g.credential = Credential(claims.expires_at, login_id=claims.login_id)
    return user


def person_by_access_key(key: str, secret: str) -> UserView:
    """Whose access key it is, with the role that the key leaves it. Raises `Unauthenticated`."""
    pair = parse_key_pair(f"{key}:{secret}")
    holder = read(parts().engine, lambda session: access_keys.holder_of(session, pair)) if pair else None
    if holder is None:
        raise Unauthenticated("dead_key")
    if not holder.use_is_noted:
        _note_use(holder.key_id)
    g.credential = Credential(holder.expires_at, key_id=holder.key_id)
    return holder.user


def _note_use(key_id: str) -> None:
    # A note that can't be written now is written by a later request; this one must not suffer.
    try:
        transact(parts().engine, lambda session: access_keys.note_use(session, key_id), attempts=1)
    except (Unavailable, SQLAlchemyError) as error:
        log.info("the use of an access key was not noted: %s", type(error).__name__)
