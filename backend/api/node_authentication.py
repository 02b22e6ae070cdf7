"""Nodes: by their key and secret."""

from __future__ import annotations

from backend.api.context import parts
from backend.domain.errors import Unauthenticated
from backend.store import credentials
from backend.store.credentials import NodeIdentity
from backend.store.session import read

NODE_KEY = credentials.KEY_PREFIX


def node_by_credentials(key: str, secret: str) -> NodeIdentity:
    """Which node has these credentials. Raises `Unauthenticated`, and `Forbidden` for a node that is switched off."""
    node = read(parts().engine, lambda session: credentials.authenticate(session, key, secret))
    if node is None:
        raise Unauthenticated("dead_key")
    return node
