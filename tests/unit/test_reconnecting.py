"""When children come back: bounded, never earlier than asked, and never all at once."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.reconnecting import Backoff, return_wait, staggered

ROLLS = st.floats(0, 1, exclude_max=True)
CHILDREN = 500


@given(st.integers(1, 10_000), ROLLS)
def test_a_wait_lies_anywhere_up_to_a_limit_that_doubles_and_is_bounded(failures: int, roll: float) -> None:
    backoff = Backoff(base=0.5, longest=60)
    assert 0 <= backoff.wait(failures, roll) <= backoff.limit(failures) <= 60
    assert backoff.limit(failures + 1) == min(60, 2 * backoff.limit(failures))


@given(st.integers(1, 100), ROLLS, st.floats(0, 3600))
def test_what_the_parent_asked_for_is_waited_at_least_and_stretched(
    failures: int, roll: float, asked: float
) -> None:
    wait = Backoff().wait(failures, roll, asked)
    assert asked <= wait <= asked + max(60.0, asked / 2)


@given(st.floats(0, 1e6), ROLLS)
def test_the_return_is_spread_no_longer_than_the_absence_and_than_half_a_minute(
    away: float, roll: float
) -> None:
    assert 0 <= return_wait(away, roll) <= min(away, 30)


@given(st.floats(1, 3600), ROLLS)
def test_what_comes_regularly_comes_a_little_earlier_or_later(every: float, roll: float) -> None:
    assert 0.95 * every <= staggered(every, roll) <= 1.05 * every


def busiest_second(outage: float, seed: int) -> int:
    """How many of 500 children, whose polls were all cut at once, ask first in the same second once the parent is back."""
    draw, backoff = random.Random(seed), Backoff(base=3.0, longest=60.0)  # noqa: S311
    first: Counter[int] = Counter()
    for _ in range(CHILDREN):
        at, failures = 0.0, 0
        while at <= outage:
            failures += 1
            at += backoff.wait(failures, draw.random())
        first[int(at - outage)] += 1
    return max(first.values())


@pytest.mark.parametrize(("outage", "most"), [(0.5, 300), (5, 150), (30, 60), (120, 40), (3600, 40)])
def test_five_hundred_children_do_not_come_back_in_the_same_second(outage: float, most: int) -> None:
    assert max(busiest_second(outage, seed) for seed in range(5)) < most
