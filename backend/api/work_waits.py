"""A claim that waits for work to come: it holds no connection meanwhile, and takes nothing for a child that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import request

from backend.api.context import parts
from backend.api.waiting import hang_up_of
from backend.store.credentials import NodeIdentity

RETRY_AFTER_SECONDS = 5
NOTHING = "nothing_pending"

Work = TypeVar("Work")
Claim = Callable[[bool], tuple[Sequence[Work], NodeIdentity]]


def wait_for_work(
    claim: Claim[Work], queues_of: Callable[[NodeIdentity], Sequence[str]], seconds: float
) -> tuple[Sequence[Work], bool]:
    """What was claimed, and whether there was no place to wait in. `claim` hears whether it is the last look."""
    deadline, waits = time.monotonic() + seconds, parts().children.waits
    # Whoever can't wait has asked once; so many may be told to come again that each of these calls must be cheap.
    found, node = claim(seconds <= 0 or waits.full)
    if found or seconds <= 0:
        return found, False
    hung_up = hang_up_of(request.environ)
    with waits.place(*queues_of(node)) as event:
        if event is None:
            return [], True
        while waits.wait(event, deadline, hung_up) and not hung_up():
            found, _ = claim(False)
            if found:
                return found, False
    if not hung_up():
        # Work of the last moment; nobody takes work for a child that is gone.
        found, _ = claim(True)
    return found, False
