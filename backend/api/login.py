"""Logging in."""

from __future__ import annotations

from backend.api.access import Access, declare
from backend.api.context import parts
from backend.api.routes import Routes
from backend.api.schemas.people import LoginAnswer, LoginRequest
from backend.domain.errors import Unauthenticated
from backend.store import users
from backend.store.passwords import verify_password
from backend.store.session import read

login = Routes("login", "/api/v1/auth", text="Logging in.")


@login.post("/login")
@declare(Access.OPEN, errors=(401,))
def log_in(body: LoginRequest) -> LoginAnswer:
    """A token for a name and password. The answer is the same whether or not the name exists."""
    known = read(parts().engine, lambda session: users.find_user(session, body.username))
    # Outside the transaction: hashing is slow on purpose.
    matches = verify_password(known.password_hash if known else None, body.password)
    if known is None or not matches or not known.user.is_active:
        raise Unauthenticated("bad_login")
    tokens = parts().tokens
    return LoginAnswer(access_token=tokens.issue(known.user), expires_in=tokens.seconds)
