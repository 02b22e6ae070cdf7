"""One call of the planner over many feeds and nodes, in units of sorting the same list."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from backend.domain.identifiers import new_id
from backend.domain.planner import Candidate, NodeLoad, Plan, plan
from benchmarks.harness.report import BrokenResult, Options, Report, Table, Value, best, ratio

FEEDS, QUICK_FEEDS = 100_000, 5_000
NODES = 1_000
QUOTA = 50


def run(options: Options) -> Report:
    """Measure."""
    feeds = QUICK_FEEDS if options.quick else FEEDS
    chooser = random.Random(7)  # noqa: S311  (the same inputs in every run)
    items = [Candidate(new_id(), f"feed-{number}", "run") for number in range(feeds)]
    shuffled = items[:]
    chooser.shuffle(shuffled)
    room = 2 * feeds // NODES
    plain = [NodeLoad(f"node-{number}", chooser.randrange(room // 2 + 1), room) for number in range(NODES)]
    quotas = [_with_quota(load, chooser, feeds) for load in plain]
    full = [NodeLoad(load.node_id, load.in_flight, load.in_flight + room // 8) for load in plain]
    calls: dict[str, Callable[[], object]] = {
        "sorting the same list": lambda: sorted(shuffled, key=_by_id),
        "plan": lambda: plan(items, plain),
        f"plan, {QUOTA} feeds in each node's quota": lambda: plan(items, quotas),
        "plan, a quarter or less fits": lambda: plan(items, full),
    }
    for nodes in (plain, quotas, full):
        _verify(plan(items, nodes), nodes, feeds)
    table = Table(f"{feeds} feeds over {NODES} nodes, one call", _rows(calls, max(3, options.rounds)))
    table.notes = ["CPU time of this thread, the least of the rounds, taken in turns"]
    return Report([table])


def _by_id(item: Candidate) -> str:
    return item.item_id


def _with_quota(load: NodeLoad, chooser: random.Random, feeds: int) -> NodeLoad:
    quota = {f"feed-{chooser.randrange(feeds)}": chooser.randrange(1, 9) for _ in range(QUOTA)}
    return NodeLoad(load.node_id, load.in_flight, load.max_capacity, quota)


def _rows(calls: dict[str, Callable[[], object]], rounds: int) -> list[dict[str, Value]]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.thread_time()
            call()
            taken[name].append(time.thread_time() - begin)
    base = best(next(iter(taken.values())))
    return [
        {"name": name, "CPU ms": round(best(times) * 1000, 1), "CPU / sorting": ratio(best(times), base)}
        for name, times in taken.items()
    ]


def _verify(made: Plan, nodes: Sequence[NodeLoad], feeds: int) -> None:
    room = {node.node_id: node.max_capacity - node.in_flight for node in nodes}
    for _, node_id in made.assigned:
        room[node_id] -= 1
    if min(room.values()) < 0 or len(made.assigned) + len(made.waiting) != feeds:
        raise BrokenResult("the plan gives a node more than it has room for, or loses items")
