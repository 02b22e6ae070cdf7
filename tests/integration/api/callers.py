"""Everybody who may ask: people of each role, nodes, and those whose credentials are no good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.domain.identifiers import new_id
from backend.store import credentials, nodes
from backend.store.credentials import Pair
from backend.store.session import transact
from tests.integration.api.harness import Api

ROLES = ("viewer", "operator", "admin")
LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Callers:
    """A user of each role, two nodes, and one pair that was rotated away."""

    api: Api
    node_id: str
    node: Pair
    other_node: Pair
    revoked: Pair

    def header(self, caller: str) -> dict[str, str]:
        """What the caller sends; people with a fresh login each time, because some routes end logins."""
        if caller == "no token":
            return {}
        if caller == "expired":
            return self._bearer("admin", -LIFE)
        pairs = {"node": self.node, "other node": self.other_node, "revoked key": self.revoked}
        if caller in pairs:
            pair = pairs[caller]
            return {"Authorization": f"AK-SK {pair.api_key}:{pair.api_secret}"}
        return self._bearer(caller, LIFE)

    def _bearer(self, role: str, life: timedelta) -> dict[str, str]:
        token = self.api.issue(f"a-{role}", self.api.parts.tokens, datetime.now(UTC) + life)
        return {"Authorization": f"Bearer {token}"}


CALLERS = ("no token", "expired", *ROLES, "node", "other node", "revoked key")


def register(api: Api) -> Callers:
    """Everybody, on an empty database."""
    for role in ROLES:
        api.add_user(f"a-{role}", role)
    revoked, node = credentials.new_pair(), credentials.new_pair()
    node_id = _remote(api, "first", revoked, node)
    other = credentials.new_pair()
    _remote(api, "second", other)
    return Callers(api, node_id, node, other, revoked)


def _remote(api: Api, name: str, *pairs: Pair) -> str:
    node_id = new_id()
    transact(
        api.engine,
        lambda session: nodes.create_node(session, name=name, transport="remote", node_id=node_id),
    )
    for pair in pairs:
        transact(api.engine, lambda session, pair=pair: credentials.rotate(session, node_id, pair))  # type: ignore[misc]
    return node_id
