"""What is broken, where and when: a pure function of the seed."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PARENTS = ("parent-1", "parent-2")
BEATS = ("beat-1", "beat-2")
WORKERS = ("workers",)
NODES = ("node-1", "node-2", "node-3")
REMOTE_NODES = ("remote-1", "remote-2")
# What reaches MariaDB and Redis; remote nodes reach a parent, and have a Redis of their own.
DIRECT = (*PARENTS, *BEATS, *WORKERS, *NODES)
PARTS = (*DIRECT, *REMOTE_NODES)
WORKING = (*WORKERS, *NODES, *REMOTE_NODES)
SKEWED = NODES[-1]
CHILDREN = ("child-1", "child-2")
OUTSIDE = ("feeds", "receivers")

SETTLING_SECONDS = 2.0
SECONDS_PER_FAULT = 1.0
SERVER_PAUSE_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: on which of which it falls, how long it lasts (in seconds, or in leases), how often it comes."""

    targets: Sequence[str]
    seconds: tuple[float, float] = (0.0, 0.0)
    weight: int = 1
    in_leases: bool = False
    server: str = ""


KINDS: Mapping[str, Kind] = {
    # processes
    "kill_process": Kind((*PARTS, *WORKING, *WORKING, *WORKING), weight=10),
    "kill_part": Kind(PARTS, weight=3),
    "stop_part": Kind(PARTS, weight=2),
    "lose_host": Kind(WORKING, (4.0, 12.0), weight=2),
    "freeze_process": Kind(PARTS, (1.0, 8.0), weight=3),
    "freeze_past_lease": Kind(WORKING, (1.2, 1.6), weight=5, in_leases=True),
    "skew_clock": Kind((SKEWED,), weight=2),
    "kill_child": Kind(CHILDREN, weight=1),
    # servers
    "kill_mariadb": Kind(("mariadb",), (0.5, 4.0), weight=1, server="mariadb"),
    "restart_mariadb": Kind(("mariadb",), (0.0, 2.0), weight=1, server="mariadb"),
    "freeze_mariadb": Kind(("mariadb",), (1.0, 6.0), weight=1, server="mariadb"),
    "kill_redis": Kind(("redis",), (0.2, 4.0), weight=1, server="redis"),
    "restart_redis": Kind(("redis",), (0.0, 2.0), weight=1, server="redis"),
    "wipe_redis": Kind(("redis",), (0.2, 3.0), weight=1, server="redis"),
    "flush_redis": Kind(("redis",), weight=2),
    "demote_redis": Kind(("redis",), (2.0, 6.0), weight=1, server="redis"),
    "freeze_redis": Kind(("redis",), (1.0, 6.0), weight=1, server="redis"),
    # connections
    "kill_connections": Kind(("mariadb",), weight=3),
    "cut_database": Kind(DIRECT, weight=2),
    "cut_redis": Kind(DIRECT, weight=2),
    "slow_database": Kind(DIRECT, (3.0, 10.0), weight=2),
    "slow_redis": Kind(DIRECT, (3.0, 10.0), weight=1),
    "silence_database": Kind(DIRECT, (2.0, 12.0), weight=2),
    "silence_redis": Kind(DIRECT, (2.0, 8.0), weight=1),
    "refuse_database": Kind(DIRECT, (1.0, 8.0), weight=1),
    "half_close_database": Kind(DIRECT, weight=1),
    "half_close_redis": Kind(DIRECT, weight=1),
    "lose_commit_answers": Kind(DIRECT, weight=4),
    "lose_redis_answers": Kind(DIRECT, weight=1),
    "lose_acknowledgements": Kind(("receivers",), weight=2),
    "cut_outside": Kind(OUTSIDE, weight=1),
    # links of remote nodes
    "cut_link": Kind(REMOTE_NODES, weight=2),
    "slow_link": Kind(REMOTE_NODES, (3.0, 10.0), weight=1),
    "silence_link": Kind(REMOTE_NODES, (2.0, 8.0), weight=1),
    "part_past_lease": Kind(REMOTE_NODES, (1.2, 1.6), weight=3, in_leases=True),
    "lose_link_answers": Kind(REMOTE_NODES, weight=3),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `at`: seconds from the start. `chance`, from 0 to 1, chooses among what is there at that moment."""

    at: float
    kind: str
    target: str
    seconds: float
    chance: float

    @property
    def ends(self) -> float:
        """When it is over."""
        return self.at + self.seconds


def make_plan(seed: int, seconds: float, lease_seconds: float) -> tuple[Fault, ...]:
    """The faults of `seconds` of chaos, in order: each kind as often as the time allows, the rest by weight."""
    chance = random.Random(f"faults {seed}")  # noqa: S311  (chaos must be repeatable)
    count = max(1, int(seconds / SECONDS_PER_FAULT))
    names = list(KINDS)
    chance.shuffle(names)
    weights = [kind.weight for kind in KINDS.values()]
    chosen = (names + chance.choices(list(KINDS), weights, k=count))[:count]
    chance.shuffle(chosen)
    moments = sorted(chance.uniform(SETTLING_SECONDS, seconds) for _ in chosen)
    faults = [_fault(chance, at, kind, lease_seconds) for at, kind in zip(moments, chosen, strict=True)]
    return _without_meetings(faults)


def _fault(chance: random.Random, at: float, name: str, lease_seconds: float) -> Fault:
    kind = KINDS[name]
    seconds = chance.uniform(*kind.seconds) * (lease_seconds if kind.in_leases else 1.0)
    return Fault(
        math.floor(at * 100) / 100, name, chance.choice(kind.targets), round(seconds, 2), chance.random()
    )


def _without_meetings(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """A server that is being broken is left alone until it has served a while: what it can't do twice would be no fault."""
    free_at: dict[str, float] = {}
    kept = []
    for fault in faults:
        server = KINDS[fault.kind].server
        if server and fault.at < free_at.get(server, 0.0):
            continue
        if server:
            free_at[server] = fault.ends + SERVER_PAUSE_SECONDS
        kept.append(fault)
    return tuple(kept)
