"""The planner: never above capacity, quota first, the least loaded next, always the same plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.planner import (
    EVERY_KIND,
    LARGEST_BATCH,
    Candidate,
    Kinds,
    NodeLoad,
    Plan,
    batch_size,
    batches,
    plan,
)

FEEDS = [f"f{number}" for number in range(8)]
KINDS = ["rss", "wechat", "other"]
# What installed nodes say of themselves: nothing, some sources, or that they are WeRSS children.
ABILITIES = [
    EVERY_KIND,
    Kinds(frozenset({"wechat"})),
    Kinds(frozenset({"wechat"}), inverted=True),
    Kinds(frozenset({"rss", "other"})),
    Kinds(frozenset()),
]


@st.composite
def node_loads(draw: st.DrawFn) -> list[NodeLoad]:
    """Nodes with any load (overloaded ones too: a capacity may have been lowered) and any quota."""
    count = draw(st.integers(0, 5))
    return [
        NodeLoad(
            f"n{number}",
            in_flight=draw(st.integers(0, 14)),
            max_capacity=draw(st.integers(1, 12)),
            quota=draw(st.dictionaries(st.sampled_from(FEEDS), st.integers(1, 5), max_size=3)),
            kinds=draw(st.sampled_from(ABILITIES)),
        )
        for number in range(count)
    ]


candidates = st.lists(
    st.builds(
        Candidate,
        item_id=st.uuids().map(str),
        feed_id=st.sampled_from(FEEDS),
        run_id=st.sampled_from(["r1", "r2"]),
        batch_limit=st.sampled_from([None, 1, 2, 25]),
        kind=st.sampled_from(KINDS),
    ),
    max_size=40,
    unique_by=lambda one: one.item_id,
)


def items(count: int, feed: str = "f") -> list[Candidate]:
    return [Candidate(f"i{number}", feed, "r") for number in range(count)]


def nodes_of(result: Plan) -> list[str]:
    return [node for _, node in result.assigned]


@given(candidates, node_loads())
def test_no_node_is_ever_filled_above_its_capacity(waiting: list[Candidate], nodes: list[NodeLoad]) -> None:
    given_to = Counter(nodes_of(plan(waiting, nodes)))
    for node in nodes:
        assert given_to[node.node_id] <= max(0, node.max_capacity - node.in_flight)


@given(candidates, node_loads())
def test_every_item_is_placed_once_or_no_node_that_can_collect_it_has_room_left(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    result = plan(waiting, nodes)
    given_to = Counter(nodes_of(result))
    assert sorted(i.item_id for i in [*(i for i, _ in result.assigned), *result.waiting]) == sorted(
        i.item_id for i in waiting
    )
    for item in result.waiting:
        assert all(given_to[node.node_id] >= node.room for node in nodes if item.kind in node.kinds)


@given(candidates, node_loads())
def test_no_node_gets_what_it_cannot_collect_not_even_by_quota(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    able = {node.node_id: node.kinds for node in nodes}
    assert all(item.kind in able[chosen] for item, chosen in plan(waiting, nodes).assigned)


@given(candidates, node_loads())
def test_kinds_that_every_node_collects_are_planned_as_if_there_were_no_kinds(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    alike = [replace(node, kinds=EVERY_KIND) for node in nodes]
    same = [replace(item, kind="rss") for item in waiting]
    assert nodes_of(plan(waiting, alike)) == nodes_of(plan(same, alike))


@given(candidates, node_loads(), st.randoms(use_true_random=False))
def test_the_plan_depends_on_the_input_alone_and_not_on_the_order_of_the_nodes(
    waiting: list[Candidate], nodes: list[NodeLoad], random: object
) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(waiting, nodes) == plan(waiting, nodes) == plan(waiting, shuffled)


@given(candidates, node_loads())
def test_a_feed_leaves_its_quota_nodes_only_when_all_of_them_are_full(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    left = {node.node_id: node.max_capacity - node.in_flight for node in nodes}
    for item, chosen in plan(waiting, nodes).assigned:
        able = [node for node in nodes if item.kind in node.kinds and left[node.node_id] > 0]
        wanted = [node for node in able if item.feed_id in node.quota]
        if wanted:
            best = max(node.quota[item.feed_id] for node in wanted)
            assert chosen in {node.node_id for node in wanted if node.quota[item.feed_id] == best}
        left[chosen] -= 1


@given(candidates, node_loads())
def test_an_item_without_quota_goes_to_the_least_relative_load(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    plain = [replace(node, quota={}) for node in nodes]
    kinds = {node.node_id: node.kinds for node in nodes}
    load = {node.node_id: node.in_flight for node in plain}
    capacity = {node.node_id: node.max_capacity for node in plain}
    for item, chosen in plan(waiting, plain).assigned:
        free = [name for name in load if load[name] < capacity[name] and item.kind in kinds[name]]
        assert chosen == min(free, key=lambda name: (load[name] / capacity[name], name))
        load[chosen] += 1


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        # 0/10 and 0/20: equal, so the smaller id; then 1/10 against 0/20, 1/20, 2/20 (equal again: a).
        ([("a", 0, 10), ("b", 0, 20)], ["a", "b", "b", "a"]),
        # 5/10 against 5/20, 6/20, 7/20, 8/20: b stays below a half.
        ([("a", 5, 10), ("b", 5, 20)], ["b", "b", "b", "b"]),
        # a has room for one, whatever its relative load.
        ([("a", 0, 1), ("b", 9, 10)], ["a", "b"]),
        # A full and an overfull node get nothing.
        ([("a", 10, 10), ("b", 12, 10)], []),
    ],
)
def test_relative_load_decides(loads: list[tuple[str, int, int]], expected: list[str]) -> None:
    assert nodes_of(plan(items(4), [NodeLoad(*load) for load in loads])) == expected


def test_the_larger_quota_wins_whatever_the_load() -> None:
    busy = NodeLoad("busy", 9, 10, {"f": 7})
    idle = NodeLoad("idle", 0, 10, {"f": 3})
    other = NodeLoad("other", 0, 100)
    assert nodes_of(plan(items(3), [idle, busy, other])) == ["busy", "idle", "idle"]


def test_a_feed_whose_quota_nodes_are_full_goes_to_another_node() -> None:
    assert nodes_of(plan(items(1), [NodeLoad("a", 5, 5, {"f": 9}), NodeLoad("b", 4, 5)])) == ["b"]


def test_two_thousand_items_over_a_hundred_nodes_are_spread_evenly() -> None:
    result = plan(items(2000), [NodeLoad(f"n{number:03}", 0, 50) for number in range(100)])
    assert set(Counter(nodes_of(result)).values()) == {20}


def test_many_items_over_many_nodes_make_full_batches_and_the_next_ones_go_to_the_other_nodes() -> None:
    nodes = [NodeLoad(f"n{number:03}", 0, 50) for number in range(200)]
    at_once = {node.node_id: 5 for node in nodes}
    first = Counter(nodes_of(plan(items(500), nodes, at_once)))
    assert first == {f"n{number:03}": 5 for number in range(100)}
    loaded = [NodeLoad(node.node_id, first[node.node_id], 50) for node in nodes]
    second = Counter(nodes_of(plan(items(500), loaded, at_once)))
    assert second == {f"n{number:03}": 5 for number in range(100, 200)}


@given(candidates, node_loads(), st.integers(1, 6))
def test_several_at_once_places_as_much_and_never_above_capacity(
    waiting: list[Candidate], nodes: list[NodeLoad], many: int
) -> None:
    result = plan(waiting, nodes, {node.node_id: many for node in nodes})
    given_to = Counter(nodes_of(result))
    by_id = {node.node_id: node for node in nodes}
    assert all(
        count <= max(0, by_id[name].max_capacity - by_id[name].in_flight) for name, count in given_to.items()
    )
    assert all(item.kind in by_id[name].kinds for item, name in result.assigned)
    assert sorted(one.item_id for one in (*[item for item, _ in result.assigned], *result.waiting)) == sorted(
        one.item_id for one in waiting
    )
    for left in result.waiting:
        able = [node for node in nodes if left.kind in node.kinds]
        assert all(node.in_flight + given_to[node.node_id] >= node.max_capacity for node in able)


@given(candidates, node_loads())
def test_batches_keep_node_run_and_limits_and_lose_nothing(
    waiting: list[Candidate], nodes: list[NodeLoad]
) -> None:
    result = plan(waiting, nodes)
    sizes = {node.node_id: batch_size(node.max_capacity) for node in nodes}
    made = batches(result, sizes)
    given_to = {item.item_id: node for item, node in result.assigned}
    for node_id, run_id, group in made:
        assert {(given_to[item.item_id], item.run_id) for item in group} == {(node_id, run_id)}
        assert 1 <= len(group) <= sizes[node_id]
        assert all(len(group) <= (item.batch_limit or LARGEST_BATCH) for item in group)
    assert sorted(item.item_id for _, _, group in made for item in group) == sorted(given_to)


@pytest.mark.parametrize(
    ("capacity", "size"),
    [(1, 1), (9, 1), (10, 1), (20, 2), (99, 9), (100, 25), (199, 49), (200, 50), (10000, 50)],
)
def test_a_batch_is_a_tenth_of_the_capacity_and_a_quarter_of_a_large_one_between_one_and_fifty(
    capacity: int, size: int
) -> None:
    assert batch_size(capacity) == size
