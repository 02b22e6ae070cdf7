"""Claims of our own remote nodes: pieces that fit into their slots, of the kinds that they can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flask import g

from backend.api.answers import Reply
from backend.api.context import parts
from backend.api.schemas.children import ClaimRequest, PackageAnswer, PieceAnswer
from backend.api.sync_logging import entry
from backend.api.work_waits import NOTHING, RETRY_AFTER_SECONDS, wait_for_work
from backend.dispatch.queues import node_queue, publish_queue
from backend.domain.errors import CascadeError
from backend.domain.identifiers import new_id
from backend.domain.protocol import Capabilities, Speaker, given_kinds
from backend.domain.wire import Piece
from backend.store import beats, own_claims
from backend.store.credentials import NodeIdentity
from backend.store.own_claims import ON_PLATFORMS, Wish
from backend.store.session import transact
from backend.store.starts import Start


def claim_pieces(body: ClaimRequest, seconds: float) -> Reply[PackageAnswer | list[PieceAnswer] | None]:
    """See `claim_task`. Raises `Unauthenticated`, `Forbidden`, and `Conflict` for a second process of the node."""
    key, secret = g.node_pair
    speaker = Speaker(body.protocol or 1, body.capabilities or Capabilities())
    wish = Wish(
        claim_id=body.claim_id or new_id(),
        start=Start(body.instance),
        slots=body.slots,
        speaker=speaker,
        said=entry(""),
        api_key=key,
        api_secret=secret,
    )
    kinds = given_kinds(speaker)

    def queues_of(slug: str) -> list[str]:
        found = [node_queue(slug)] if kinds - set(ON_PLATFORMS) else []
        return [*found, *([publish_queue(slug)] if kinds & set(ON_PLATFORMS) else [])]

    found, retry_after = wait_for_work(
        lambda last: _claim(wish, queues_of, last=last), lambda node: queues_of(node.slug), seconds
    )
    if found:
        return Reply([PieceAnswer.model_validate(one) for one in found])
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if retry_after else {}
    return Reply(None, message=NOTHING, headers=headers)


def _claim(wish: Wish, queues_of: own_claims.QueuesOf, *, last: bool) -> tuple[Sequence[Piece], NodeIdentity]:
    # The entry says how long the node waited until now.
    asked, lease_seconds = replace(wish, said=entry("")), parts().children.leases.own
    answer = transact(
        parts().engine, lambda session: own_claims.claim(session, asked, queues_of, lease_seconds)
    )
    if isinstance(answer, CascadeError):
        raise answer
    node, pieces = answer
    g.node = node
    if last and not pieces:
        transact(parts().engine, lambda session: beats.count_empty_claims(session, [node.id]))
    return pieces, node
