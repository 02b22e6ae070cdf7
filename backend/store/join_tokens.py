"""Tokens that nodes join with: each for one node, once, for a while. Of a token only its hash is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from backend.domain.identifiers import draw_key, hash_secret, is_key, new_id
from backend.domain.node_settings import NodeSettings
from backend.store import credentials, nodes
from backend.store.columns import now
from backend.store.credentials import Pair
from backend.store.inserting import insert_missing
from backend.store.tables import JoinToken, Node, core

TOKENS = core(JoinToken)
PREFIX = "CJ"
KEEP_SECONDS = 7 * 86_400.0
"""So long it can be said of a used or expired token that it is one."""
REPEAT_SECONDS = 120.0
"""So long the start of the node that used a token may use it again: its answer may have been lost."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token; shown this once. Drawn before the transaction that stores it, so that a repeated commit makes one."""

    id: str
    node_id: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """For which node a token was made, and until when it can be used."""

    node_id: str
    name: str
    expires_at: datetime


def draw() -> NewToken:
    """A fresh token, and an id for its node if there is none of that name yet."""
    return NewToken(new_id(), new_id(), draw_key(PREFIX))


def issue(session: Session, drawn: NewToken, name: str, *, seconds: float, actor: str) -> Issued:
    """Make the token for the remote node of that name, which is made when there is none.

    Older tokens of the node end. Raises `Conflict` for a node of the parent's own machines, and `InvalidInput`.
    """
    node = nodes.by_name(session, name) or nodes.add_remote(session, NodeSettings(name=name), drawn.node_id)
    if node.transport != "remote":
        raise Conflict("node_needs_no_token", name=node.name)
    if not node.is_active:
        raise Conflict("node_switched_off", name=node.name)
    session.execute(
        delete(TOKENS).where(TOKENS.c.node_id == node.id, TOKENS.c.used_at.is_(None), TOKENS.c.id != drawn.id)
    )
    ends = session.scalars(select(now(seconds))).one()
    row = {
        "id": drawn.id,
        "node_id": node.id,
        "secret_hash": hash_secret(drawn.token),
        "actor": actor[:100],
        "expires_at": ends,
    }
    insert_missing(session, JoinToken, [row])
    return Issued(node.id, node.name, ends)


@dataclass(frozen=True, slots=True)
class Member:
    """The node that has joined."""

    node_id: str
    name: str
    slug: str


def redeem(session: Session, token: str, instance: str, pair: Pair) -> Member | Unauthenticated:
    """Use the token: the node gets the pair, and whoever had one before loses it.

    A token that is unknown, used or over is a value here, each with its own sentence. Raises `NotFound` when its node was deleted,
    and `Forbidden` while that is switched off. The same start may ask again for a while: its answer may have been lost.
    """
    row = _known(session, token)
    if row is None:
        return Unauthenticated("join_token_unknown")
    repeats = and_(
        TOKENS.c.used_by == instance, TOKENS.c.used_by != "", TOKENS.c.used_at > now(-REPEAT_SECONDS)
    )
    used = session.execute(
        update(TOKENS)
        .where(TOKENS.c.id == row.id, TOKENS.c.expires_at > now(), or_(TOKENS.c.used_at.is_(None), repeats))
        .values(used_at=now(), used_by=instance)
    )
    if not cast("CursorResult[Any]", used).rowcount:
        # Read again, with a lock: somebody may have used it since.
        used_at = session.scalar(select(TOKENS.c.used_at).where(TOKENS.c.id == row.id).with_for_update())
        return Unauthenticated("join_token_used" if used_at else "join_token_expired")
    node = session.get(Node, row.node_id)
    if node is None:
        raise NotFound(noun="node", id=row.node_id)
    if not node.is_active:
        raise Forbidden("node_switched_off", name=node.name)
    credentials.rotate(session, node.id, pair)
    return Member(node.id, node.name, node.slug)


def _known(session: Session, token: str) -> Any:
    # Compared by hash: how far a guess is right can't be told from how long it takes.
    query = select(TOKENS.c.id, TOKENS.c.node_id).where(TOKENS.c.secret_hash == hash_secret(token))
    return session.execute(query).first() if is_key(token, PREFIX) else None
