"""How fresh a feed is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.freshness import Freshness

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = 3600.0


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (-5, "fresh"),
        (0, "fresh"),
        (HOUR - 1, "fresh"),
        (HOUR, "recent"),
        (24 * HOUR - 1, "recent"),
        (24 * HOUR, "stale"),
        (72 * HOUR - 1, "stale"),
        (72 * HOUR, "outdated"),
        (9999 * HOUR, "outdated"),
    ],
)
def test_the_limits_are_those_of_werss(age: float, status: str) -> None:
    assert Freshness().status(NOW - timedelta(seconds=age), NOW) == status


def test_a_feed_that_was_never_collected_is_unknown() -> None:
    assert Freshness().status(None, NOW) == "unknown"


@given(st.floats(-100, 10**7), st.lists(st.floats(1, 10**6), min_size=3, max_size=3, unique=True))
def test_a_feed_has_the_status_whose_ages_hold_its_own(age: float, limits: list[float]) -> None:
    freshness = Freshness(*sorted(limits))
    collected_at = NOW - timedelta(seconds=age)
    seconds = (NOW - collected_at).total_seconds()
    status = freshness.status(collected_at, NOW)
    holding = [
        name for name in freshness.limits if freshness.ages(name)[0] <= seconds < freshness.ages(name)[1]
    ]
    assert holding == [status]
