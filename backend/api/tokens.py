"""Login tokens: JWTs signed with a key of their own, derived from the secret key.

What browsers keep in a cookie is signed with another key: neither is worth anything in the other's place.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from backend.domain.errors import Unauthenticated
from backend.store.cipher import SecretKeys
from backend.store.users import UserView

ALGORITHM = "HS256"
REQUIRED = ["sub", "login", "exp", "token_version"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says; the user's row decides whether it is still true."""

    user_id: str
    login_id: str
    token_version: int
    expires_at: datetime


class Tokens:
    """Signs with the first of the secret keys, accepts any of them; tokens live `seconds`."""

    def __init__(self, secret_key: str | SecretKeys, seconds: float, purpose: str = "token") -> None:
        self._source = secret_key if isinstance(secret_key, SecretKeys) else SecretKeys(secret_key)
        self._purpose = purpose
        self.seconds = int(seconds)

    @property
    def _keys(self) -> list[bytes]:
        return [_derive(key, self._purpose) for key in self._source.current()]

    def expiry(self, now: datetime | None = None) -> datetime:
        """When a token expires that is handed out now."""
        return (now or datetime.now(UTC)) + timedelta(seconds=self.seconds)

    def issue(self, user: UserView, login_id: str, expires_at: datetime) -> str:
        """A token of the user as it is now, for one login."""
        claims = {
            "sub": user.id,
            "login": login_id,
            "role": user.role,
            "token_version": user.token_version,
            "iat": expires_at - timedelta(seconds=self.seconds),
            "exp": expires_at,
        }
        return jwt.encode(claims, self._keys[0], algorithm=ALGORITHM)

    def read(self, token: str) -> Claims:
        """The token's claims. Raises `Unauthenticated` for one that is not ours, or has expired."""
        for key in self._keys:
            try:
                claims = jwt.decode(token, key, algorithms=[ALGORITHM], options={"require": REQUIRED})
            except jwt.InvalidTokenError:
                continue
            return _claims(claims)
        raise Unauthenticated("dead_token")

    def seal(self, *words: str) -> str:
        """A proof that the words are ours; it can't be made without the secret key."""
        return self._seal(self._keys[0], words)

    def is_seal(self, given: str, *words: str) -> bool:
        """Whether it is the seal of these words, by any of the keys."""
        return any(hmac.compare_digest(self._seal(key, words).encode(), given.encode()) for key in self._keys)

    @staticmethod
    def _seal(key: bytes, words: tuple[str, ...]) -> str:
        return hmac.new(key, "\0".join(words).encode(), hashlib.sha256).hexdigest()


def _claims(claims: dict[str, object]) -> Claims:
    version, login_id, expires = claims["token_version"], claims["login"], claims["exp"]
    if not isinstance(version, int) or not isinstance(login_id, str) or not isinstance(expires, int | float):
        raise Unauthenticated("dead_token")
    return Claims(str(claims["sub"]), login_id, version, datetime.fromtimestamp(expires, UTC))


def _derive(key: str, purpose: str) -> bytes:
    return hashlib.sha256(f"cascade-{purpose}:{key}".encode()).digest()
