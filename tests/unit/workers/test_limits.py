"""When a worker process is replaced by a fresh one, and what it says then."""

from __future__ import annotations

import pytest

from backend.workers.worker import Limits


@pytest.mark.parametrize(
    ("limits", "jobs", "reason"),
    [
        (Limits(1_000_000), 1, ""),
        (Limits(1_000_000, jobs=5), 4, ""),
        (Limits(1_000_000, jobs=5), 5, "it has done 5 jobs"),
        (Limits(1), 1, "MB, more than 1 (CASCADE_WORKER_MEGABYTES)"),
        (Limits(1_000_000, abandoned=lambda: 2), 1, "2 of its items never ended"),
    ],
    ids=["young", "before-its-last-job", "jobs", "memory", "hanging"],
)
def test_a_worker_is_replaced_when_it_is_old_large_or_holds_what_never_ends(
    limits: Limits, jobs: int, reason: str
) -> None:
    found = limits.reason(jobs)
    assert (reason in found) if reason else found == ""
