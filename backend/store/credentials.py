"""The AK/SK pairs of remote nodes: making, rotating, and knowing a node by its pair."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, Forbidden, NotFound
from backend.domain.identifiers import draw_key, hash_secret, new_id
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import Node, NodeCredential, core

CREDENTIALS, NODES = core(NodeCredential), core(Node)
KEY_PREFIX = "CN"
SECRET_PREFIX = "CS"  # noqa: S105  (a prefix is no secret)
# What an unknown key's secret is compared with, so that it takes as long as a known key's.
NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Pair:
    """A new pair; the secret is shown this once and never stored. Drawn before the transaction that stores it."""

    id: str
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The node that is asking. `instance` is empty for one whose beats never carried any (a third-party node)."""

    id: str
    name: str
    slug: str
    transport: str
    instance: str
    max_capacity: int = 0
    draining: bool = False


def new_pair() -> Pair:
    """Draw a pair: 62^32 possibilities each."""
    return Pair(new_id(), draw_key(KEY_PREFIX), draw_key(SECRET_PREFIX))


def rotate(session: Session, node_id: str, pair: Pair, *, grace_seconds: float = 0.0) -> None:
    """Make `pair` the node's current one; older ones end after the grace (0: at once) and never live longer for it.

    Again with the same pair it changes nothing. Raises `NotFound`, and `Conflict` for a node without HTTP.
    """
    node = session.get(Node, node_id, with_for_update=True)
    if node is None:
        raise NotFound(noun="node", id=node_id)
    if node.transport != "remote":
        raise Conflict("node_needs_no_credentials", name=node.name)
    row = {
        "id": pair.id,
        "node_id": node_id,
        "api_key": pair.api_key,
        "secret_hash": hash_secret(pair.api_secret),
    }
    insert_missing(session, NodeCredential, [row])
    older = (NodeCredential.node_id == node_id, NodeCredential.id != pair.id)
    end = now(grace_seconds)
    unbounded = or_(NodeCredential.expires_at.is_(None), NodeCredential.expires_at > end)
    session.execute(
        update(NodeCredential).where(*older, unbounded).values(expires_at=end),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        delete(NodeCredential).where(*older, NodeCredential.expires_at <= now()),
        execution_options={"synchronize_session": False},
    )


def authenticate(session: Session, api_key: str, secret: str) -> NodeIdentity | None:
    """The node of that pair; `None` for an unknown key, a wrong secret or an ended pair.

    Raises `Forbidden` for a node that is switched off: only its own pair learns that.
    """
    found = authenticate_many(session, [(api_key, secret)])[0]
    if isinstance(found, Forbidden):
        raise found
    return found


def authenticate_many(
    session: Session, pairs: Sequence[tuple[str, str]]
) -> list[NodeIdentity | Forbidden | None]:
    """For each pair what `authenticate` says, with what it raises as a value; one look for all of them."""
    valid = or_(CREDENTIALS.c.expires_at.is_(None), CREDENTIALS.c.expires_at > now())
    query = (
        select(
            CREDENTIALS.c.api_key,
            CREDENTIALS.c.secret_hash,
            NODES.c.id,
            NODES.c.name,
            NODES.c.slug,
            NODES.c.transport,
            NODES.c.instance,
            NODES.c.is_active,
            NODES.c.max_capacity,
            NODES.c.draining,
        )
        .join(NODES, NODES.c.id == CREDENTIALS.c.node_id)
        # Ours are ASCII, and databases refuse to compare an ASCII column with anything else.
        .where(CREDENTIALS.c.api_key.in_({key for key, _ in pairs if key.isascii()}), valid)
    )
    rows = {row.api_key: row for row in session.execute(query)}
    return [_verdict(rows.get(key), secret) for key, secret in pairs]


def _verdict(row: Any, secret: str) -> NodeIdentity | Forbidden | None:
    known = hmac.compare_digest(hash_secret(secret), NO_HASH if row is None else row.secret_hash)
    if row is None or not known:
        return None
    if not row.is_active:
        return Forbidden("node_switched_off", name=row.name)
    return NodeIdentity(
        row.id, row.name, row.slug, row.transport, row.instance, row.max_capacity, row.draining
    )


def current_keys(session: Session, node_id: str | None = None) -> dict[str, str]:
    """By node, the key of its current pair; of one node, or of all."""
    query = select(NodeCredential.node_id, NodeCredential.api_key).where(NodeCredential.expires_at.is_(None))
    if node_id is not None:
        query = query.where(NodeCredential.node_id == node_id)
    return {row.node_id: row.api_key for row in session.execute(query)}


def valid_hashes(session: Session, node_id: str) -> list[str]:
    """The secret hashes of the node's valid pairs, the current one first: what notifications are signed with."""
    query = (
        select(NodeCredential.secret_hash)
        .where(
            NodeCredential.node_id == node_id,
            or_(NodeCredential.expires_at.is_(None), NodeCredential.expires_at > now()),
        )
        .order_by(NodeCredential.created_at.desc(), NodeCredential.id.desc())
    )
    return list(session.scalars(query))


def forget(session: Session, node_id: str) -> None:
    """Delete every pair of the node: with this commit none is accepted."""
    session.execute(
        delete(NodeCredential).where(NodeCredential.node_id == node_id),
        execution_options={"synchronize_session": False},
    )
