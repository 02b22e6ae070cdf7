"""Who is asking: the `Authorization` header as a person or a node."""

from __future__ import annotations

from backend.api.node_authentication import NODE_KEY, node_by_credentials
from backend.api.person_authentication import PERSON_KEY, person_by_access_key, person_by_token
from backend.domain.errors import Unauthenticated
from backend.store.credentials import NodeIdentity
from backend.store.users import UserView

WRITERS = frozenset({"admin", "operator"})


def authenticate(header: str) -> UserView | NodeIdentity:
    """Who sends `Bearer <token>` or `AK-SK <key>:<secret>`. Raises `Unauthenticated`."""
    scheme, _, given = header.strip().partition(" ")
    given = given.strip()
    if scheme.casefold() == "bearer" and given:
        return person_by_token(given)
    key, _, secret = given.partition(":")
    if scheme.casefold() != "ak-sk" or not key or not secret:
        raise Unauthenticated
    if key.startswith(PERSON_KEY):
        return person_by_access_key(key, secret)
    if key.startswith(NODE_KEY):
        return node_by_credentials(key, secret)
    raise Unauthenticated("dead_key")


def may_see_secrets(user: UserView) -> bool:
    """Whether receivers' addresses, headers and cookies are shown in clear."""
    return user.role in WRITERS
