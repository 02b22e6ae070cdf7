"""Work whose execution is over for sure: given to others at once, each piece in a transaction of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backend.api.context import parts
from backend.dispatch.queues import try_wake
from backend.store import recovery
from backend.store.deaths import Orphan
from backend.store.session import transact

log = logging.getLogger(__name__)


def give_back(orphans: Sequence[Orphan]) -> int:
    """Recover these, as far as they are still theirs; how many. Raises `Unavailable`: whoever tells of them tells again."""
    attempts = parts().children.terms.deliveries.retry.attempts
    recovered = 0
    for one in orphans:
        if transact(parts().engine, lambda session, one=one: recovery.recover(session, one, attempts)):  # type: ignore[misc]
            recovered += 1
            log.warning("gave back %s allocation %s: %s", one.kind, one.allocation_id, one.cause)
    if recovered:
        try_wake(parts().redis)
    return recovered
