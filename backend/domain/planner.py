"""Who does what: a pure, deterministic plan of work items over nodes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

BATCHES_PER_CAPACITY = 10
LARGEST_BATCH = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """A work item that waits for a node. `batch_limit` keeps an item that was in a dead worker's batch in smaller ones."""

    item_id: str
    feed_id: str
    run_id: str
    batch_limit: int | None = None


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """What the planner knows of an available node. `quota` maps feed ids to weights."""

    node_id: str
    in_flight: int
    max_capacity: int
    quota: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Assignments as (item, node), in the order of the items, and the items that nobody has room for."""

    assigned: tuple[tuple[Candidate, str], ...]
    waiting: tuple[Candidate, ...]


def plan(items: Iterable[Candidate], nodes: Sequence[NodeLoad]) -> Plan:
    """Quota first (the larger number wins), then the least loaded by in-flight/max_capacity; never above capacity.

    A feed whose quota nodes are all full goes to the least loaded node like any other.
    Ties go to the smaller node id, so the same input always gives the same plan. Cost: O(items · log nodes).
    """
    room = {node.node_id: node.max_capacity - node.in_flight for node in nodes}
    load = {node.node_id: node.in_flight for node in nodes}
    capacity = {node.node_id: node.max_capacity for node in nodes}
    preferred = _preferences(nodes)
    heap = [(load[name] / capacity[name], name) for name in room if room[name] > 0]
    heapq.heapify(heap)
    assigned: list[tuple[Candidate, str]] = []
    waiting: list[Candidate] = []

    for item in items:
        chosen = next((name for name in preferred.get(item.feed_id, ()) if room[name] > 0), None)
        chosen = chosen or _least_loaded(heap, load, room, capacity)
        if chosen is None:
            waiting.append(item)
            continue
        room[chosen] -= 1
        load[chosen] += 1
        if room[chosen] > 0:
            heapq.heappush(heap, (load[chosen] / capacity[chosen], chosen))
        assigned.append((item, chosen))
    return Plan(tuple(assigned), tuple(waiting))


def _preferences(nodes: Sequence[NodeLoad]) -> dict[str, list[str]]:
    weights: dict[str, list[tuple[int, str]]] = {}
    for node in nodes:
        for feed_id, weight in node.quota.items():
            weights.setdefault(feed_id, []).append((-weight, node.node_id))
    return {feed_id: [name for _, name in sorted(found)] for feed_id, found in weights.items()}


def _least_loaded(
    heap: list[tuple[float, str]],
    load: Mapping[str, int],
    room: Mapping[str, int],
    capacity: Mapping[str, int],
) -> str | None:
    while heap:
        relative, name = heapq.heappop(heap)
        # An entry written before the node got more work is stale: a fresher one stands behind it.
        if room[name] > 0 and relative == load[name] / capacity[name]:
            return name
    return None


def batch_size(max_capacity: int) -> int:
    """How many items one allocation carries: a tenth of the node's capacity, between 1 and 50.

    Small enough that a node's workers share the work evenly, large enough to pay for its two transactions.
    """
    return max(1, min(LARGEST_BATCH, max_capacity // BATCHES_PER_CAPACITY))


def batches(plan_result: Plan, sizes: Mapping[str, int]) -> list[tuple[str, str, tuple[Candidate, ...]]]:
    """The plan as allocations: (node, run, items), each of one node and one run, at most the node's batch size."""
    groups: dict[tuple[str, str, int], list[Candidate]] = {}
    for item, node_id in plan_result.assigned:
        size = min(sizes[node_id], item.batch_limit or LARGEST_BATCH)
        groups.setdefault((node_id, item.run_id, size), []).append(item)
    return [
        (node_id, run_id, tuple(items[start : start + size]))
        for (node_id, run_id, size), items in groups.items()
        for start in range(0, len(items), size)
    ]
