"""Who is asking, and what they may do: every route needs a login unless it is listed here."""

from __future__ import annotations

from flask import Flask, g, request

from backend.api.context import parts
from backend.domain.errors import Forbidden, Unauthenticated
from backend.store import users
from backend.store.session import read
from backend.store.users import UserView

OPEN_ENDPOINTS = frozenset(
    {
        "login.log_in",
        "health.livez",
        "health.readyz",
        "health.healthz",
        "home.page",
        "home.style",
    }
)
READING = frozenset({"GET", "HEAD", "OPTIONS"})
WRITERS = frozenset({"admin", "operator"})


def guard(app: Flask) -> None:
    """Ask for a login before every route that is not open."""
    app.before_request(_require_login)


def may_see_secrets(user: UserView) -> bool:
    """Whether receivers' addresses, headers and cookies are shown in clear."""
    return user.role in WRITERS


def _require_login() -> None:
    # Without an endpoint nothing runs: the answer is 404 or 405.
    if request.endpoint is None or request.endpoint in OPEN_ENDPOINTS:
        return
    g.user = _user()
    if request.method not in READING and g.user.role not in WRITERS:
        raise Forbidden(role=g.user.role, needed=" / ".join(sorted(WRITERS)))


def _user() -> UserView:
    claims = parts().tokens.read(_bearer())
    user = read(parts().engine, lambda session: users.user_by_id(session, claims.user_id))
    if user is None or not user.is_active or user.token_version != claims.token_version:
        raise Unauthenticated("dead_token")
    return user


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.casefold() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()
