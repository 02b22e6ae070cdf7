"""When a node is online, when it gets work, and the reason when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.nodes import NodeFacts, availability, is_gone

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
)
def test_an_available_node_is_online_has_room_and_every_other_one_has_a_reason(
    active: bool, draining: bool, in_flight: int, silent: float | None
) -> None:
    facts = replace(FACTS, is_active=active, draining=draining, in_flight=in_flight, silent_seconds=silent)
    verdict = availability(facts)
    assert verdict.available == (not verdict.reason)
    assert not verdict.available or (verdict.online and in_flight < 10 and not draining)
    assert is_gone(facts) == (not verdict.online)
