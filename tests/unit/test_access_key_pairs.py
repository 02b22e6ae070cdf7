"""The pairs of access keys, and what a key leaves of a role."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.people import ROLES, draw_key_pair, lesser_role, parse_key_pair

PAIR = f"WK{'a' * 32}:SK{'B' * 32}"


def test_a_drawn_pair_is_read_back_and_does_not_show_its_secret() -> None:
    pair = draw_key_pair()
    assert parse_key_pair(f" {pair.access_key}:{pair.secret} ") == pair
    assert pair != draw_key_pair()
    assert pair.secret not in repr(pair)


@pytest.mark.parametrize(
    "text", ["", ":", PAIR + "x", PAIR[1:], PAIR.replace(":", ""), PAIR.replace("a", "é"), PAIR.lower()]
)
def test_what_is_no_pair_is_refused_before_a_database_is_asked(text: str) -> None:
    assert parse_key_pair(text) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading(text: str) -> None:
    pair = parse_key_pair(text)
    assert pair is None or f"{pair.access_key}:{pair.secret}" == text.strip()


@given(st.sampled_from(ROLES), st.sampled_from(ROLES))
def test_the_lesser_of_two_roles_may_do_no_more_than_either(first: str, second: str) -> None:
    lesser = lesser_role(first, second)
    assert lesser == lesser_role(second, first)
    assert ROLES.index(lesser) == max(ROLES.index(first), ROLES.index(second))
