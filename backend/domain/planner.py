"""Who does what: a pure, deterministic plan of work items over nodes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

PARTS_OF_CAPACITY = 10
LARGE_CAPACITY = 100
PARTS_OF_LARGE_CAPACITY = 4
LARGEST_BATCH = 50


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kinds of feeds: the named ones, or, `inverted`, all others."""

    names: frozenset[str]
    inverted: bool = False

    def __contains__(self, kind: str) -> bool:
        return (kind in self.names) != self.inverted


EVERY_KIND = Kinds(frozenset(), inverted=True)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A work item that waits for a node. `batch_limit` keeps an item that was in a dead worker's batch in smaller ones."""

    item_id: str
    feed_id: str
    run_id: str
    batch_limit: int | None = None
    kind: str = "rss"
    host: str = ""

    @property
    def suspect(self) -> bool:
        """Whether it was with a worker that died: it then comes in a worker that has nothing else."""
        return self.batch_limit is not None


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """What the planner knows of an available node. `quota` maps feed ids to weights, `kinds` is what it can collect."""

    node_id: str
    in_flight: int
    max_capacity: int
    quota: Mapping[str, int] = field(default_factory=dict)
    kinds: Kinds = EVERY_KIND

    @property
    def room(self) -> int:
        """How many more items it may have."""
        return max(0, self.max_capacity - self.in_flight)


@dataclass(frozen=True, slots=True)
class Plan:
    """Assignments as (item, node), in the order of the items, and the items that nobody has room for."""

    assigned: tuple[tuple[Candidate, str], ...]
    waiting: tuple[Candidate, ...]


def plan(
    items: Iterable[Candidate], nodes: Sequence[NodeLoad], at_once: Mapping[str, int] = MappingProxyType({})
) -> Plan:
    """Quota first (the larger number wins), then the least loaded by in-flight/max_capacity; never above capacity.

    A node gets only kinds that it can collect, whatever its quota says. A feed whose quota nodes are all full goes to
    the least loaded node like any other. Ties go to the smaller node id, so the same input always gives the same plan.
    Cost: O(items · log nodes) for each kind of feed, and there are few kinds.

    `at_once` says how many items in a row the least loaded node takes before the next one has its turn (by node id,
    1 when it says nothing): with many more items to come, full batches instead of an item or two for each of many nodes.
    """
    choice = _Choice(nodes, at_once)
    assigned: list[tuple[Candidate, str]] = []
    waiting: list[Candidate] = []
    for item in items:
        chosen = choice.take(item)
        if chosen is None:
            waiting.append(item)
        else:
            assigned.append((item, chosen))
    return Plan(tuple(assigned), tuple(waiting))


class _Choice:
    """The nodes' loads while a plan is made, with a heap for each kind of feed."""

    def __init__(self, nodes: Sequence[NodeLoad], at_once: Mapping[str, int]) -> None:
        self._at_once = at_once
        self._turns: dict[str, tuple[str, int]] = {}
        self._nodes = {node.node_id: node for node in nodes}
        self._load = {node.node_id: node.in_flight for node in nodes}
        self._preferred = _preferences(nodes)
        self._heaps: dict[str, list[tuple[float, str]]] = {}

    def take(self, item: Candidate) -> str | None:
        """The node for the item, which has it from now on."""
        chosen = self._by_quota(item) or self._by_load(item.kind)
        if chosen is not None:
            self._load[chosen] += 1
        return chosen

    def _by_quota(self, item: Candidate) -> str | None:
        for name in self._preferred.get(item.feed_id, ()):
            if self._has_room(name) and item.kind in self._nodes[name].kinds:
                return name
        return None

    def _by_load(self, kind: str) -> str | None:
        name, left = self._turns.get(kind, ("", 0))
        if left and self._has_room(name):
            self._turns[kind] = (name, left - 1)
            return name
        chosen = self._least_loaded(self._heap(kind))
        if chosen is not None:
            self._turns[kind] = (chosen, self._at_once.get(chosen, 1) - 1)
        return chosen

    def _heap(self, kind: str) -> list[tuple[float, str]]:
        heap = self._heaps.get(kind)
        if heap is None:
            able = [name for name, node in self._nodes.items() if kind in node.kinds and self._has_room(name)]
            heap = self._heaps[kind] = [(self._relative(name), name) for name in able]
            heapq.heapify(heap)
        return heap

    def _least_loaded(self, heap: list[tuple[float, str]]) -> str | None:
        # Loads only grow, so an entry that is out of date is too small: it surfaces, and is put right then.
        while heap:
            known, name = heap[0]
            if not self._has_room(name):
                heapq.heappop(heap)
            elif known != self._relative(name):
                heapq.heapreplace(heap, (self._relative(name), name))
            else:
                return name
        return None

    def _has_room(self, name: str) -> bool:
        return self._load[name] < self._nodes[name].max_capacity

    def _relative(self, name: str) -> float:
        return self._load[name] / self._nodes[name].max_capacity


def _preferences(nodes: Sequence[NodeLoad]) -> dict[str, list[str]]:
    weights: dict[str, list[tuple[int, str]]] = {}
    for node in nodes:
        for feed_id, weight in node.quota.items():
            weights.setdefault(feed_id, []).append((-weight, node.node_id))
    return {feed_id: [name for _, name in sorted(found)] for feed_id, found in weights.items()}


def batch_size(max_capacity: int) -> int:
    """How many items one allocation carries: a tenth of a node's capacity, a quarter of a large one's, between 1 and 50.

    Small enough that the workers of a small node share its work evenly. A large node is there for its throughput:
    with a tenth, a hundred feeds cost it a third more CPU. What ends early is told early, whatever the size.
    """
    parts = PARTS_OF_LARGE_CAPACITY if max_capacity >= LARGE_CAPACITY else PARTS_OF_CAPACITY
    return max(1, min(LARGEST_BATCH, max_capacity // parts))


def batches(plan_result: Plan, sizes: Mapping[str, int]) -> list[tuple[str, str, tuple[Candidate, ...]]]:
    """The plan as allocations: (node, run, items), each of one node and one run, at most the node's batch size.

    Suspects are never together with others.
    """
    groups: dict[tuple[str, str, int, bool], list[Candidate]] = {}
    for item, node_id in plan_result.assigned:
        size = min(sizes[node_id], item.batch_limit or LARGEST_BATCH)
        groups.setdefault((node_id, item.run_id, size, item.suspect), []).append(item)
    return [
        (node_id, run_id, tuple(items[start : start + size]))
        for (node_id, run_id, size, _), items in groups.items()
        for start in range(0, len(items), size)
    ]
