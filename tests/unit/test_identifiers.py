"""Identifiers: slugs fit into queue names, ids sort by time, digests keep their parts apart."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.dispatch.queues import check_queue_name, node_queue
from backend.domain.identifiers import SLUG, digest, new_id, slug_for

NODE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("node-1", "node-1"),
        ("Beijing 1", "beijing-1"),
        ("  Shanghai__2! ", "shanghai-2"),
        ("Zürich", "zurich"),
        ("北京 node 3", "node-3"),
        ("ＡＢＣ", "abc"),
        ("北京", "n-b302099a8057"),
        ("123", "n-b302099a8057"),
        ("---", "n-b302099a8057"),
        ("Parent", "n-b302099a8057"),
        ("a" * 60, "a" * 48),
        ("a" * 47 + "-b", "a" * 47),
    ],
)
def test_a_slug_comes_from_the_ascii_letters_of_the_name(name: str, slug: str) -> None:
    assert slug_for(name, NODE_ID) == slug


@given(st.text(max_size=120))
def test_every_name_gives_a_slug_that_a_queue_may_be_called_by(name: str) -> None:
    slug = slug_for(name, NODE_ID)
    assert SLUG.match(slug)
    assert slug != "parent"
    assert re.search("[a-z]", slug)
    assert check_queue_name(node_queue(slug), [node_queue(slug)]) == f"node:{slug}"


def test_ids_are_uuids_of_version_seven_and_sort_by_their_making() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(set(made))
    assert {uuid.UUID(one).version for one in made} == {7}


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_digests_are_equal_only_for_equal_parts(left: list[str], right: list[str]) -> None:
    assert (digest(*left) == digest(*right)) == (left == right)
    assert re.fullmatch("[0-9a-f]{64}", digest(*left))


def test_parts_of_a_digest_cannot_run_into_each_other() -> None:
    assert (
        len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", ""), digest("", "abc")}) == 5
    )


def test_half_a_character_from_a_broken_feed_still_has_a_digest() -> None:
    assert digest("\ud83d") != digest("?")
