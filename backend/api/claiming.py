"""Claims, written in groups: one transaction knows many nodes and takes the work of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.api.grouping import Groups
from backend.dispatch.queues import node_queue
from backend.domain.errors import CascadeError, Unavailable
from backend.domain.identifiers import new_id
from backend.store import beats, claims
from backend.store.cipher import Cipher
from backend.store.claims import Ask, Claimant, Claimed, Turn
from backend.store.credentials import NodeIdentity
from backend.store.session import transact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leases:
    """How long leases hold, in seconds: for our own nodes, and for those of others."""

    own: float
    others: float

    def seconds_for(self, node: NodeIdentity) -> float:
        """WeRSS children get long leases, because they renew them by chance only."""
        return self.own if node.instance else self.others


class Claiming:
    """Takes claims from many threads."""

    def __init__(self, engine: Engine, cipher: Cipher, leases: Leases) -> None:
        self._engine = engine
        self._cipher = cipher
        self._leases = leases
        self._groups: Groups[Ask, Claimed] = Groups(self._write)

    def take(self, ask: Ask) -> Claimed:
        """Know the node and take its work. Raises `Unauthenticated`, `Forbidden` and `Unavailable`."""
        return self._groups.ask(ask)

    def _write(self, group: Sequence[Ask]) -> Sequence[Claimed | CascadeError]:
        turn, tries = new_id(), count()

        def take(session: Session) -> list[Claimed | CascadeError]:
            # Only a repeated transaction may have taken something already, whose answer was lost.
            return claims.claim(session, group, self._cipher, self._claimant, Turn(turn, next(tries) > 0))

        answers = transact(self._engine, take)
        self._count_empty(
            [
                answer.node.id
                for ask, answer in zip(group, answers, strict=True)
                if ask.last and isinstance(answer, Claimed) and not answer.packages
            ]
        )
        return answers

    def _claimant(self, node: NodeIdentity) -> Claimant:
        return Claimant(node.id, node_queue(node.slug), self._leases.seconds_for(node))

    def _count_empty(self, node_ids: Sequence[str]) -> None:
        # Apart from the claims: beats lock nodes and then allocations, and these would come the other way round.
        if not node_ids:
            return
        try:
            transact(self._engine, lambda session: beats.count_empty_claims(session, node_ids))
        except (Unavailable, DBAPIError) as error:
            # The others' work is taken already, and its leases run: they must get it.
            log.warning("empty claims could not be counted: %s", type(error).__name__)
