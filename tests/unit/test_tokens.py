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
# Longer than the suite may take: it starts when this module is read.
LIFE = 6 * 3600
USER = UserView("user-1", "ana", "admin", is_active=True, token_version=3, created_at=NOW)


def issued(keys: str, ends: datetime = NOW + timedelta(seconds=LIFE)) -> str:
    """A token of the user."""
    return Tokens(keys, LIFE).issue(USER, "login-1", ends)


def test_a_token_says_who_and_which_version() -> None:
    ends = NOW.replace(microsecond=0) + timedelta(seconds=LIFE)
    tokens = Tokens("key", LIFE)
    assert tokens.read(tokens.issue(USER, "login-1", ends)) == Claims("user-1", "login-1", 3, ends)


def test_a_token_carries_role_and_end_of_life() -> None:
    tokens = Tokens("key", LIFE)
    token = tokens.issue(USER, "login-1", tokens.expiry(NOW))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["role"] == "admin"
    assert claims["exp"] == int((NOW + timedelta(seconds=LIFE)).timestamp())
    assert set(claims) == {"sub", "login", "role", "token_version", "iat", "exp"}


def test_after_a_key_rotation_older_tokens_live_on_until_the_old_key_goes() -> None:
    old = issued("old")
    assert Tokens("new, old", LIFE).read(old).user_id == "user-1"
    with pytest.raises(Unauthenticated):
        Tokens("new", LIFE).read(old)
    with pytest.raises(Unauthenticated):
        Tokens("old", LIFE).read(issued("new,old"))


CLAIMS = {"sub": "user-1", "login": "login-1", "exp": 9999999999, "token_version": 3}


def signed(claims: Mapping[str, object], algorithm: str = "HS256") -> str:
    return jwt.encode(dict(claims), Tokens("key", LIFE)._keys[0], algorithm=algorithm)


def test_a_signed_token_with_every_claim_is_read() -> None:
    assert Tokens("key", LIFE).read(signed(CLAIMS)).login_id == "login-1"


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
        Tokens("key", LIFE).read(token)
    assert refused.value.code == "dead_token"
