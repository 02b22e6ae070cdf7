"""Roles, and the access keys of scripts."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.domain.identifiers import draw_key, is_key

# From the most to the least.
ROLES = ("admin", "operator", "viewer")
ACCESS_KEY_PREFIX = "WK"
SECRET_PREFIX = "SK"  # noqa: S105  (a prefix is no secret)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key and its secret, which is shown once and never stored."""

    access_key: str
    secret: str = field(repr=False)


def lesser_role(first: str, second: str) -> str:
    """The one of two roles that may do less."""
    return max(first, second, key=ROLES.index)


def draw_key_pair() -> KeyPair:
    """A new pair: 62^32 possibilities each."""
    return KeyPair(draw_key(ACCESS_KEY_PREFIX), draw_key(SECRET_PREFIX))


def parse_key_pair(text: str) -> KeyPair | None:
    """The pair in `WK…:SK…`; `None` for anything else, before a database is asked."""
    access_key, _, secret = text.strip().partition(":")
    if is_key(access_key, ACCESS_KEY_PREFIX) and is_key(secret, SECRET_PREFIX):
        return KeyPair(access_key, secret)
    return None
