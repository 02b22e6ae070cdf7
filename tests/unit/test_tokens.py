"""Login tokens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from backend.api.tokens import Claims, Tokens
from backend.domain.errors import Unauthenticated
from backend.store.users import UserView

NOW = datetime.now(UTC)
USER = UserView("user-1", "ana", "admin", is_active=True, token_version=3, created_at=NOW)


def issued(keys: str, ends: datetime = NOW + timedelta(seconds=600)) -> str:
    """A token of the user."""
    return Tokens(keys, 600).issue(USER, "login-1", ends)


def test_a_token_says_who_and_which_version() -> None:
    ends = NOW.replace(microsecond=0) + timedelta(seconds=60)
    tokens = Tokens("key", 600)
    assert tokens.read(tokens.issue(USER, "login-1", ends)) == Claims("user-1", "login-1", 3, ends)


def test_a_token_carries_role_and_end_of_life() -> None:
    tokens = Tokens("key", 600)
    token = tokens.issue(USER, "login-1", tokens.expiry(NOW))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["role"] == "admin"
    assert claims["exp"] == int((NOW + timedelta(seconds=600)).timestamp())
    assert set(claims) == {"sub", "login", "role", "token_version", "iat", "exp"}


def test_after_a_key_rotation_older_tokens_live_on_until_the_old_key_goes() -> None:
    old = issued("old")
    assert Tokens("new, old", 600).read(old).user_id == "user-1"
    with pytest.raises(Unauthenticated):
        Tokens("new", 600).read(old)
    with pytest.raises(Unauthenticated):
        Tokens("old", 600).read(issued("new,old"))


CLAIMS = {"sub": "user-1", "login": "login-1", "exp": 9999999999, "token_version": 3}


def signed(claims: Mapping[str, object], algorithm: str = "HS256") -> str:
    return jwt.encode(dict(claims), Tokens("key", 600)._keys[0], algorithm=algorithm)


def test_a_signed_token_with_every_claim_is_read() -> None:
    assert Tokens("key", 600).read(signed(CLAIMS)).login_id == "login-1"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "not a token",
        issued("key", NOW - timedelta(seconds=1)),
        issued("other"),
        issued("key")[:-2],
        *(signed({name: value for name, value in CLAIMS.items() if name != missing}) for missing in CLAIMS),
        signed(CLAIMS | {"token_version": "3"}),
        signed(CLAIMS | {"sub": 7}),
        signed(CLAIMS | {"login": 7}),
        jwt.encode(CLAIMS, "", algorithm="none"),
    ],
    ids=lambda _token: (
        "token"
    ),  # tokens hold the time: processes that share the tests must call them the same
)
def test_anything_else_is_dead(token: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Tokens("key", 600).read(token)
    assert refused.value.code == "dead_token"
