"""Login tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from backend.api.tokens import Claims, Tokens
from backend.domain.errors import Unauthenticated
from backend.store.users import UserView

NOW = datetime.now(UTC)
USER = UserView("user-1", "ana", "admin", is_active=True, token_version=3, created_at=NOW)


def test_a_token_says_who_and_which_version() -> None:
    tokens = Tokens("key", 600)
    assert tokens.read(tokens.issue(USER)) == Claims("user-1", 3)


def test_a_token_carries_role_and_end_of_life() -> None:
    token = Tokens("key", 600).issue(USER, NOW)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["role"] == "admin"
    assert claims["exp"] == int((NOW + timedelta(seconds=600)).timestamp())
    assert set(claims) == {"sub", "role", "token_version", "iat", "exp"}


def test_after_a_key_rotation_older_tokens_live_on_until_the_old_key_goes() -> None:
    old = Tokens("old", 600).issue(USER)
    assert Tokens("new, old", 600).read(old).user_id == "user-1"
    with pytest.raises(Unauthenticated):
        Tokens("new", 600).read(old)
    with pytest.raises(Unauthenticated):
        Tokens("old", 600).read(Tokens("new,old", 600).issue(USER))


def signed(claims: dict[str, object], algorithm: str = "HS256") -> str:
    return jwt.encode(claims, Tokens("key", 600)._keys[0], algorithm=algorithm)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "not a token",
        Tokens("key", 600).issue(USER, NOW - timedelta(seconds=601)),
        Tokens("other", 600).issue(USER),
        Tokens("key", 600).issue(USER)[:-2],
        signed({"sub": "user-1", "token_version": 3}),
        signed({"sub": "user-1", "exp": 9999999999}),
        signed({"exp": 9999999999, "token_version": 3}),
        signed({"sub": "user-1", "exp": 9999999999, "token_version": "3"}),
        signed({"sub": 7, "exp": 9999999999, "token_version": 3}),
        jwt.encode({"sub": "user-1", "exp": 9999999999, "token_version": 3}, "", algorithm="none"),
    ],
)
def test_anything_else_is_dead(token: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Tokens("key", 600).read(token)
    assert refused.value.code == "dead_token"
