"""How long it took until work whose holder died or froze was in other hands, or over: from journals and history. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.facts import AllocationFact, Step, Tables
from tests.chaos.journals import Injected

LOST = "lost: "
# The end of other lost work was seen by somebody; here nobody saw anything, and the lease had to run out.
UNSEEN = "stopped renewing its lease"
# What keeps a holder from renewing: the work is lost with it, or when it lasts.
TAKES_HOLDERS = frozenset(
    {
        "kill_process",
        "kill_part",
        "stop_part",
        "lose_host",
        "freeze_process",
        "freeze_past_lease",
        "silence_database",
        "slow_database",
        "refuse_database",
        "kill_child",
        "silence_link",
        "slow_link",
        "part_past_lease",
    }
)


@dataclass(frozen=True, slots=True)
class Least:
    """For how long at least work is held after its holder was there last, by nodes of our own and by children, in seconds."""

    own: float
    children: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Work that lost its holder. `fault_at`: when, as the harness knows; `again_at`: when the last of it was held again or over."""

    allocation_id: str
    node: str
    fault: str
    fault_at: float
    lost_at: float
    again_at: float | None

    @property
    def seconds(self) -> float:
        """From the fault to the last of the work being held again."""
        return (self.again_at or self.lost_at) - self.fault_at


def recoveries(tables: Tables, injected: Sequence[Injected], least: Least) -> list[Recovery]:
    """One for each time that an allocation lost its holder, whether its end was seen or its lease ran out."""
    allocations = {one.id: one for one in tables.allocations}
    begun: dict[str, list[float]] = defaultdict(list)
    for step in tables.steps:
        if step.target in {"executing", "claimed"}:
            begun[step.allocation_id].append(step.at)
    holders = _holders(tables, begun)
    ended = {(one.run_id, one.feed_id): one.ended_at for one in tables.items if one.ended_at is not None}
    found = []
    for step in tables.steps:
        one = allocations.get(step.allocation_id)
        if not step.reason.startswith(LOST) or one is None:
            continue
        start = max((at for at in begun[one.id] if at <= step.at), default=step.at)
        fault, fault_at = _fault(one, injected, start, step, least)
        again = _again(one, step, holders, begun, ended)
        found.append(Recovery(one.id, one.node, fault, fault_at, step.at, again))
    return found


def _holders(tables: Tables, begun: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], list[float]]:
    """By run and feed, when an allocation that holds it was begun."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in tables.allocations:
        for feed_id in one.feed_ids:
            found[one.run_id or "", feed_id] += begun[one.id]
    return found


def _fault(
    one: AllocationFact, injected: Sequence[Injected], start: float, step: Step, least: Least
) -> tuple[str, float]:
    """What took the holder: the last fault on its node that can have been it; else nobody knows, and time counts from the loss.

    Who was there after a fault renewed after it, and would have held the work for longer.
    """
    held = least.children if one.node.startswith("child") else least.own
    until = step.at - (held if UNSEEN in step.reason else 0.0)
    own = [
        fault
        for fault in injected
        if fault.kind in TAKES_HOLDERS
        and fault.target == ("workers" if one.kind == "deliver" else one.node)
        and fault.until >= start
        and fault.at <= until
    ]
    if not own:
        return "", step.at
    last = max(own, key=lambda fault: fault.at)
    return last.kind, max(last.at, start)


def _again(
    one: AllocationFact,
    lost: Step,
    holders: Mapping[tuple[str, str], Sequence[float]],
    begun: Mapping[str, Sequence[float]],
    ended: Mapping[tuple[str, str], float],
) -> float | None:
    if lost.target == "pending":
        return min((at for at in begun[one.id] if at > lost.at), default=None)
    moments = [lost.at]
    for feed_id in one.feed_ids:
        key = (one.run_id or "", feed_id)
        end = ended.get(key)
        later = [at for at in holders[key] if at >= lost.at] + ([end] if end is not None else [])
        if not later:
            return None
        moments.append(min(later))
    return max(moments)
