"""Logging in."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.api.answers import success
from backend.api.context import parts
from backend.api.inputs import read_body
from backend.api.schemas.people import LoginAnswer, LoginRequest
from backend.domain.errors import Unauthenticated
from backend.store import users
from backend.store.passwords import verify_password
from backend.store.session import read

login = Blueprint("login", __name__, url_prefix="/api/v1/auth")


@login.post("/login")
def log_in() -> Response:
    """A token for a name and password. The answer is the same whether or not the name exists."""
    asked = read_body(LoginRequest)
    known = read(parts().engine, lambda session: users.find_user(session, asked.username))
    # Outside the transaction: hashing is slow on purpose.
    matches = verify_password(known.password_hash if known else None, asked.password)
    if known is None or not matches or not known.user.is_active:
        raise Unauthenticated("bad_login")
    tokens = parts().tokens
    return success(LoginAnswer(access_token=tokens.issue(known.user), expires_in=tokens.seconds))
