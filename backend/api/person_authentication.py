"""People: by the token of a login, or by an access key of their own."""

from __future__ import annotations

from backend.api.context import parts
from backend.domain.errors import Unauthenticated
from backend.store import users
from backend.store.session import read
from backend.store.users import UserView

PERSON_KEY = "WK"


def person_by_token(token: str) -> UserView:
    """Whose login it is. Raises `Unauthenticated`."""
    claims = parts().tokens.read(token)
    user = read(parts().engine, lambda session: users.user_by_id(session, claims.user_id))
    if user is None or not user.is_active or user.token_version != claims.token_version:
        raise Unauthenticated("dead_token")
    return user


def person_by_access_key(_key: str, _secret: str) -> UserView:
    """Whose access key it is. Raises `Unauthenticated`."""
    raise Unauthenticated("dead_key")
