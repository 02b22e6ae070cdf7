"""Why work waits: every case has one sentence, in both languages."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import nodes, waiting
from backend.domain.messages import CATALOGUE
from backend.domain.nodes import NodeFacts
from backend.domain.waiting import (
    AllocationFacts,
    Backoff,
    HostFacts,
    Scene,
    SendingFacts,
    why_allocation_waits,
    why_delivery_waits,
    why_item_waits,
    why_run_waits,
)
from backend.domain.why import Why

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SOON, PAST = NOW + timedelta(minutes=5), NOW - timedelta(minutes=5)
NODE = NodeFacts(
    id="n1",
    name="beijing-1",
    slug="beijing-1",
    node_type=1,
    transport="attached",
    is_active=True,
    draining=False,
    kinds=("update",),
    in_flight=0,
    max_capacity=4,
    silent_seconds=1.0,
    workers_alive=2,
)
FULL = replace(NODE, in_flight=4)
GONE = replace(NODE, id="n2", name="shanghai-1", silent_seconds=None)
WERSS = replace(NODE, id="w", transport="remote")
PARENT = replace(NODE, id="p", name="parent", node_type=0, kinds=("deliver",))
FAILED = Backoff(SOON, 2, "http_status", "a.example answers with HTTP status 503.")


def scene(*known: NodeFacts, beats: int = 1, recover_after: datetime | None = None) -> Scene:
    return Scene(NOW, beats, known, recover_after)


@pytest.mark.parametrize(
    ("backoff", "at", "code", "said"),
    [
        (
            FAILED,
            scene(NODE),
            "why_backoff",
            "Not before 2026-03-01 09:05:00 UTC, because attempt 2 failed: ",
        ),
        # What comes later than a beat or a node would is the reason that stands longest.
        (FAILED, scene(beats=0), "why_backoff", "a.example answers with HTTP status 503."),
        (Backoff(SOON), scene(NODE), "why_not_before", "Not before 2026-03-01 09:05:00 UTC"),
        (
            replace(FAILED, not_before=PAST),
            scene(FULL),
            "why_no_room",
            "It waits for a node: beijing-1: full: 4/4.",
        ),
        (Backoff(), scene(NODE, beats=0), "why_no_beat", "./cascade up"),
        (Backoff(), scene(), "why_no_room", "./cascade node add"),
        (Backoff(), scene(PARENT), "why_no_room", "./cascade node add"),
        (Backoff(), scene(WERSS), "why_no_room", "no node collects feeds of kind rss"),
        (Backoff(), scene(GONE), "why_no_room", "shanghai-1: not running"),
        (Backoff(), scene(replace(NODE, is_active=False)), "why_no_room", "beijing-1: switched off"),
        (Backoff(), scene(FULL), "why_no_room", "It waits for a node: beijing-1: full: 4/4."),
        (Backoff(), scene(FULL, GONE), "why_no_room", "4/4; shanghai-1: not running"),
        (Backoff(), scene(replace(NODE, draining=True)), "why_no_room", "beijing-1: draining"),
        (Backoff(), scene(FULL, replace(NODE, id="n3")), "why_next_plan", "has room"),
    ],
)
def test_an_item_waits_for_the_first_of_these(backoff: Backoff, at: Scene, code: str, said: str) -> None:
    why = why_item_waits(backoff, "rss", at)
    assert why.code == code
    assert said in why.sentence()


@pytest.mark.parametrize(
    ("backoff", "host", "at", "code", "said"),
    [
        (Backoff(), HostFacts("a.example", SOON, 2), scene(NODE), "why_host_held", "a.example is to be left"),
        (Backoff(), HostFacts("a.example", SOON), scene(), "why_host_held", "Not before 2026-03-01 09:05:00"),
        (FAILED, HostFacts("a.example", SOON), scene(NODE), "why_backoff", "attempt 2"),
        (Backoff(), HostFacts("a.example", PAST), scene(NODE), "why_next_plan", "has room"),
        (Backoff(), HostFacts("a.example", in_flight=1), scene(NODE), "why_host_busy", "HOST_CONCURRENCY"),
        (Backoff(), HostFacts("a.example", in_flight=1), scene(FULL), "why_no_room", "full"),
    ],
)
def test_an_item_waits_for_its_host(
    backoff: Backoff, host: HostFacts, at: Scene, code: str, said: str
) -> None:
    why = why_item_waits(backoff, "rss", at, host)
    assert why.code == code
    assert said in why.sentence()


@pytest.mark.parametrize(
    ("backoff", "sending", "beats", "code"),
    [
        (FAILED, SendingFacts("wecom", 99, 9, 1), 1, "why_backoff"),
        (Backoff(SOON), SendingFacts("webhook"), 1, "why_not_before"),
        (Backoff(), SendingFacts("wecom", 20, 9, 1), 0, "why_no_beat"),
        (Backoff(), SendingFacts("wecom", 20, 9, 1), 1, "why_receiver_limit"),
        (Backoff(), SendingFacts("wecom", 19, 1, 1), 1, "why_sending_full"),
        (Backoff(), SendingFacts("webhook", 1000, 0, 1), 1, "why_next_sending"),
    ],
)
def test_a_delivery_waits_for_the_first_of_these(
    backoff: Backoff, sending: SendingFacts, beats: int, code: str
) -> None:
    assert why_delivery_waits(backoff, sending, scene(PARENT, beats=beats)).code == code


PENDING = AllocationFacts("update", "pending", "n1")
HELD = AllocationFacts("update", "executing", "n1", started_at=PAST, lease_until=SOON)


@pytest.mark.parametrize(
    ("facts", "at", "code", "said"),
    [
        (PENDING, scene(), "why_node_deleted", "deleted"),
        (replace(PENDING, node_id="n2"), scene(GONE), "why_node_gone", "shanghai-1 is gone (not running)"),
        (PENDING, scene(replace(NODE, transport="remote")), "why_unclaimed", "beijing-1 fetches it"),
        (PENDING, scene(replace(NODE, workers_alive=0)), "why_workerless", "--node beijing-1"),
        (PENDING, scene(NODE), "why_workers_busy", "node beijing-1, of which 2 run"),
        (
            replace(PENDING, kind="deliver", node_id="p"),
            scene(PARENT),
            "why_sender_busy",
            "parent (parent), of which 2",
        ),
        (
            replace(PENDING, kind="deliver", node_id="p"),
            scene(replace(PARENT, silent_seconds=999.0)),
            "why_parent_gone",
            "silent for 999 s",
        ),
        (
            replace(PENDING, kind="deliver", node_id="p"),
            scene(replace(PARENT, workers_alive=0)),
            "why_parent_workerless",
            "./start_workers.sh",
        ),
        (replace(HELD, state="claimed"), scene(NODE), "why_claimed", "until 2026-03-01 09:05:00 UTC"),
        (HELD, scene(NODE), "why_executing", "beijing-1 has been working on it since 2026-03-01 08:55:00"),
        (HELD, scene(), "why_executing", "n1 has been working"),
        (replace(HELD, cancel_requested=True), scene(NODE), "why_stopping", "asked to stop"),
        (replace(HELD, lease_until=PAST), scene(NODE), "why_lost", "stopped renewing"),
        (replace(HELD, lease_until=PAST), scene(NODE, beats=0), "why_lost_no_beat", "./cascade up"),
        (
            replace(HELD, lease_until=PAST),
            scene(NODE, recover_after=SOON),
            "why_lost_later",
            "after 2026-03-01 09:05",
        ),
    ],
)
def test_an_allocation_waits_for_the_first_of_these(
    facts: AllocationFacts, at: Scene, code: str, said: str
) -> None:
    why = why_allocation_waits(facts, at)
    assert why is not None
    assert why.code == code
    assert said in why.sentence()


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_an_ended_allocation_waits_for_nothing(state: str) -> None:
    assert why_allocation_waits(replace(PENDING, state=state), scene(NODE)) is None


def test_a_run_says_how_far_it_is_and_what_its_oldest_item_waits_for() -> None:
    first = why_item_waits(Backoff(), "rss", scene(FULL))
    said = why_run_waits("running", 3, 10, first)
    assert said is not None
    assert said.sentence().startswith("3 of 10 items have not ended; the oldest: It waits for a node")
    assert why_run_waits("expanding", 0, 2000, None) == Why("why_expanding", {"count": 2000})
    assert why_run_waits("running", 0, 10, None) == Why("why_run_closing")
    assert why_run_waits("queued", 0, 0, None) == Why("why_run_queued")
    assert why_run_waits("completed", 0, 10, None) is None


def test_of_many_nodes_the_first_few_are_named() -> None:
    many = [replace(FULL, id=str(number), name=f"n{number}") for number in range(8)]
    sentence = why_item_waits(Backoff(), "rss", scene(*many)).sentence()
    assert "n4: full: 4/4; and 3 more" in sentence
    assert "n5" not in sentence


def test_reasons_inside_a_reason_are_said_in_the_same_language() -> None:
    sentence = why_item_waits(Backoff(), "rss", scene(FULL, GONE)).sentence("zh")
    assert sentence == "等待节点：beijing-1：已满：4/4；shanghai-1：未运行。"


def _codes_of(module: Any) -> set[str]:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("why_", "node_", "no_node"))
    } - {"node_id"}


def test_every_reason_has_its_sentences() -> None:
    codes = _codes_of(waiting) | _codes_of(nodes)
    assert len(codes) > 20
    assert codes <= CATALOGUE.keys()


moments = st.none() | st.sampled_from([SOON, PAST])
facts_of_nodes = st.builds(
    lambda active, draining, in_flight, silent, alive, transport: replace(
        NODE,
        is_active=active,
        draining=draining,
        in_flight=in_flight,
        silent_seconds=silent,
        workers_alive=alive,
        transport=transport,
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, 6),
    st.none() | st.floats(0, 400),
    st.integers(0, 3),
    st.sampled_from(["attached", "remote"]),
)


@given(
    st.sampled_from(["pending", "claimed", "executing"]),
    st.booleans(),
    moments,
    moments,
    facts_of_nodes,
    st.integers(0, 2),
)
def test_everything_that_waits_has_a_complete_sentence_in_both_languages(
    state: str,
    cancelled: bool,
    started: datetime | None,
    lease: datetime | None,
    node: NodeFacts,
    beats: int,
) -> None:
    at = scene(node, beats=beats)
    facts = AllocationFacts("update", state, "n1", cancelled, started, lease)
    allocation = why_allocation_waits(facts, at)
    assert allocation is not None
    for why in (allocation, why_item_waits(Backoff(lease, 1, "timed_out"), "rss", at)):
        for language in ("en", "zh"):
            assert "?" not in why.sentence(language)
            assert why.sentence(language).endswith((".", "。"))
