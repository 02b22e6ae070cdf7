"""Old and new nodes and parents meet: versions, capabilities, and bodies that ignore what they don't know."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import protocol, wire
from backend.domain.orders import (
    ArticleDraft,
    Failure,
    FetchResult,
    Freeze,
    FrozenMessage,
    ItemOutcome,
    Outcome,
)
from backend.domain.ports import Lease
from backend.domain.protocol import OLDEST, PROTOCOL, Capabilities, Speaker
from backend.domain.publishing import DraftSaved, Submission

EVERYTHING = Capabilities(("account", "publish", "update"), ("rss", "wechat"), ("csdn", "zhihu"))


def test_an_older_node_beside_a_new_one_gets_the_old_kinds_only() -> None:
    old, new = Speaker(1, EVERYTHING), Speaker(PROTOCOL, EVERYTHING)

    assert protocol.given_kinds(old) == {"update"}
    assert protocol.given_kinds(new) == {"account", "publish", "update"}


def test_a_new_node_offers_an_older_parent_what_that_one_knows() -> None:
    offer = protocol.offered(EVERYTHING, parent_protocol=1)

    assert offer == Capabilities(("update",), ("rss", "wechat"), ())
    assert protocol.offered(EVERYTHING, PROTOCOL) == EVERYTHING


def test_who_is_newer_than_this_program_is_spoken_to_in_this_programs_version() -> None:
    assert protocol.agreed(PROTOCOL, PROTOCOL + 5) == PROTOCOL
    assert protocol.agreed(PROTOCOL, OLDEST - 1) is None
    assert protocol.given_kinds(Speaker(OLDEST - 1, EVERYTHING)) == frozenset()


@pytest.mark.parametrize(
    ("speaker", "kind", "platform", "code"),
    [
        (Speaker(PROTOCOL, EVERYTHING), "publish", "zhihu", None),
        (Speaker(PROTOCOL, EVERYTHING), "publish", "juejin", "node_without_platform"),
        (Speaker(PROTOCOL, Capabilities()), "publish", "zhihu", "node_without_kind"),
        (Speaker(1, EVERYTHING), "publish", "zhihu", "node_too_old_for_kind"),
        (Speaker(1, EVERYTHING), "update", "", None),
        (Speaker(0, EVERYTHING), "update", "", "protocol_too_old"),
        (Speaker(PROTOCOL, EVERYTHING), "deliver", "", "node_without_kind"),
    ],
)
def test_it_is_said_why_a_node_is_not_given_something(
    speaker: Speaker, kind: str, platform: str, code: str | None
) -> None:
    why = protocol.why_not(speaker, kind, platform)

    assert (why.code if why else None) == code
    assert why is None or "?" not in why.sentence()


@given(
    st.integers(0, PROTOCOL + 3),
    st.integers(0, PROTOCOL + 3),
    st.lists(st.sampled_from(("update", "publish", "account", "deliver", "unheard"))),
)
def test_nothing_is_given_that_was_not_offered_or_is_younger_than_either_end(
    own: int, other: int, kinds: list[str]
) -> None:
    given_kinds = protocol.given_kinds(Speaker(other, Capabilities(tuple(kinds))), own)

    assert given_kinds <= set(kinds)
    assert all(protocol.SINCE[kind] <= min(own, other) for kind in given_kinds)


def test_only_what_the_new_start_does_not_list_is_given_back() -> None:
    assert protocol.lost_by(["b", "a", "c"], ["c", "unheard"]) == ("a", "b")


BODIES: list[Any] = [
    wire.Join("t", "i", "1.0", PROTOCOL, EVERYTHING),
    wire.FullBeat("i", "1.0", "host", PROTOCOL, EVERYTHING, 2, holds=("a",)),
    wire.Heard("n", protocol=PROTOCOL, stale=("a",)),
    wire.Claim("c", "i", 3, PROTOCOL, EVERYTHING, ("a",)),
    wire.Piece("a", 1, "update", "node:x", 10, alone=True),
    wire.BeginAsk(1, "e", "i"),
    wire.Renewal((Lease("a", 1, "e"),), {"a": "3 of 7"}),
    wire.SettleAsk(1, "e", staged=3, sha256="0" * 64),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_body_comes_back_as_it_was_and_fields_of_tomorrow_do_not_matter(body: Any) -> None:
    assert wire.decode(type(body), wire.encode(body)) == body
    assert wire.from_plain(type(body), wire.plain(body) | {"of_tomorrow": [1]}) == body


def test_a_body_of_yesterday_needs_only_what_it_had() -> None:
    assert wire.from_plain(wire.FullBeat, {"instance": "i"}) == wire.FullBeat("i")
    assert wire.from_plain(wire.Heard, {"node_id": "n", "status": "alive"}).protocol == 0
    assert {one.name for one in fields(wire.Claim)} >= {"claim_id", "instance", "slots"}


@pytest.mark.parametrize(
    "progress",
    [
        Outcome(
            "a",
            1,
            "e",
            "update",
            (
                ItemOutcome("i", "f", FetchResult((ArticleDraft("k", "标题", "u"),))),
                ItemOutcome("j", "g", failure=Failure("timed_out", "too slow", retry_after=3.0)),
            ),
        ),
        Freeze({"d": FrozenMessage("t", "b")}),
        DraftSaved("17"),
        Submission(("1", "2")),
    ],
    ids=lambda progress: type(progress).__name__,
)
def test_every_checkpoint_arrives_as_it_was_sent(progress: Any) -> None:
    ask = wire.checkpoint_ask(Lease("a", 1, "e"), progress)

    assert wire.checkpoint_from(wire.decode(wire.CheckpointAsk, wire.encode(ask))) == progress
