"""Login tokens: JWTs signed with a key of their own, derived from the secret key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from backend.domain.errors import Unauthenticated
from backend.store.users import UserView

ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says; the user's row decides whether it is still true."""

    user_id: str
    token_version: int


class Tokens:
    """Signs with the first of the comma-separated secret keys, accepts any of them; tokens live `seconds`."""

    def __init__(self, secret_key: str, seconds: float) -> None:
        self._keys = [_derive(key.strip()) for key in secret_key.split(",") if key.strip()]
        self.seconds = int(seconds)

    def issue(self, user: UserView, now: datetime | None = None) -> str:
        """A token of the user as it is now."""
        issued = now or datetime.now(UTC)
        claims = {
            "sub": user.id,
            "role": user.role,
            "token_version": user.token_version,
            "iat": issued,
            "exp": issued + timedelta(seconds=self.seconds),
        }
        return jwt.encode(claims, self._keys[0], algorithm=ALGORITHM)

    def read(self, token: str) -> Claims:
        """The token's claims. Raises `Unauthenticated` for one that is not ours, or has expired."""
        for key in self._keys:
            try:
                claims = jwt.decode(
                    token, key, algorithms=[ALGORITHM], options={"require": ["sub", "exp", "token_version"]}
                )
            except jwt.InvalidTokenError:
                continue
            return _claims(claims)
        raise Unauthenticated("dead_token")


def _claims(claims: dict[str, object]) -> Claims:
    version = claims["token_version"]
    if not isinstance(version, int):
        raise Unauthenticated("dead_token")
    return Claims(str(claims["sub"]), version)


def _derive(key: str) -> bytes:
    return hashlib.sha256(b"cascade-token:" + key.encode()).digest()
