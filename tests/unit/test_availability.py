"""When a node is online, when it gets work, and the reason when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.nodes import (
    NodeFacts,
    availability,
    collected_kinds,
    is_gone,
    why_feeds_wait,
)

FACTS = NodeFacts(
    id="1",
    name="n",
    slug="n",
    node_type=1,
    transport="attached",
    is_active=True,
    draining=False,
    kinds=("update",),
    in_flight=3,
    max_capacity=10,
    silent_seconds=1.0,
)


@pytest.mark.parametrize(
    ("changes", "online", "available", "reason"),
    [
        ({}, True, True, ""),
        ({"silent_seconds": 44.9}, True, True, ""),
        ({"silent_seconds": 45.0}, True, False, "silent for 45 s"),
        ({"silent_seconds": 179.9}, True, False, "silent for 180 s"),
        ({"silent_seconds": 180.0}, False, False, "silent for 180 s"),
        ({"silent_seconds": None}, False, False, "not running"),
        ({"draining": True}, True, False, "draining"),
        ({"workers_alive": 0}, True, False, "none of its workers runs"),
        ({"workers_alive": 0, "transport": "remote"}, True, True, ""),
        ({"is_active": False}, False, False, "switched off"),
        ({"in_flight": 9}, True, True, ""),
        ({"in_flight": 10}, True, False, "full: 10/10"),
        ({"in_flight": 12}, True, False, "full: 12/10"),
        ({"is_active": False, "draining": True, "in_flight": 10}, False, False, "switched off"),
        ({"silent_seconds": 60.0, "in_flight": 10}, True, False, "silent for 60 s"),
        # A remote node of ours: it sends an instance, and is present every 15 s like an attached one.
        ({"transport": "remote", "instance": "i", "silent_seconds": 44.9}, True, True, ""),
        ({"transport": "remote", "instance": "i", "silent_seconds": 45.0}, True, False, "silent for 45 s"),
        ({"transport": "remote", "instance": "i", "silent_seconds": None}, False, False, "not running"),
        # A third-party node: the seeds' 180 s alone.
        ({"transport": "remote", "silent_seconds": 45.0}, True, True, ""),
        ({"transport": "remote", "silent_seconds": 179.9}, True, True, ""),
        ({"transport": "remote", "silent_seconds": 180.0}, False, False, "silent for 180 s"),
        ({"transport": "remote", "silent_seconds": 179.0, "in_flight": 10}, True, False, "full: 10/10"),
        ({"transport": "remote", "silent_seconds": 100.0, "draining": True}, True, False, "draining"),
        ({"transport": "remote", "is_active": False}, False, False, "switched off"),
        # An instance or its absence says nothing about attached nodes: they are always ours.
        ({"instance": "", "silent_seconds": 100.0}, True, False, "silent for 100 s"),
    ],
)
def test_a_node_is_online_and_available_by_these_rules(
    changes: dict[str, Any], online: bool, available: bool, reason: str
) -> None:
    verdict = availability(replace(FACTS, **changes))
    assert (verdict.online, verdict.available, verdict.reason) == (online, available, reason)


def test_why_a_node_gets_no_work_is_said_in_chinese_too() -> None:
    full = availability(replace(FACTS, in_flight=12)).why
    assert full is not None
    assert full.sentence("zh") == "已满：12/10"


@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 20),
    st.none() | st.floats(-5, 1000),
    st.sampled_from([("attached", "i"), ("remote", "i"), ("remote", "")]),
)
def test_an_available_node_is_online_has_room_and_every_other_one_has_a_reason(
    active: bool, draining: bool, in_flight: int, silent: float | None, nature: tuple[str, str]
) -> None:
    facts = replace(
        FACTS,
        is_active=active,
        draining=draining,
        in_flight=in_flight,
        silent_seconds=silent,
        transport=nature[0],
        instance=nature[1],
    )
    verdict = availability(facts)
    assert verdict.available == (not verdict.reason)
    assert not verdict.available or (verdict.online and in_flight < 10 and not draining)
    # What waits for a remote node of ours was claimed by nobody: it needs no second look to go elsewhere.
    is_silent = nature == ("remote", "i") and silent is not None and silent >= 45
    assert is_gone(facts) == (not verdict.online or is_silent)


THIRD_PARTY = replace(FACTS, name="werss", transport="remote")
OURS = replace(FACTS, name="ours", transport="remote", instance="i")


@pytest.mark.parametrize(
    ("node", "collected", "not_collected"),
    [
        (THIRD_PARTY, {"wechat"}, {"rss", "other"}),
        (replace(THIRD_PARTY, sources=("rss",)), {"wechat"}, {"rss"}),
        (FACTS, {"rss", "other"}, {"wechat"}),
        (OURS, {"rss", "other"}, {"wechat"}),
        (replace(OURS, sources=("rss", "wechat")), {"rss", "wechat"}, {"other"}),
        (replace(FACTS, sources=("rss",)), {"rss"}, {"wechat", "other"}),
        (replace(FACTS, sources=()), set(), {"rss", "wechat"}),
    ],
)
def test_a_node_collects_what_it_says_and_a_third_party_one_wechat_accounts(
    node: NodeFacts, collected: set[str], not_collected: set[str]
) -> None:
    kinds = collected_kinds(node)
    assert {kind for kind in collected | not_collected if kind in kinds} == collected


@pytest.mark.parametrize(
    ("kind", "nodes", "reason"),
    [
        ("rss", [], "there is no node; add one with ./cascade node add NAME, or start ./cascade up"),
        ("rss", [FACTS], ""),
        ("rss", [replace(FACTS, draining=True), THIRD_PARTY], "n: draining"),
        ("rss", [replace(FACTS, in_flight=10), FACTS], ""),
        (
            "rss",
            [replace(FACTS, in_flight=10), replace(OURS, silent_seconds=50.0)],
            "n: full: 10/10; ours: silent for 50 s",
        ),
        (
            "wechat",
            [FACTS, OURS],
            "no node collects feeds of kind wechat; add a WeRSS child with ./cascade node add NAME",
        ),
        ("wechat", [FACTS, replace(THIRD_PARTY, silent_seconds=None)], "werss: not running"),
        (
            "podcast",
            [replace(FACTS, sources=("rss",))],
            "no node collects feeds of kind podcast; run a node whose installation has the source plug-in for it",
        ),
        ("rss", [replace(FACTS, draining=True)] * 7, "; ".join(["n: draining"] * 5) + "; and 2 more nodes"),
    ],
)
def test_waiting_feeds_say_what_keeps_them_from_a_node(
    kind: str, nodes: list[NodeFacts], reason: str
) -> None:
    why = why_feeds_wait(kind, nodes)
    assert (why.sentence() if why else "") == reason


def test_waiting_feeds_say_it_in_chinese_too() -> None:
    why = why_feeds_wait("rss", [replace(FACTS, draining=True), replace(OURS, in_flight=10)])
    assert why is not None
    assert why.sentence("zh") == "n：排空中；ours：已满：10/10"
