"""How a child comes back to its parent."""

from __future__ import annotations

import pytest

from backend.domain.wire import Heard
from backend.store.recovery import DRAIN_SECONDS
from backend.workers.contact import Contact
from backend.workers.presence import BEAT_SECONDS


@pytest.mark.parametrize("lease_seconds", [3.0, 6.0, 15.0, 45.0, 3600.0])
def test_what_was_kept_is_told_before_the_parent_gives_it_to_others(lease_seconds: float) -> None:
    now = 1000.0
    contact = Contact(clock=lambda: now, roll=lambda: 0.999)
    contact.failed()
    now += 86_400.0
    # The parent was back just after a beat had failed: the next one comes a whole period later.
    contact.answered(Heard("node-1", protocol=2, lease_seconds=lease_seconds))
    waits = contact.drain_after - now
    assert 0.0 < waits <= 30.0
    assert BEAT_SECONDS + waits < lease_seconds + DRAIN_SECONDS
