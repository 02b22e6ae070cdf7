"""Who is asking: the `Authorization` header as a person or a node."""

from __future__ import annotations

from backend.api.context import parts
from backend.api.node_authentication import NODE_KEY, node_by_credentials
from backend.api.person_authentication import PERSON_KEY, person_by_access_key, person_by_token
from backend.domain.errors import Unauthenticated
from backend.store.credentials import NodeIdentity
from backend.store.users import UserView

WRITERS = frozenset({"admin", "operator"})


def authenticate(header: str) -> UserView | NodeIdentity:
    """Who sends `Bearer <token>` or `AK-SK <key>:<secret>`. Raises `Unauthenticated`."""
    scheme, _, given = header.strip().partition(" ")
    if scheme.casefold() == "bearer" and given.strip():
        return person_by_token(given.strip(), parts().tokens)
    key, secret = _pair(header)
    if not key or not secret:
        raise Unauthenticated
    if key.startswith(PERSON_KEY):
        return person_by_access_key(key, secret)
    if key.startswith(NODE_KEY):
        return node_by_credentials(key, secret)
    raise Unauthenticated("dead_key")


def node_pair(header: str) -> tuple[str, str] | None:
    """Key and secret of `AK-SK <key>:<secret>` where the key is a node's; nothing says yet that they are right."""
    key, secret = _pair(header)
    return (key, secret) if key.startswith(NODE_KEY) and secret else None


def _pair(header: str) -> tuple[str, str]:
    scheme, _, given = header.strip().partition(" ")
    key, _, secret = given.strip().partition(":")
    return (key, secret) if scheme.casefold() == "ak-sk" else ("", "")


def may_see_secrets(user: UserView) -> bool:
    """Whether receivers' addresses, headers and cookies are shown in clear."""
    return user.role in WRITERS
