"""Retries: waits within bounds, never earlier than asked, and nothing that can't succeed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.orders import Failure
from backend.domain.retry import (
    MAXIMUM_WAIT_SECONDS,
    AskAPerson,
    GiveUp,
    RetryIn,
    RetryPolicy,
    decide_delivery,
    decide_item,
    restart_wait,
)

POLICY = RetryPolicy(attempts=4, base_seconds=5.0)
chances = st.floats(0, 1, exclude_max=True)


def failure(**values: object) -> Failure:
    return Failure("code", "message", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (1, 0.5, 5.0),  # 5 * 2^0 * 1.0
        (1, 0.0, 2.5),  # 5 * 2^0 * 0.5
        (2, 0.5, 10.0),  # 5 * 2^1 * 1.0
        (3, 0.0, 10.0),  # 5 * 2^2 * 0.5
        (3, 0.9, 28.0),  # 5 * 2^2 * 1.4
    ],
)
def test_the_wait_doubles_and_is_spread(attempt: int, chance: float, seconds: float) -> None:
    decision = POLICY.decide(failure(), attempt, chance)
    assert isinstance(decision, RetryIn)
    assert decision.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("attempt", [4, 5, 100])
def test_spent_attempts_end_it(attempt: int) -> None:
    assert POLICY.decide(failure(), attempt, 0.5) == GiveUp()


def test_a_run_waits_an_hour_at_most_for_one_feed_and_deliveries_wait_as_long_as_they_must() -> None:
    assert decide_item(POLICY, failure(retry_after=3600.0), 1, 0.5) == RetryIn(3600.0)
    assert decide_item(POLICY, failure(retry_after=3601.0), 1, 0.5) == GiveUp()
    decision = decide_delivery(POLICY, failure(retry_after=3601.0), 1, 0.5, repeatable=True)
    assert decision == RetryIn(3601.0)


def test_a_permanent_failure_ends_it_at_the_first_attempt() -> None:
    assert POLICY.decide(failure(permanent=True, retry_after=3.0), 1, 0.5) == GiveUp()


@given(st.integers(1, 60), chances, st.floats(0.1, 3600), st.none() | st.floats(0, 1e6))
def test_waits_stay_in_their_bounds_and_never_below_what_was_asked(
    attempt: int, chance: float, base: float, asked: float | None
) -> None:
    decision = RetryPolicy(attempts=1000, base_seconds=base).decide(
        failure(retry_after=asked), attempt, chance
    )
    assert isinstance(decision, RetryIn)
    assert decision.seconds >= (asked or 0.0)
    assert (
        min(base * 0.5, MAXIMUM_WAIT_SECONDS) <= decision.seconds <= max(MAXIMUM_WAIT_SECONDS, asked or 0.0)
    )


@given(chances, st.integers(1, 4), st.booleans(), st.booleans(), st.booleans())
def test_a_delivery_that_may_have_arrived_is_repeated_only_where_a_repeat_is_recognised(
    chance: float, attempt: int, permanent: bool, ambiguous: bool, repeatable: bool
) -> None:
    found = failure(permanent=permanent, ambiguous=ambiguous)
    decision = decide_delivery(POLICY, found, attempt, chance, repeatable=repeatable)
    if ambiguous and not repeatable:
        assert decision == AskAPerson()
    else:
        assert decision == POLICY.decide(found, attempt, chance)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (50, 30.0)],
)
def test_a_part_that_keeps_dying_is_restarted_ever_more_slowly(failures: int, seconds: float) -> None:
    assert restart_wait(failures, 0.5) == pytest.approx(seconds)


@given(st.integers(0, 2000), chances)
def test_a_restart_never_waits_longer_than_forty_seconds(failures: int, chance: float) -> None:
    assert 0.3 < restart_wait(failures, chance) < 40
